"""The network between the simulated sites: messages are lost, doubled, delayed past each other, and cut off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from catalog.error import ComityError, NotFound, Unreachable, VerificationFailed
from tests.simulation.scheduler import Event, Process, Scheduler, Turn

Serve = Callable[[str, str, bytes], Awaitable[bytes]]
"""(channel, asking site, question) → answer."""

Heard = Callable[[str, bytes], None]
"""(from, message): gossip, which may be anybody's and may say anything."""

Sniff = Callable[[str, str, str, bytes], None]
"""(channel, from, to, bytes), called for each message when it is sent."""


@dataclass(slots=True)
class Weather:
    """How bad the network is: chances from 0 to 1, the longest delay in milliseconds, pairs that are cut off."""

    lost: float = 0.0
    doubled: float = 0.0
    delay: int = 50
    """As doubled messages and delays pass each other, they are reordered."""

    cut: set[frozenset[str]] = field(default_factory=set)


class Network:
    """Carries questions and answers between the processes of the sites."""

    def __init__(self, scheduler: Scheduler, weather: Weather, sniff: Sniff) -> None:
        self._scheduler = scheduler
        self._random = scheduler.random
        self._sniff = sniff
        self._served: dict[str, tuple[Process, Serve]] = {}
        self._heard: dict[str, Heard] = {}
        self.weather = weather

    def attach(self, site: str, process: Process, serve: Serve, heard: Heard | None = None) -> None:
        """From now on ``process`` answers for ``site``; ``heard`` is told what is gossiped."""
        self._served[site] = (process, serve)
        if heard is not None:
            self._heard[site] = heard

    def gossip(self, source: str, message: bytes) -> None:
        """Tell everybody who is there."""
        for target, heard in list(self._heard.items()):
            process, _ = self._served[target]
            if target != source and process.alive:
                self._send("gossip", source, target, message, partial(heard, source, message))

    async def ask(self, channel: str, source: str, target: str, question: bytes, seconds: float) -> bytes:
        """One question and its answer.

        Raises:
            Unreachable: none came within ``seconds``.
        """
        await Turn(f"{channel}.ask")
        if source == target:
            _process, serve = self._served[target]
            return await serve(channel, source, question)
        answered: Event[bytes | None] = Event(self._scheduler)
        self._send(channel, source, target, question, lambda: self._arrive(channel, source, target, question, answered))
        self._scheduler.after(int(seconds * 1000), lambda: answered.set(None))
        answer = await answered
        await Turn(f"{channel}.answer")
        if answer is None:
            raise Unreachable("the site did not answer in time")
        return answer

    def _send(self, channel: str, source: str, target: str, data: bytes, arrive: Callable[[], None]) -> None:
        self._sniff(channel, source, target, data)
        if frozenset((source, target)) in self.weather.cut:
            return
        copies = 0 if self._random.random() < self.weather.lost else 1
        copies += self._random.random() < self.weather.doubled
        for _ in range(copies):
            self._scheduler.after(self._random.randrange(1, self.weather.delay + 1), arrive)

    def _arrive(self, channel: str, source: str, target: str, question: bytes, answered: Event[bytes | None]) -> None:
        process, serve = self._served.get(target, (None, None))
        if process is None or serve is None or not process.alive:
            return

        async def answer() -> None:
            data = await serve(channel, source, question)
            self._send(channel, target, source, data, lambda: answered.set(data))

        self._scheduler.spawn(process, f"serve-{channel}", answer())


class SimulatedControl:
    """The :class:`node.ports.Control` of one site."""

    def __init__(self, network: Network, site: str) -> None:
        self._network = network
        self._site = site

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        return await self._network.ask("control", self._site, site, question, seconds)

    async def hint(self, message: bytes) -> None:
        await Turn("control.hint")
        self._network.gossip(self._site, message)


class SimulatedBulk:
    """The :class:`node.ports.Bulk` of one site."""

    def __init__(self, network: Network, site: str) -> None:
        self._network = network
        self._site = site

    async def get(self, site: str, path: str, limit: int) -> bytes:
        answer = await self._network.ask("bulk", self._site, site, path.encode(), 30.0)
        if answer[:1] == b"-":
            raise NotFound("there is nothing of that name here that you may see")
        if len(answer) > limit + 1:
            raise VerificationFailed("more bytes than were asked for")
        return answer[1:]


async def bulk_answer(work: Awaitable[bytes]) -> bytes:
    """An answer's bytes on the bulk channel, or the one refusal that it knows."""
    try:
        return b"+" + await work
    except ComityError:
        return b"-"
