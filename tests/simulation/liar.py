"""A member that lies with its own keys, in ways that each run draws anew.

It knows all that the others publish, answers whatever it is asked with what suits it, and is never ill at ease: nothing
of what it does may stop, mislead or slow anybody else.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

from msgspec import structs

from catalog.beat import BeatFields
from catalog.body import write_body
from catalog.checkpoint import Checkpoint, cosign, sign_checkpoint
from catalog.dagcbor import Value, encode
from catalog.error import ComityError, NotFound
from catalog.fork import AccuseFields, Fork
from catalog.note import parse_note
from catalog.origin import LogName, origin_of
from node.message import (
    MAX_ROWS,
    AddCheckpoint,
    Added,
    Consistency,
    Heads,
    HeadsAnswer,
    ProofAnswer,
    Question,
    Row,
    question_bytes,
    read_question,
    read_reply,
    reply_bytes,
)
from tests.simulation.consortium import EPOCH_BEGAN, Consortium, Site
from tests.simulation.disk import SimulatedReplica, StoredLog
from tests.simulation.network import Network, SimulatedControl, bulk_answer
from tests.simulation.node import bodies_answer
from tests.simulation.scheduler import Nap, Process, Scheduler, Turn
from tests.simulation.vitals import path_answer
from tests.simulation.watch import Watch

GROWS_MILLIS: Final = 30_000
BURST: Final = 60
"""Questions, and entries, of one burst of a flood."""


class Habit(StrEnum):
    """One way to lie."""

    FORKS = "forks"
    SHRINKS = "shrinks"
    WITHHOLDS = "withholds"
    GARBLES = "garbles"
    FORGES = "forges"
    MISDATES = "misdates"
    GOSSIPS = "gossips"
    FLOODS = "floods"


class _Kept:
    """One history of one log: what stands in it, every checkpoint that was signed of it, and its last beat."""

    def __init__(self, log: StoredLog) -> None:
        self.log = log
        self.notes = [log.note]
        self.last: dict[str, int] = {}


class Liar:
    """Answers for the site; it may keep two histories of each of its logs and tell each asker either."""

    def __init__(
        self,
        consortium: Consortium,
        site: Site,
        scheduler: Scheduler,
        network: Network,
        watch: Watch,
        habits: Sequence[Habit],
    ) -> None:
        self.process = Process(site.name)
        self._site = site
        self._consortium = consortium
        self._scheduler = scheduler
        self._random: random.Random = scheduler.random
        self._habits = frozenset(habits)
        copies = 2 if Habit.FORKS in self._habits else 1
        self._logs = {
            log.origin: [_Kept(log), *(_Kept(log.copy()) for _ in range(copies - 1))]
            for log in (site.disk.catalog, site.disk.audit)
        }
        self._shown: dict[str, int] = {}
        for origin, kept in self._logs.items():
            watch.histories[origin] = [each.log for each in kept]
        network.attach(site.did, self.process, self._serve)
        self._control = SimulatedControl(network, site.did)
        self._others = [other for other in consortium.sites if other is not site]
        scheduler.spawn(self.process, "grow", self._grow())
        scheduler.spawn(self.process, "push", self._push())
        for habit, task in (
            (Habit.GOSSIPS, self._gossip),
            (Habit.FLOODS, self._flood),
            (Habit.FORGES, self._forge),
        ):
            if habit in self._habits:
                scheduler.spawn(self.process, habit, task())

    # --- its logs ----------------------------------------------------------------------------------------------------

    async def _grow(self) -> None:
        number = 0
        while True:
            await Nap(self._random.randrange(1, GROWS_MILLIS))
            number += 1
            count = BURST if Habit.FLOODS in self._habits and self._random.random() < 0.5 else 1
            at, salt = self._time(), self._random.randbytes(32)
            catalog, audit = self._logs.values()
            for which, (mine, other) in enumerate(zip(catalog, audit, strict=True)):
                if number < 3 or len(catalog) == 1 or self._random.random() < 0.5:
                    self._beat(mine, at + (0 if number < 3 else which), salt, count)
                    self._put(other, "heads", [b"%d/%d" % (number, 0 if number < 3 else which)], salt)

    def _time(self) -> int:
        """The time that it says it is, Unix milliseconds."""
        now = EPOCH_BEGAN + self._scheduler.now
        if Habit.MISDATES not in self._habits:
            return now
        return self._random.choice([0, now, now - 86_400_000, now + 300_000, now + 86_400_000, 1 << 44])

    def _beat(self, kept: _Kept, at: int, salt: bytes, count: int) -> None:
        bodies = [self._body(kept, "beat", "", BeatFields(), at, ahead) for ahead in range(count)]
        self._put(kept, "beat", bodies, salt)

    def _say(self, kept: _Kept, kind: str, subject: str, fields: Value, at: int, salt: bytes) -> None:
        self._put(kept, kind, [self._body(kept, kind, subject, fields, at)], salt)

    def _body(self, kept: _Kept, kind: str, subject: str, fields: Value, at: int, ahead: int = 0) -> bytes:
        """The body of an entry that comes after ``ahead`` others which are not written yet."""
        previous = kept.last.get(kind + subject)
        kept.last[kind + subject] = len(kept.log.leaves) + ahead
        return encode(write_body(kind, fields, site=self._site.did, at=at, by=self._site.node, previous=previous))

    def _put(self, kept: _Kept, kind: str, bodies: Sequence[bytes], salt: bytes) -> None:
        kept.log.put(self._site.node, 0, [(kind, body, salt) for body in bodies])
        kept.notes.append(kept.log.note)

    # --- answering ---------------------------------------------------------------------------------------------------

    async def _serve(self, channel: str, asker: str, data: bytes) -> bytes:
        await Turn("liar")
        if Habit.WITHHOLDS in self._habits and self._random.random() < 0.3:
            await Nap(self._random.choice([5_000, 28_000, 300_000]))
        if channel == "bulk":
            return await bulk_answer(self._shelf(asker, data.decode()))
        try:
            return reply_bytes(await self._answer(asker, data))
        except ComityError as error:
            return reply_bytes(error)

    async def _answer(self, asker: str, data: bytes) -> Value:
        match read_question(data):
            case Heads():
                return self._heads(asker)
            case Consistency() as question if question.origin in self._logs:
                if self._garbles(0.3):
                    return ProofAnswer(hashes=tuple(self._random.randbytes(32) for _ in range(5)))
                return await path_answer(SimulatedReplica(self._kept(question.origin, asker).log), question)
            case AddCheckpoint() as question if not self._withholds(0.5):
                return self._cosign(question)
        raise NotFound("a liar does no work")

    def _heads(self, asker: str) -> HeadsAnswer:
        self._shown[asker] = self._random.randrange(2)
        notes = [self._note(self._kept(origin, asker)) for origin in self._logs]
        if Habit.FORGES in self._habits and self._random.random() < 0.2:
            victim = self._random.choice(self._others)
            notes = [self._forged(victim, name) for name in LogName]
        known = {}
        if Habit.GARBLES in self._habits:
            known = {
                origin_of(each.did, LogName.CATALOG): (len(each.disk.catalog.leaves) + ahead, bytes(32))
                for each in self._others
                for ahead in (self._random.choice([0, 0, 1, 1_000_000]),)
            }
        cosigned = (self._note(self._kept(self._site.disk.catalog.origin, asker)),)
        return HeadsAnswer(notes=tuple(notes), known=known, cosigned=cosigned)

    def _note(self, kept: _Kept) -> str:
        """Its newest checkpoint; an old one, if it is given to that."""
        if Habit.SHRINKS in self._habits and self._random.random() < 0.3:
            return self._random.choice(kept.notes)
        return kept.log.note

    def _cosign(self, question: AddCheckpoint) -> Added:
        """It cosigns whatever it is given; if it forges, in others' names too, or what it was not given."""
        note, by, at = question.note, self._site.did, self._time() // 1000
        if Habit.FORGES in self._habits:
            by = self._random.choice([by, self._random.choice(self._others).did])
            note = self._random.choice([note, self._forged(self._random.choice(self._others), LogName.CATALOG)])
        size = Checkpoint.parse(parse_note(question.note).text).size
        return Added(size=size + self._random.choice([0, 0, 7, -size]), line=cosign(note, by, self._site.node, at))

    async def _shelf(self, asker: str, path: str) -> bytes:
        root, _, rest = path.removeprefix("/log/").partition(f"/{LogName.CATALOG}/")
        log = self._held(root, asker)
        if log is None or self._withholds(0.7):
            raise NotFound("no such log")
        if rest == "checkpoint":
            return log.note.encode()
        kind, *numbers = rest.split("/")
        if kind == "bodies":
            data = await bodies_answer(SimulatedReplica(log), int(numbers[0]), int(numbers[1]), asker)
        else:
            data = await SimulatedReplica(log).tile(rest) or b""
        if not data:
            raise NotFound("no such tile")
        return self._garbled(data) if self._garbles(0.7) else data

    def _held(self, root: str, asker: str) -> StoredLog | None:
        """What it gives out as the catalog of ``root``: it knows all that the others publish."""
        if root == self._site.did:
            return self._kept(self._site.disk.catalog.origin, asker).log
        return next((each.disk.catalog for each in self._others if each.did == root), None)

    def _garbled(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data))
        flipped = data[:at] + bytes([data[at] ^ 1 << self._random.randrange(8)]) + data[at + 1 :]
        return self._random.choice([flipped, flipped, data[:at], data + data, self._random.randbytes(len(data))])

    def _garbles(self, chance: float) -> bool:
        return Habit.GARBLES in self._habits and self._random.random() < chance

    def _withholds(self, chance: float) -> bool:
        return Habit.WITHHOLDS in self._habits and self._random.random() < chance

    def _kept(self, origin: str, asker: str) -> _Kept:
        """Mostly the history that it showed that asker last; sometimes the other, which must help it as little."""
        histories, shown = self._logs[origin], self._shown.get(asker, 0)
        which = shown if self._random.random() < 0.8 else 1 - shown
        return histories[which % len(histories)]

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _push(self) -> None:
        """Ask one after the other to cosign either history, as it is or as it was, and show rows of it."""
        seen: dict[tuple[str, str], int] = {}
        while True:
            await Nap(self._random.randrange(1, GROWS_MILLIS))
            witness = self._random.choice(self._others).did
            kept = self._random.choice(self._logs[self._random.choice(list(self._logs))])
            log, note = kept.log, self._note(kept)
            old, size = seen.get((witness, log.origin), 0), Checkpoint.parse(parse_note(note).text).size
            question = Consistency(origin=log.origin, old=min(old, size), new=size)
            proof = (await path_answer(SimulatedReplica(log), question)).hashes
            rows = self._rows(log, self._random.choice([old, old, max(0, old - 1)]), size)
            answer = await self._ask(witness, AddCheckpoint(note=note, old=old, proof=proof, rows=rows))
            if answer is not None:
                seen[witness, log.origin] = answer.size

    def _rows(self, log: StoredLog, old: int, size: int) -> tuple[Row, ...]:
        """What goes with a checkpoint; if it garbles, one of them is not what was signed, or is left out."""
        if not size - MAX_ROWS <= old < size or self._withholds(0.5):
            return ()
        rows = [
            Row(index=at, leaf=log.leaves[at], salt=salt, body=body)
            for at, (salt, body) in sorted(log.bodies.items())
            if old <= at < size
        ]
        if self._garbles(0.5):
            at = self._random.randrange(len(rows))
            row = rows.pop(at)
            lies = (
                [],
                [structs.replace(row, leaf=self._garbled(row.leaf)[: 2 * len(row.leaf)])],
                [structs.replace(row, body=self._garbled(row.body or b""))],
                [structs.replace(row, salt=bytes(32))],
                [structs.replace(row, salt=None, body=None)],
            )
            rows[at:at] = self._random.choice(lies)
        return tuple(rows)

    async def _ask(self, witness: str, question: AddCheckpoint) -> Added | None:
        with suppress(ComityError):
            return read_reply(Added, await self._control.ask(witness, question_bytes(question)))
        return None

    async def _gossip(self) -> None:
        """Tell all of logs that there are not."""
        while True:
            await Nap(self._random.randrange(1, GROWS_MILLIS))
            message = self._forged(self._random.choice(self._others), LogName.CATALOG).encode()
            await self._control.hint(self._random.choice([message, message, self._random.randbytes(40)]))

    async def _forge(self) -> None:
        """Ask for cosignatures on others' logs as if they were its own, and accuse others of what nobody did."""
        while True:
            await Nap(self._random.randrange(1, 2 * GROWS_MILLIS))
            victim, witness = self._random.sample(self._others, 2)
            forged = self._forged(victim, self._random.choice(list(LogName)))
            await self._ask(witness.did, AddCheckpoint(note=forged, old=0, proof=()))
            log = victim.disk.catalog
            second = self._random.choice([log.note, self._forged(victim, LogName.CATALOG)])
            catalog = self._logs[self._site.disk.catalog.origin]
            fields = AccuseFields(fork=Fork(first=log.note, second=second))
            for kept in catalog:
                self._say(kept, "accuse", fields.origin, fields, self._time(), bytes(32))

    def _forged(self, victim: Site, name: LogName) -> str:
        """A checkpoint of another's log, signed with its own key."""
        log = victim.disk.catalog if name is LogName.CATALOG else victim.disk.audit
        size = max(1, len(log.leaves) + self._random.choice([-1, 0, 1, 100]))
        return sign_checkpoint(Checkpoint(log.origin, size, self._random.randbytes(32)), self._site.node)

    async def _flood(self) -> None:
        """Ask everybody for everything, many times over."""
        while True:
            await Nap(self._random.randrange(GROWS_MILLIS, 3 * GROWS_MILLIS))
            for number in range(BURST):
                target = self._random.choice(self._others)
                self._scheduler.spawn(self.process, f"flood{number}", self._question(target))

    async def _question(self, target: Site) -> None:
        log = self._random.choice([target.disk.catalog, self._site.disk.catalog])
        size = len(log.leaves)
        questions: list[Question] = [
            Heads(),
            Consistency(origin=log.origin, old=size // 2, new=size),
            Consistency(origin=log.origin, old=0, new=1 << 60),
            AddCheckpoint(note=log.note, old=size, proof=()),
        ]
        question = self._random.choice(questions)
        with suppress(ComityError):
            await self._control.ask(target.did, question_bytes(question))
