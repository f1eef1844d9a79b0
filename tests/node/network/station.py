"""Nodes of members as far as connections go: bulk server, control, lines and relay, on loopback."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

import trio

from catalog.key import PrivateKey
from node.network.blob import Blob, BulkRequest, Upgrade, blob_of
from node.network.bulk import BulkClient
from node.network.bulk_server import serve_bulk
from node.network.control import ControlNetwork, ControlSettings
from node.network.dial import Direct, Endpoint
from node.network.front import Front
from node.network.line import Lines
from node.network.links import Healing
from node.network.outbound import Outbound
from node.network.relay import Relay
from node.network.routes import Routes
from node.network.tls import Interceptions
from node.network.upgrade import Upgrades

HOST = "127.0.0.1"
QUICK = Healing(every=0.02, least=0.02, most=0.2)


class Clock:
    """The real time."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Entropy:
    def token(self, count: int) -> bytes:
        return os.urandom(count)


@dataclass
class Consortium:
    """Who the members are, and which of them have an address; changed in place."""

    members: set[str] = field(default_factory=set)
    reachable: dict[str, Endpoint] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)


class Station:
    """One member's node. It answers ``/data`` with its own did, and control questions with what was asked."""

    def __init__(self, consortium: Consortium, *, inbound: bool, key: PrivateKey | None = None) -> None:
        self.key = key or PrivateKey(os.urandom(32))
        self.did = self.key.did
        self.consortium = consortium
        self.inbound = inbound
        self.asked: list[BulkRequest] = []
        self.blobs: dict[str, Blob] = {"/data": blob_of(self.did.encode())}
        self.interceptions = Interceptions()
        self.front = Front()
        self.lines = Lines(consortium.members.__contains__)
        self.relay = Relay(self.did, self.lines, consortium.members.__contains__)
        self.upgrades = Upgrades(self.key, Clock(), Entropy(), Direct(), self.interceptions)
        self.routes = Routes(Direct(), self.upgrades, self.lines, self.reachable)
        self.outbound = Outbound(self.upgrades, self.reachable, self.front.welcome)
        self.client = self.fresh_client()
        self.answer: Callable[[BulkRequest], Awaitable[Blob | Upgrade | None]] = self.answers
        self.network = ControlNetwork(
            self.key,
            ControlSettings(None, 0, QUICK),
            admits=consortium.members.__contains__,
            answer=self._echo,
            heard=self._heard,
            known=dict,
            dialer=self.routes,
            incoming=self.front.control,
        )

    @property
    def base(self) -> str:
        """Its HTTPS address, empty if it has none."""
        host_port = self.consortium.reachable.get(self.did)
        return f"https://{host_port[0]}:{host_port[1]}" if host_port else ""

    @property
    def multiaddr(self) -> str:
        """Its control address, empty if it has none."""
        host_port = self.consortium.reachable.get(self.did)
        return f"/ip4/{host_port[0]}/tcp/{host_port[1]}" if host_port else ""

    def reachable(self) -> dict[str, Endpoint]:
        return {node: where for node, where in self.consortium.reachable.items() if node != self.did}

    def fresh_client(self) -> BulkClient:
        """A client that has no connections yet."""
        client = BulkClient(self.key, Clock(), Entropy(), self.routes, self.interceptions)
        return self.consortium.closing.enter_context(client)

    async def start(self, nursery: trio.Nursery) -> None:
        """Run it as a member, all on one port if it can be reached at all."""
        self.consortium.members.add(self.did)
        await nursery.start(self.routes.run)
        await nursery.start(self.network.serve)
        serve = partial(serve_bulk, clock=Clock(), site_of=lambda did: did, incoming=self.front.bulk)
        await nursery.start(serve, None, 0, self.key, self._answers)
        if self.inbound:
            self.consortium.reachable[self.did] = (HOST, await nursery.start(self.front.serve, HOST, 0))
        else:
            nursery.start_soon(self.outbound.run)

    async def get(self, other: Station, target: str = "/data", limit: int = 1 << 24) -> bytes:
        return await self.client.get(other.did, other.base, target, limit=limit)

    async def ask(self, other: Station, question: bytes, seconds: float = 30) -> bytes:
        return await self.network.ask(other.did, [other.multiaddr], question, seconds)

    async def answers(self, request: BulkRequest) -> Blob | Upgrade | None:
        """What it answers unless a test has it answer otherwise."""
        if self.relay.asked(request):
            return self.relay.answer(request)
        return self.blobs.get(request.path)

    async def _answers(self, request: BulkRequest) -> Blob | Upgrade | None:
        self.asked.append(request)
        return await self.answer(request)

    async def _echo(self, _asker: str, question: bytes) -> bytes:
        return question

    async def _heard(self, _teller: str, _message: bytes) -> None:
        pass


def run(test: Callable[[trio.Nursery, Consortium], Awaitable[None]]) -> None:
    """Run ``test`` with a nursery for the nodes that it starts, which stop when it ends."""

    async def main() -> None:
        consortium = Consortium()
        with trio.fail_after(60), consortium.closing:
            async with trio.open_nursery() as nursery:
                await test(nursery, consortium)
                nursery.cancel_scope.cancel()

    trio.run(main)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what another task brings about; the enclosing deadline says when it never came."""
    while not condition():  # noqa: ASYNC110 -- what is waited for sends no event
        await trio.sleep(0.005)


async def started(nursery: trio.Nursery, consortium: Consortium, *inbound: bool) -> list[Station]:
    """Nodes that run, those that only dial out with lines at all that can be reached."""
    stations = [Station(consortium, inbound=each) for each in inbound]
    for station in stations:
        await station.start(nursery)
    for station in stations:
        if not station.inbound:
            await until(lambda station=station: station.outbound.waiting_at == station.reachable().keys())  # type: ignore[misc]
    only_out = {station.did for station in stations if not station.inbound}
    for station in stations:
        if station.inbound:
            await until(lambda station=station: station.lines.counts.keys() == only_out)  # type: ignore[misc]
    return stations
