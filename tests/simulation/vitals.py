"""What a simulated node does of itself, as ``node/site/witnessing.py`` and ``statements.py`` do it in a real one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from catalog.beat import BEAT_SECONDS, BeatFields
from catalog.dagcbor import Value
from catalog.error import ComityError
from catalog.fork import AccuseFields
from catalog.index import SiteIndex
from catalog.merkle import full_path
from catalog.origin import LogName, origin_of
from node.log import Log
from node.message import AddCheckpoint, Added, Consistency, ProofAnswer
from node.ports import Control
from node.replicate.cosign import Witness
from node.replicate.news import news_of, no_news
from node.replicate.push import Push
from node.replicate.quorum import Quorum
from node.replicate.replicator import Replicator
from privacy.decision import Action
from privacy.freshness import BOUNDS
from tests.simulation.consortium import Consortium, Site
from tests.simulation.disk import SimulatedOwnLog, SimulatedReplicas
from tests.simulation.scheduler import Event, Nap, Process, Scheduler

LINGER_MILLIS = 200
AGAIN_MILLIS = 5_000

Say = Callable[[str, str, Value], Awaitable[None]]
"""Writes (kind, subject, fields) into the catalog with the node's key."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often beats are written, and for how long they are relied on."""

    beat_millis: int
    bounds: Mapping[Action, int]


USUAL = Pace(1000 * BEAT_SECONDS, BOUNDS)
TIGHT = Pace(
    60_000,
    {"see": 10 * 60_000, "fetch": 8 * 60_000, "compute": 8 * 60_000, "release": 6 * 60_000, "report": 6 * 60_000},
)


def quorum_of(consortium: Consortium, owner: str) -> Quorum:
    """The witnesses of a site's logs."""
    return Quorum(consortium.quorum, {did: node for did, node in consortium.nodes.items() if did != owner})


class Vitals:
    """Cosigning in both directions, beats and accusations. It is also the automator's ``Covering``."""

    def __init__(
        self,
        site: Site,
        consortium: Consortium,
        scheduler: Scheduler,
        process: Process,
        control: Control,
        logs: Sequence[SimulatedOwnLog],
        settle: Callable[[], None],
    ) -> None:
        self._site = site
        self._consortium = consortium
        self._scheduler = scheduler
        self._process = process
        self._settle = settle
        self._news: Event[None] = Event(scheduler)
        news = (partial(news_of, logs[0]), no_news)
        self._pushes = [
            Push(log, control, lambda: quorum_of(consortium, site.did), self._move, told)
            for log, told in zip(logs, news, strict=True)
        ]

    async def load(self) -> None:
        for push in self._pushes:
            await push.load()

    def begin(self, own: SiteIndex, witness: Witness, say: Say, beat_millis: int | None) -> None:
        """Push and write until the process ends; who is mute writes one beat and no more."""
        for other in self._consortium.sites:
            if other is not self._site:
                self._scheduler.spawn(self._process, f"push-{other.name}", self._push(other.did))
        self._scheduler.spawn(self._process, "beat", self._beat(say, beat_millis))
        self._scheduler.spawn(self._process, "accuse", self._accuse(own, witness, say))

    def covered(self) -> int:
        return self._pushes[1].covered()

    def lacking(self, least: int) -> Sequence[str]:
        return sorted(self._consortium.names[each] for each in self._pushes[1].lacking(least))

    async def reach(self, least: int) -> None:
        while self.covered() < least:
            await self._news

    def wake(self) -> None:
        """A log has grown, or a fork has become known."""
        news, self._news = self._news, Event(self._scheduler)
        news.set(None)

    def _move(self) -> None:
        self._settle()
        self.wake()

    async def cosigned(self, beat: int) -> tuple[str, ...]:
        """What the answer to «heads» carries of the catalog."""
        log, needed = self._pushes[0].log, quorum_of(self._consortium, self._site.did).needed
        found = await log.cosigned(beat + 1, needed) or await log.last_cosigned(needed)
        return (found,) if found else ()

    async def _push(self, other: str) -> None:
        while True:
            news = self._news
            try:
                # As long as there is something: what was pushed may have made way for more.
                while any([await push.aim() or await push.push(other) for push in self._pushes]):
                    pass
                await news
                await Nap(LINGER_MILLIS)
            except ComityError as error:
                self._scheduler.trace.add(f"{self._site.name} push: {error}")
                await Nap(AGAIN_MILLIS + self._scheduler.random.randrange(AGAIN_MILLIS))

    async def _beat(self, say: Say, beat_millis: int | None) -> None:
        await say("beat", "", BeatFields())
        while beat_millis is not None:
            await Nap(beat_millis)
            await say("beat", "", BeatFields())

    async def _accuse(self, own: SiteIndex, witness: Witness, say: Say) -> None:
        said: set[str] = set()
        while True:
            news = self._news
            for fork in list(witness.forks.values()):
                if fork.origin not in said and not own.latest("accuse", fork.origin):
                    await say("accuse", fork.origin, AccuseFields(fork=fork))
                said.add(fork.origin)
            await news


async def cosign(
    witness: Witness,
    replicator: Replicator,
    replicas: SimulatedReplicas,
    wake: Callable[[str], None],
    asker: str,
    question: AddCheckpoint,
) -> Added:
    """The answer to «add-checkpoint», as ``node/site/questions.py`` gives it."""
    if question.note.partition("\n")[0] != origin_of(asker, LogName.CATALOG):
        return await witness.add(asker, question, None)
    replica = await replicas.of(asker)
    if question.rows:
        await replicator.offered(asker, question.note, question.rows)
    added = await witness.add(asker, question, replica)
    if added.line is not None and replica.size < added.size:
        wake(asker)
    return added


async def path_answer(log: Log, question: Consistency) -> ProofAnswer:
    """How a log begins, as ``node/site/questions.py`` answers it."""
    old, hashes = question.old, await log.consistency(question.old, question.new)
    path = full_path(old, await log.root_at(old), hashes) if 0 < old < question.new else hashes
    return ProofAnswer(hashes=tuple(path))
