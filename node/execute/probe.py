"""The probe: a real step that tries to get out, before any stranger's step may try.

Its findings are judged one by one; a guarantee that fails is named. There is no second way to run a step: a machine
that cannot isolate runs none.
"""

from __future__ import annotations

import secrets
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from catalog.error import Denied
from node.execute.account import NOBODY
from node.step import Ending, Exit, Job, Limits

_LIMITS: Final = Limits(wall_seconds=30.0, cpu_seconds=10, memory_bytes=256 << 20, processes=8, output_bytes=1 << 16)

# Run inside, by the step's own Python. Each finding is what a step could do; the judgement is made outside.
_SCRIPT: Final = """
import json, os, socket, sys
port, name, planted, host = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
def reaches(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as end:
        end.settimeout(2)
        try:
            end.connect(address)
        except OSError:
            return False
        return True
def sets(path):
    try:
        with open(path) as file:
            value = file.read()
        with open(path, "w") as file:
            file.write(value)
    except OSError:
        return False
    return True
def reads(path):
    try:
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
def writes(path):
    try:
        with open(path, "w") as file:
            file.write("probe")
    except OSError:
        return False
    return True
def alters(path):
    try:
        os.chmod(path, 0o666)
    except OSError:
        return False
    return True
def divides():
    import ctypes
    return ctypes.CDLL(None).unshare(0x10000000) == 0
def sees():
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                found.append(host.encode() in file.read() and int(process) not in (1, os.getpid()))
        except OSError:
            continue
    return any(found) or len(found) > 2
def handed(process):
    links = []
    try:
        for fd in os.listdir(f"/proc/{process}/fd"):
            links.append(os.readlink(f"/proc/{process}/fd/{fd}"))
    except PermissionError:
        pass  # what it cannot look at it cannot open
    return [link for link in links if not link.startswith(("pipe:", "anon_inode:", "/work/", "/dev/"))]
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
json.dump({
    "network": reaches(socket.AF_INET, ("127.0.0.1", port)),
    "neighbour": reaches(socket.AF_UNIX, "\\0" + name),
    "interfaces": [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line and " lo:" not in line],
    "host_files": any(reads(root + planted) for root in ("", "/proc/1/root", "/proc/self/root", "/proc/1/cwd")),
    "root": [path for path in ("/probe", "/usr/probe", "/etc/probe", "/dev/probe", "/opt/probe") if writes(path)],
    "devices": alters("/dev/null"),
    "kernel": [path for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/swappiness") if sets(path)],
    "processes": sees(),
    "user": os.getuid(),
    "capabilities": [key for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[key], 16)],
    "privileges": int(status["NoNewPrivs"]) != 1,
    "namespaces": divides(),
    "descriptors": len(os.listdir("/proc/self/fd")) - 4 + len(handed(1)),
    "variables": sorted(key for key in os.environ if key.startswith("COMITY")),
}, open("findings", "w"))
"""


class _Findings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the probing step could do."""

    network: bool
    neighbour: bool
    interfaces: list[str]
    host_files: bool
    root: list[str]
    devices: bool
    kernel: list[str]
    processes: bool
    user: int
    capabilities: list[str]
    privileges: bool
    namespaces: bool
    descriptors: int
    variables: list[str]

    def broken(self, user: int) -> list[str]:
        """The guarantees that do not hold, in words, where a step is to be ``user``."""
        guarantees = {
            "no network": self.network or bool(self.interfaces),
            "no way to the sockets of other processes": self.neighbour,
            "no files of the host": self.host_files,
            f"a read-only root ({', '.join(self.root)})": bool(self.root),
            "no hold on the host's devices": self.devices,
            f"no hold on the kernel's settings ({', '.join(self.kernel)})": bool(self.kernel),
            "no sight of the host's processes": self.processes,
            "an unprivileged user": self.user != user,
            f"no capabilities ({', '.join(self.capabilities)})": bool(self.capabilities),
            "no new privileges": self.privileges,
            "no further user namespaces": self.namespaces,
            "no open file that it was not given": self.descriptors != 0,
            "an environment of its own": bool(self.variables),
        }
        return [guarantee for guarantee, failed in guarantees.items() if failed]


async def probe(run: Callable[[Job], Awaitable[Exit]], what: str, mend: str, user: int = NOBODY) -> None:
    """Let ``run`` run a step that tries the network, the host's files and processes, and its own root.

    ``what`` is the runner, in words; ``mend`` what an operator can do where it does not isolate; ``user`` whom a step
    sees itself as.

    Raises:
        Denied: something answered, or the step could not be run as it should; the message says what and what to do.
    """
    name = f"comity-probe-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="comity-probe-") as folder:
        work, planted = Path(folder, "left", "work"), Path(folder, "planted")
        await trio.Path(work).mkdir(mode=0o700, parents=True)
        await trio.Path(planted).write_text("a file of the host")
        with _listening(socket.AF_INET, ("127.0.0.1", 0)) as tcp, _listening(socket.AF_UNIX, f"\0{name}") as local:
            port = str(tcp.getsockname()[1])
            argv = ("python3", "-c", _SCRIPT, port, name, str(planted), name)
            done = await run(Job(argv, work, limits=_LIMITS))
            answered = [_accepted(end) for end in (tcp, local)]
        if done.ending is not Ending.EXITED or done.code != 0:
            said = done.errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Denied(f"{what}'s probe failed ({done.reason or done.code}): {said}; this node runs no steps")
        findings = msgspec.json.decode(await trio.Path(work, "findings").read_bytes(), type=_Findings)
        broken = findings.broken(user)
        if any(answered) and findings.network is findings.neighbour is False:
            broken.append("no network")
        if broken:
            raise Denied(f"{what} does not give {'; '.join(broken)}: this node runs no steps; {mend}")


SANDBOX: Final = (
    "the sandbox",
    "run it as an unprivileged user on a kernel with user namespaces, and probe again",
)
"""The default runner, and what to do where it does not isolate."""


def refusal(message: str) -> Denied:
    """Why no sandbox can be made on this machine, from bubblewrap's own ``message`` and the kernel's settings."""
    said = message.strip().rpartition("\n")[2].removeprefix("bwrap: ") or "it ended without a word"
    return Denied(f"no sandbox can be made here, and a step is never run without one: {said}; {_mend()}")


def _mend() -> str:
    if _setting("user/max_user_namespaces") == "0":
        return "user namespaces are switched off: set «sysctl user.max_user_namespaces=10000»"
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root alone here: set «sysctl kernel.unprivileged_userns_clone=1»"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor restricts user namespaces: give bwrap a profile with «userns,», "
            "or set «sysctl kernel.apparmor_restrict_unprivileged_userns=0»"
        )
    return "in a container, allow it user namespaces and an unmasked /proc; then probe again"


def _setting(name: str) -> str:
    path = Path("/proc/sys", name)
    return path.read_text().strip() if path.exists() else ""


def _listening(family: socket.AddressFamily, address: tuple[str, int] | str) -> socket.socket:
    end = socket.socket(family, socket.SOCK_STREAM)
    end.bind(address)
    end.listen()
    end.setblocking(False)
    return end


def _accepted(end: socket.socket) -> bool:
    try:
        end.accept()[0].close()
    except BlockingIOError:
        return False
    return True
