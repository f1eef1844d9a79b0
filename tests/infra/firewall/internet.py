"""A small internet: network namespaces (ip-netns(8)) on one bridge, each with a firewall that may let nobody in."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

TOOLS = {"nft": "nftables", "ip": "iproute2", "tc": "iproute2"}
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def install_tools() -> None:
    """Install what is missing of the tools, by Debian's packages."""
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-q", environment=environment)
        run("apt-get", "install", "-yq", "--no-install-recommends", *missing, environment=environment)


def run(*command: str, given: str = "", environment: dict[str, str] | None = None) -> str:
    """What a command prints.

    Raises:
        AssertionError: it failed, with what it said.
    """
    done = subprocess.run(command, input=given, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Place:
    """A machine of the internet: its namespace, its address, and its wire's other end at the bridge."""

    namespace: str
    address: str
    bridge: str
    wire: str

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs there."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def inside(self, work: Callable[[], T]) -> T:
        """What ``work`` gives in a thread whose sockets are made there."""

        def enter() -> T:
            with open(f"/run/netns/{self.namespace}") as namespace:
                if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"cannot enter {self.namespace}")
            return work()

        # A thread of its own, which ends: it never comes back to where it was.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()

    def connection(self, port: int) -> socket.socket:
        """A connection to a port on loopback there, for whoever is outside."""
        return self.inside(lambda: socket.create_connection(("127.0.0.1", port)))

    def filter(self, rules: str) -> None:
        """Set the firewall's rules for what comes in and goes out (nft(8)); those before are gone."""
        table = f"table inet firewall\ndelete table inet firewall\ntable inet firewall {{\n{rules}\n}}\n"
        run(*self.command("nft", "-f", "-"), given=table)

    def let_nobody_in(self, out_to: Sequence[str] = ()) -> None:
        """Drop whatever opens a connection from outside; with ``out_to``, also what goes out to any other address."""
        others = f"ip daddr != {{ {', '.join(out_to)} }}"
        out = f"chain out {{ type filter hook output priority 0; oifname eth0 {others} drop; }}"
        self.filter(
            "chain in { type filter hook input priority 0; iifname eth0 tcp flags & (syn|ack) == syn drop; }\n"
            + (out if out_to else "")
        )

    @contextmanager
    def bad_link(self, rate: str, loss: int) -> Iterator[None]:
        """A link of ``rate`` (tc(8)) both ways that loses ``loss`` of a hundred packets each way.

        By token buckets and by the firewall, since not every kernel has netem.
        """
        bucket = ("root", "tbf", "rate", rate, "burst", "16kb", "latency", "300ms")
        drop = f"numgen random mod 100 < {loss} drop;"
        run("tc", "-n", self.namespace, "qdisc", "replace", "dev", "eth0", *bucket)
        run("tc", "-n", self.bridge, "qdisc", "replace", "dev", self.wire, *bucket)
        run(
            *self.command("nft", "-f", "-"),
            given=f"table inet loss {{\nchain in {{ type filter hook input priority -10; iifname eth0 {drop} }}\n"
            f"chain out {{ type filter hook output priority -10; oifname eth0 {drop} }}\n}}\n",
        )
        try:
            yield
        finally:
            run(*self.command("nft", "delete", "table", "inet", "loss"))
            run("tc", "-n", self.bridge, "qdisc", "delete", "dev", self.wire, "root")
            run("tc", "-n", self.namespace, "qdisc", "delete", "dev", "eth0", "root")


@contextmanager
def internet(names: Sequence[str]) -> Iterator[dict[str, Place]]:
    """Places of those names, each reaching all others; gone with the block."""
    install_tools()
    mark = f"comity{secrets.token_hex(3)}"
    bridge, made = f"{mark}-net", []
    try:
        run("ip", "netns", "add", bridge)
        made.append(bridge)
        run("ip", "-n", bridge, "link", "add", "wire", "type", "bridge")
        run("ip", "-n", bridge, "link", "set", "wire", "up")
        places = {}
        for number, name in enumerate(names, 1):
            place = Place(f"{mark}-{number}", f"10.77.0.{number}", bridge, f"to{number}")
            run("ip", "netns", "add", place.namespace)
            made.append(place.namespace)
            _wire(place)
            places[name] = place
        yield places
    finally:
        for namespace in made:
            run("ip", "netns", "delete", namespace)


def _wire(place: Place) -> None:
    run(
        "ip", "link", "add", place.wire, "netns", place.bridge, "type", "veth",
        "peer", "name", "eth0", "netns", place.namespace,
    )  # fmt: skip
    run("ip", "-n", place.bridge, "link", "set", place.wire, "master", "wire", "up")
    run("ip", "-n", place.namespace, "address", "add", f"{place.address}/24", "dev", "eth0")
    run("ip", "-n", place.namespace, "link", "set", "lo", "up")
    run("ip", "-n", place.namespace, "link", "set", "eth0", "up")
