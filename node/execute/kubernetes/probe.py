"""Whether a pod in the namespace of steps can reach anything, or get any right: tried by a real one, as steps have it.

It holds no data, so what it finds is its last words, which Kubernetes keeps with the pod.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import msgspec

from catalog.error import Denied
from node.execute.environment.base import BIN
from node.execute.inside.side import TERMINATION
from node.step import Limits

LIMITS: Final = Limits(wall_seconds=60.0, cpu_seconds=20, memory_bytes=128 << 20, processes=32, output_bytes=1 << 20)
_LINK_LOCAL: Final = ("169.254.169.254", 80)
_RESOLVERS: Final = (("169.254.20.10", 53), ("169.254.25.10", 53))

# What it is told to try, and what it learns of the cluster where it runs.
_SCRIPT: Final = r"""
import ctypes, json, os, socket, struct, sys, threading
targets = [tuple(each) for each in json.loads(sys.argv[1])]
host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
if host:
    targets.append(("the API server", host, int(port)))
    if host.count(".") == 3:
        targets.append(("the cluster's DNS", host.rpartition(".")[0] + ".10", 53))
for line in open("/proc/net/route").read().splitlines()[1:]:
    gateway = struct.pack("<L", int(line.split()[2], 16))
    if any(gateway):
        for port in (10250, 53, 443, 22):
            targets.append(("the node", socket.inet_ntoa(gateway), port))
reached = []
def answers(end, address):
    try:
        end.connect(address)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True
def connect(name, host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as end:
        end.settimeout(4)
        if answers(end, (host, port)):
            reached.append(f"{name} ({host}:{port})")
    if port == 53:
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            end.settimeout(4)
            try:
                end.connect((host, port))
                end.send(b"\0\1\1\0\0\1\0\0\0\0\0\0\0\0\1\0\1")
                if end.recv(512):
                    reached.append(f"{name} ({host}:{port}, UDP)")
            except OSError:
                pass
threads = [threading.Thread(target=connect, args=each) for each in targets]
for each in threads:
    each.start()
def writes(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
found = {
    "root": [path for path in ("/probe", "/etc/probe", "/opt/probe", "/.comity/probe") if writes(path)],
    "user": os.getuid(),
    "capabilities": [key for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[key], 16)],
    "privileges": int(status["NoNewPrivs"]) != 1,
    "system_calls": int(status["Seccomp"]) != 2,
    "namespaces": ctypes.CDLL(None).unshare(0x10000000) == 0,
    "token": os.path.exists("/var/run/secrets/kubernetes.io"),
    "kernel": [path for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness") if writes(path)],
}
for each in threads:
    each.join()
found["reached"] = sorted(set(reached))[:20]
open(sys.argv[2], "w").write(json.dumps(found))
"""


class Findings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the probing pod could do."""

    reached: list[str]
    root: list[str]
    user: int
    capabilities: list[str]
    privileges: bool
    system_calls: bool
    namespaces: bool
    token: bool
    kernel: list[str]

    def broken(self, user: int) -> list[str]:
        """The guarantees that do not hold, in words, where a step is to be ``user``."""
        guarantees = {
            f"no network: it reaches {', '.join(self.reached)}": bool(self.reached),
            f"a read-only root ({', '.join(self.root)})": bool(self.root),
            "an unprivileged user": self.user != user,
            f"no capabilities ({', '.join(self.capabilities)})": bool(self.capabilities),
            "no new privileges": self.privileges,
            "a list of system calls (seccomp)": self.system_calls,
            "no further user namespaces": self.namespaces,
            "no account in the cluster": self.token,
            f"no hold on the kernel's settings ({', '.join(self.kernel)})": bool(self.kernel),
        }
        return [guarantee for guarantee, failed in guarantees.items() if failed]


def probe_command(targets: Sequence[tuple[str, str, int]]) -> tuple[str, ...]:
    """The command of a container that tries ``targets`` (what each is, its address and port) and what it finds."""
    return (f"{BIN}/python3", "-c", _SCRIPT, json.dumps(list(targets)), TERMINATION)


def read_findings(said: str) -> Findings:
    """What a probing pod said last.

    Raises:
        Denied: it said nothing that could be read.
    """
    try:
        return msgspec.json.decode(said, type=Findings)
    except msgspec.DecodeError as error:
        raise Denied(f"the probe in the cluster did not say what it found ({said[:80]!r}): no step runs") from error


@contextmanager
def listening(api: str) -> Iterator[tuple[list[tuple[str, str, int]], socket.socket]]:
    """Targets for a probe, while this machine listens on one of them at all of its addresses.

    They are the API server as this node knows it, this machine's own ports, what clouds tell machines, and DNS.
    """
    with socket.create_server(("", 0)) as end:
        end.setblocking(False)
        port = end.getsockname()[1]
        targets = [("this node", address, port) for address in _own_addresses()]
        named = urlsplit(api)
        if named.hostname and not _is_loopback(named.hostname):
            targets.append(("the API server", named.hostname, named.port or 443))
        targets.append(("the cloud's metadata", *_LINK_LOCAL))
        targets += [("the resolver", *each) for each in _RESOLVERS]
        yield targets, end


def answered(end: socket.socket) -> bool:
    """Whether somebody connected to it."""
    try:
        end.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Whether that is the pod's own."""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _own_addresses() -> list[str]:
    """The addresses of this machine, loopback's aside, by the routes that it would take."""
    found: set[str] = set()
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as end:
            try:
                end.connect((far, 9))  # sends nothing
                found.add(end.getsockname()[0])
            except OSError:
                continue
    return sorted(found)
