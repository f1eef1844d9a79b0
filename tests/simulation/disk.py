"""The simulated disk of a site: what survives a crash. Every write is whole or not there, never half.

Each write is ``turn → change → turn`` (:class:`Write`): a process killed at the first turn has written nothing, one
killed at the second has written all and does not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from catalog.checkpoint import Checkpoint, cosigners, merge_cosignatures, open_checkpoint, sign_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import BadInput, Conflict, NotFound, VerificationFailed
from catalog.fork import Fork
from catalog.key import Signer
from catalog.leaf import decode_leaf, encode_leaf, opens, seal
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash, node_hash, prove_consistency, prove_inclusion
from catalog.reopening import Reopening
from catalog.tiles import ENTRIES, HEIGHT, WIDTH, Edge, Tile, encode_bundle
from node.automator.pending import Pending
from node.bus.journal import Record, Refusal, State
from node.replication import Seen
from tests.simulation.scheduler import Turn
from workflow.cancellation import Cancellation
from workflow.order import Order
from workflow.plan.draft import NO_PLACES, Places
from workflow.receipt import Receipt
from workflow.submission import Submission


class Write(StrEnum):
    """Every change of a site's disk. A :class:`Change` goes around it."""

    APPEND = "log.append"
    COSIGN = "log.cosign"
    RENEW = "log.renew"
    ADD = "replica.add"
    DROP = "replica.drop"
    EXTEND = "replica.extend"
    PUT = "replica.put"
    REMEMBER = "memory.remember"
    ACCUSE = "memory.accuse"
    REOPEN = "memory.reopen"
    WAIT = "memory.wait"
    SETTLE = "memory.settle"
    HEAR = "memory.hear"
    BEGIN = "journal.begin"
    ORDER = "journal.order"
    RECEIVE = "journal.receive"
    REFUSE = "journal.refuse"
    CANCEL = "journal.cancel"
    PAUSE = "journal.pause"
    END = "journal.end"
    FETCH = "steps.fetch"
    STORE = "steps.store"
    HOLD = "values.hold"
    KEEP = "records.keep"

    @property
    def points(self) -> tuple[str, str]:
        """Where a process is that has not written yet, and that has written and does not know it."""
        return f"before {self}", f"after {self}"


POINTS: Final = tuple(point for write in Write for point in write.points)


class Change:
    """Around a change: others may run, and the process may end, right before and right after; not after a failure."""

    def __init__(self, write: Write) -> None:
        self._before, self._after = write.points

    async def __aenter__(self) -> None:
        await Turn(self._before)

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            await Turn(self._after)


Appended = Callable[[int, str, bytes], None]
"""(index, kind, body), called when an entry has become durable."""


@dataclass(eq=False)
class StoredLog:
    """A log's durable bytes. ``note`` is its newest checkpoint, empty for a replica that has nothing."""

    origin: str
    did: str
    note: str = ""
    leaves: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    bodies: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    cosigned: dict[int, str] = field(default_factory=dict)
    """Checkpoints with their cosignatures, by size."""
    _known: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Roots over spans of leaves: a log only grows."""

    def root_at(self, size: int) -> bytes:
        return self._root(0, min(size, len(self.hashes)))

    @property
    def frontier(self) -> Frontier:
        """The roots of the full subtrees."""
        peaks, start = [], 0
        for bit in reversed(range(len(self.hashes).bit_length())):
            if len(self.hashes) & 1 << bit:
                peaks.append(self._root(start, start + (1 << bit)))
                start += 1 << bit
        return Frontier(start, tuple(peaks))

    def subtree(self, height: int, index: int) -> bytes:
        return self._root(index << height, (index + 1) << height)

    def _root(self, start: int, stop: int) -> bytes:
        if stop - start < 2:
            return self.hashes[start] if stop > start else EMPTY_ROOT
        if (start, stop) not in self._known:
            middle = start + (1 << (stop - start - 1).bit_length() - 1)
            self._known[start, stop] = node_hash(self._root(start, middle), self._root(middle, stop))
        return self._known[start, stop]

    def copy(self) -> StoredLog:
        """All of it, to go on with apart."""
        return replace(
            self,
            leaves=list(self.leaves),
            hashes=list(self.hashes),
            bodies=dict(self.bodies),
            cosigned=dict(self.cosigned),
            _known={},
        )

    def put(self, key: Signer, epoch: int, entries: Sequence[tuple[str, bytes, bytes]]) -> int:
        """Append (kind, body, salt) entries and sign the checkpoint over them."""
        first = len(self.leaves)
        for kind, body, salt in entries:
            leaf = encode_leaf(seal(self.origin, epoch, kind, body, salt))
            self.bodies[len(self.leaves)] = (salt, body)
            self.leaves.append(leaf)
            self.hashes.append(leaf_hash(leaf))
        size = len(self.leaves)
        self.note = sign_checkpoint(Checkpoint(self.origin, size, self.root_at(size)), key)
        return first


class _Log:
    """What a site's own log and a replica have in common (:class:`node.log.Log`)."""

    def __init__(self, stored: StoredLog) -> None:
        self.stored = stored

    @property
    def origin(self) -> str:
        return self.stored.origin

    @property
    def size(self) -> int:
        return len(self.stored.leaves)

    @property
    def root(self) -> bytes:
        return self.stored.root_at(self.size)

    @property
    def note(self) -> str:
        return self.stored.note

    async def leaf(self, index: int) -> bytes:
        await Turn("log.leaf")
        if not 0 <= index < self.size:
            raise NotFound(f"no leaf {index}")
        return self.stored.leaves[index]

    async def body(self, index: int) -> tuple[bytes, bytes] | None:
        await Turn("log.body")
        if not 0 <= index < self.size:
            raise NotFound(f"no leaf {index}")
        return self.stored.bodies.get(index)

    async def read(self, start: int, stop: int) -> list[tuple[bytes, tuple[bytes, bytes] | None]]:
        await Turn("log.read")
        return [(self.stored.leaves[index], self.stored.bodies.get(index)) for index in range(start, stop)]

    async def tile(self, path: str) -> bytes | None:
        await Turn("log.tile")
        try:
            tile = Tile.parse(path)
        except BadInput:
            return None
        if not tile.within(self.size):
            return None
        if tile.level == ENTRIES:
            return encode_bundle(self.stored.leaves[tile.start : tile.stop])
        height = HEIGHT * tile.level
        first = tile.index * WIDTH
        return b"".join(self.stored.subtree(height, first + offset) for offset in range(tile.width))

    async def prove(self, index: int, size: int) -> list[bytes]:
        await Turn("log.prove")
        return prove_inclusion(index, size, self.stored.subtree)

    async def root_at(self, size: int) -> bytes:
        await Turn("log.root")
        return self.stored.root_at(size)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        await Turn("log.consistency")
        if new > self.size:
            raise BadInput(f"the log has {self.size} leaves")
        return prove_consistency(old, new, self.stored.subtree)


class SimulatedOwnLog(_Log):
    """A log that the site writes (:class:`node.log.OwnLog`): entries get their places in the order of the calls."""

    def __init__(self, stored: StoredLog, key: Signer, token: Callable[[int], bytes], appended: Appended) -> None:
        super().__init__(stored)
        self.keys = (stored.did,)
        self._key = key
        self._token = token
        self._appended = appended
        self._pending: list[list[tuple[str, bytes]]] = []
        self._placed: dict[int, int] = {}
        self.erasures = 0

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> int:
        mine = list(entries)
        self._pending.append(mine)
        async with Change(Write.APPEND):
            while id(mine) not in self._placed:
                self._commit(self._pending.pop(0))
            return self._placed.pop(id(mine))

    def _commit(self, entries: list[tuple[str, bytes]]) -> None:
        first = self.stored.put(self._key, 0, [(kind, body, self._token(32)) for kind, body in entries])
        self._placed[id(entries)] = first
        for offset, (kind, body) in enumerate(entries):
            self._appended(first + offset, kind, body)

    async def add_cosignatures(self, note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
        async with Change(Write.COSIGN):
            checkpoint = open_checkpoint(note, self.origin, self.stored.did)
            if checkpoint.size > self.size or checkpoint.root != self.stored.root_at(checkpoint.size):
                raise VerificationFailed("not a checkpoint of this log")
            kept = self.stored.cosigned.get(checkpoint.size)
            merged = merge_cosignatures(kept, note, [self.stored.did], witnesses)
            self.stored.cosigned[checkpoint.size] = merged
        return cosigners(merged, witnesses)

    async def cosigned(self, least: int = 0, count: int = 1) -> str | None:
        await Turn("log.find")
        return next((note for size, note in self._cosigned(count) if size >= least), None)

    async def last_cosigned(self, count: int = 1) -> str | None:
        await Turn("log.last")
        return next((note for _, note in self._cosigned(count)[::-1]), None)

    def _cosigned(self, count: int) -> list[tuple[int, str]]:
        return [(size, note) for size, note in sorted(self.stored.cosigned.items()) if note.count("\n— ") > count]


class SimulatedReplica(_Log):
    """A replica (:class:`node.log.PeerLog`). What was added beyond the checkpoint does not survive."""

    def __init__(self, stored: StoredLog) -> None:
        super().__init__(stored)
        self._added: list[bytes] = []
        self._edge = Edge()

    @property
    def edge(self) -> Edge:
        hashes = [*self.stored.hashes[self._edge.size :], *map(leaf_hash, self._added)]
        self._edge, _ = self._edge.extend(hashes[: len(hashes) - len(self._added)])
        return self._edge.extend(hashes[len(hashes) - len(self._added) :])[0]

    async def add(self, new_leaves: Sequence[bytes]) -> None:
        async with Change(Write.ADD):
            self._added.extend(new_leaves)

    async def drop_added(self) -> None:
        async with Change(Write.DROP):
            self._added.clear()

    async def extend(
        self, note: str, new_leaves: Sequence[bytes], bodies: Sequence[tuple[int, bytes, bytes]] = ()
    ) -> list[int]:
        async with Change(Write.EXTEND):
            stored = self.stored
            checkpoint = open_checkpoint(note, self.origin, stored.did)
            leaves = [*self._added, *new_leaves]
            hashes = [leaf_hash(leaf) for leaf in leaves]
            if checkpoint.size != self.size + len(hashes) or checkpoint.root != stored.frontier.extend(hashes).root:
                raise VerificationFailed("the leaves do not rebuild the root")
            stored.leaves.extend(leaves)
            stored.hashes.extend(hashes)
            stored.note = note
            self._added.clear()
            return self._keep(bodies)

    async def put_bodies(self, rows: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        async with Change(Write.PUT):
            return self._keep(rows)

    def _keep(self, rows: Sequence[tuple[int, bytes, bytes]]) -> list[int]:
        wrong = [index for index, salt, body in rows if not self._opens(index, salt, body)]
        self.stored.bodies.update({index: (salt, body) for index, salt, body in rows if index not in wrong})
        return wrong

    def _opens(self, index: int, salt: bytes, body: bytes) -> bool:
        try:
            return index < self.size and opens(decode_leaf(self.stored.leaves[index]), body, salt)
        except VerificationFailed:
            return False

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        await Turn("replica.missing")
        return [at for at in range(start, self.size) if at not in self.stored.bodies][:limit]


class SimulatedReplicas:
    """The replicas of a site (:class:`node.replication.Replicas`)."""

    def __init__(self, stored: Mapping[str, StoredLog]) -> None:
        self.known = {site: SimulatedReplica(log) for site, log in stored.items()}

    async def of(self, site: str) -> SimulatedReplica:
        await Turn("replicas.of")
        return self.known[site]


class SimulatedMemory:
    """What a witness must not forget, and who was heard when: ``Memory``, ``HeardMemory`` of node/replication.py."""

    # It keeps the new epochs of others' logs too (:class:`node.replicate.reopened.ReopeningMemory`), and of which
    # orders a release waits (:class:`node.automator.waiting.ReleaseMemory`), and what other owners are asked about them
    # (:class:`node.automator.owners.OwnersMemory`).

    def __init__(self) -> None:
        self.releases: dict[Cid, None] = {}
        self.asked: dict[Cid, Pending] = {}
        self.kept: dict[str, Seen] = {}
        self.accused: dict[str, Fork] = {}
        self.times: dict[str, int] = {}
        self.opened: list[Reopening] = []

    async def seen(self, origin: str) -> Seen | None:
        await Turn("memory.seen")
        return self.kept.get(origin)

    async def remember(self, origin: str, seen: Seen, after: Seen | None) -> bool:
        async with Change(Write.REMEMBER):
            if self.kept.get(origin) != after:
                return False
            self.kept[origin] = seen
        return True

    async def accuse(self, fork: Fork) -> None:
        async with Change(Write.ACCUSE):
            self.accused.setdefault(fork.origin, fork)

    async def forks(self) -> list[Fork]:
        await Turn("memory.forks")
        return list(self.accused.values())

    async def reopened(self) -> list[Reopening]:
        await Turn("memory.reopened")
        return list(self.opened)

    async def keep_reopening(self, reopening: Reopening) -> None:
        async with Change(Write.REOPEN):
            if reopening not in self.opened:
                self.opened.append(reopening)

    async def waiting(self) -> list[Cid]:
        await Turn("memory.waiting")
        return list(self.releases)

    async def keep_waiting(self, order: Cid) -> None:
        async with Change(Write.WAIT):
            self.releases[order] = None

    async def drop_waiting(self, orders: Iterable[Cid]) -> None:
        async with Change(Write.SETTLE):
            for order in orders:
                self.releases.pop(order, None)

    async def pending(self) -> list[Pending]:
        await Turn("memory.pending")
        return list(self.asked.values())

    async def keep_pending(self, pending: Pending) -> None:
        async with Change(Write.WAIT):
            self.asked[pending.order] = pending

    async def drop_pending(self, orders: Iterable[Cid]) -> None:
        async with Change(Write.SETTLE):
            for order in orders:
                self.asked.pop(order, None)

    async def heard(self) -> dict[str, int]:
        await Turn("memory.heard")
        return dict(self.times)

    async def keep_heard(self, site: str, at: int) -> None:
        async with Change(Write.HEAR):
            self.times[site] = at


class SimulatedJournal:
    """What the bus must not forget (:class:`node.bus.journal.Journal`)."""

    def __init__(self) -> None:
        self.kept: dict[Cid, Record] = {}

    async def begin(self, submission: Submission, workflow: str, now: int, places: Places = NO_PLACES) -> None:
        async with Change(Write.BEGIN):
            cid = cid_of(submission)
            made = Record(cid, submission, workflow, State.RUNNING, "", now, 0, (), (), (), places=places)
            self.kept.setdefault(cid, made)

    async def ordered(self, order: Order) -> None:
        async with Change(Write.ORDER):
            record = self.kept[order.submission]
            self.kept[order.submission] = replace(record, orders=(*record.orders, order))

    async def received(self, submission: Cid, receipt: Receipt) -> None:
        async with Change(Write.RECEIVE):
            record = self.kept[submission]
            if receipt.order not in {each.order for each in record.receipts}:
                self.kept[submission] = replace(record, receipts=(*record.receipts, receipt))

    async def refused(self, submission: Cid, refusal: Refusal) -> None:
        async with Change(Write.REFUSE):
            record = self.kept[submission]
            others = (each for each in record.refusals if each.order != refusal.order)
            self.kept[submission] = replace(record, refusals=(*others, refusal))

    async def pause(self, submission: Cid, *, paused: bool) -> None:
        async with Change(Write.PAUSE):
            record = self.kept[submission]
            if record.state is not (State.RUNNING if paused else State.PAUSED):
                raise Conflict("the submission does not run, or is not paused")
            self.kept[submission] = replace(record, state=State.PAUSED if paused else State.RUNNING)

    async def cancel(self, word: Cancellation) -> None:
        async with Change(Write.CANCEL):
            record = self.kept[word.submission]
            if record.state.ended:
                raise Conflict("the submission has ended already")
            self.kept[word.submission] = replace(record, state=State.CANCELLING, word=record.word or word)

    async def end(self, submission: Cid, state: State, reason: str, now: int) -> None:
        async with Change(Write.END):
            cancelled = self.kept[submission].state in (State.CANCELLING, State.CANCELLED)
            if cancelled == (state is State.CANCELLED):
                self.kept[submission] = replace(self.kept[submission], state=state, reason=reason, ended=now)

    async def record(self, submission: Cid) -> Record:
        await Turn("journal.record")
        if submission not in self.kept:
            raise NotFound("no such submission")
        return self.kept[submission]

    async def records(self, person: str | None = None) -> Sequence[Record]:
        await Turn("journal.records")
        return [each for each in self.kept.values() if person in (None, each.submission.person)]

    async def answered(self, most: int) -> Sequence[tuple[Order, Receipt]]:
        await Turn("journal.answered")
        pairs = [
            (order, receipt)
            for record in self.kept.values()
            for receipt in record.receipts
            for order in record.orders
            if cid_of(order) == receipt.order
        ]
        return pairs[-1 : -most - 1 : -1]


@dataclass(eq=False)
class Disk:
    """Everything of one site that survives."""

    catalog: StoredLog
    audit: StoredLog
    replicas: dict[str, StoredLog] = field(default_factory=dict)
    memory: SimulatedMemory = field(default_factory=SimulatedMemory)
    journal: SimulatedJournal = field(default_factory=SimulatedJournal)
    blobs: dict[Cid, bytes] = field(default_factory=dict)
    records: dict[Cid, bytes] = field(default_factory=dict)
    """Those of disclosure control."""
    reopenings: list[Reopening] = field(default_factory=list)
    """New epochs of this site's own logs."""


def new_log(origin: str, key: Signer) -> StoredLog:
    """An empty log with its first checkpoint."""
    return StoredLog(origin, key.did, sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key))
