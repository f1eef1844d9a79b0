"""A member that lies with its own keys: it keeps two histories of each of its logs and tells each asker either."""

from __future__ import annotations

import random

from catalog.dagcbor import Value
from catalog.error import ComityError, NotFound
from catalog.leaf import AuditKind, CatalogKind
from node.message import Consistency, Cosigned, Done, Heads, HeadsAnswer, ProofAnswer, read_question, reply_bytes
from tests.simulation.consortium import Site
from tests.simulation.disk import SimulatedReplica, StoredLog
from tests.simulation.network import Network, bulk_answer
from tests.simulation.scheduler import Nap, Process, Scheduler, Turn
from tests.simulation.watch import Watch

GROWS_MILLIS = 15_000


class Liar:
    """Answers for the site; its logs fork at a moment of its own choosing."""

    def __init__(self, site: Site, scheduler: Scheduler, network: Network, watch: Watch) -> None:
        self.process = Process(site.name)
        self._site = site
        self._scheduler = scheduler
        self._random: random.Random = scheduler.random
        self._logs = {log.origin: [log, _copy(log)] for log in (site.disk.catalog, site.disk.audit)}
        self._shown: dict[str, int] = {}
        for origin, pair in self._logs.items():
            watch.histories[origin] = [log.hashes for log in pair]
        network.attach(site.did, self.process, self._serve)
        scheduler.spawn(self.process, "grow", self._grow())

    async def _grow(self) -> None:
        number = 0
        while True:
            await Nap(self._random.randrange(1, GROWS_MILLIS))
            number += 1
            same = number < 3
            for kind, pair in zip((CatalogKind.BEAT, AuditKind.HEADS), self._logs.values(), strict=True):
                salt = self._random.randbytes(32)
                for which, log in enumerate(pair):
                    if same or self._random.random() < 0.5:
                        text = f"{number}" if same else f"{number}/{which}"
                        log.put(self._site.node, 0, [(kind, text.encode(), salt)])

    async def _serve(self, channel: str, asker: str, data: bytes) -> bytes:
        await Turn("liar")
        if channel == "bulk":
            return await bulk_answer(self._tile(asker, data.decode()))
        try:
            return reply_bytes(await self._answer(asker, data))
        except ComityError as error:
            return reply_bytes(error)

    async def _answer(self, asker: str, data: bytes) -> Value:
        match read_question(data):
            case Heads():
                self._shown[asker] = self._random.randrange(2)
                return HeadsAnswer(notes=tuple(pair[self._shown[asker]].note for pair in self._logs.values()))
            case Consistency() as question:
                log = self._logs[question.origin][self._which(asker)]
                hashes = await SimulatedReplica(log).consistency(question.old, question.new)
                return ProofAnswer(hashes=tuple(hashes))
            case Cosigned():
                return Done()
        raise NotFound("a liar does no work")

    async def _tile(self, asker: str, path: str) -> bytes:
        log = self._logs[self._site.disk.catalog.origin][self._which(asker)]
        tile = await SimulatedReplica(log).tile(path.partition("/catalog/")[2])
        if tile is None:
            raise NotFound("no such tile")
        return tile

    def _which(self, asker: str) -> int:
        """Mostly what it showed that asker last; sometimes the other, which must help it as little."""
        shown = self._shown.get(asker, 0)
        return shown if self._random.random() < 0.8 else 1 - shown


def _copy(log: StoredLog) -> StoredLog:
    return StoredLog(log.origin, log.did, log.note, list(log.leaves), list(log.hashes), dict(log.bodies))
