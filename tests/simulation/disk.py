"""The simulated disk of a site: what survives a crash. Every write is whole or not there, never half.

Each write is ``turn → change → turn``: a process killed at the first turn has written nothing, one killed at the
second has written all and does not know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from catalog.checkpoint import Checkpoint, cosigners, open_checkpoint, sign_checkpoint
from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import BadInput, NotFound, VerificationFailed
from catalog.key import Signer
from catalog.leaf import decode_leaf, encode_leaf, opens, seal
from catalog.merkle import EMPTY_ROOT, Frontier, leaf_hash, prove_consistency, prove_inclusion
from catalog.tiles import ENTRIES, Tile, encode_bundle
from node.bus.journal import Record, Refusal, State
from node.ports import Seen
from tests.simulation.scheduler import Turn
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

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
    cosigned: dict[tuple[int, str], int] = field(default_factory=dict)

    def root_at(self, size: int) -> bytes:
        return Frontier().extend(self.hashes[:size]).root

    def subtree(self, height: int, index: int) -> bytes:
        return Frontier().extend(self.hashes[index << height : (index + 1) << height]).root

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
    """What a site's own log and a replica have in common (:class:`node.ports.Log`)."""

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

    async def tile(self, path: str) -> bytes | None:
        await Turn("log.tile")
        try:
            tile = Tile.parse(path)
        except BadInput:
            return None
        if tile.level != ENTRIES or not tile.within(self.size):
            return None
        return encode_bundle(self.stored.leaves[tile.start : tile.stop])

    async def prove(self, index: int, size: int) -> list[bytes]:
        await Turn("log.prove")
        return prove_inclusion(index, size, self.stored.subtree)

    async def consistency(self, old: int, new: int) -> list[bytes]:
        await Turn("log.consistency")
        if new > self.size:
            raise BadInput(f"the log has {self.size} leaves")
        return prove_consistency(old, new, self.stored.subtree)


class SimulatedOwnLog(_Log):
    """A log that the site writes (:class:`node.ports.OwnLog`): entries get their places in the order of the calls."""

    def __init__(self, stored: StoredLog, key: Signer, token: Callable[[int], bytes], appended: Appended) -> None:
        super().__init__(stored)
        self._key = key
        self._token = token
        self._appended = appended
        self._pending: list[list[tuple[str, bytes]]] = []
        self._placed: dict[int, int] = {}

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> int:
        mine = list(entries)
        self._pending.append(mine)
        await Turn("log.append")
        while id(mine) not in self._placed:
            self._commit(self._pending.pop(0))
        first = self._placed.pop(id(mine))
        await Turn("log.appended")
        return first

    def _commit(self, entries: list[tuple[str, bytes]]) -> None:
        first = self.stored.put(self._key, 0, [(kind, body, self._token(32)) for kind, body in entries])
        self._placed[id(entries)] = first
        for offset, (kind, body) in enumerate(entries):
            self._appended(first + offset, kind, body)

    async def add_cosignatures(self, note: str, witnesses: Mapping[str, str]) -> dict[str, int]:
        await Turn("log.cosign")
        checkpoint = open_checkpoint(note, self.origin, self.stored.did)
        if checkpoint.size > self.size or checkpoint.root != self.stored.root_at(checkpoint.size):
            raise VerificationFailed("not a checkpoint of this log")
        for name, seconds in cosigners(note, witnesses).items():
            self.stored.cosigned.setdefault((checkpoint.size, name), seconds)
        await Turn("log.cosigned")
        return {name: at for (size, name), at in self.stored.cosigned.items() if size == checkpoint.size}


class SimulatedReplica(_Log):
    """A replica (:class:`node.ports.PeerLog`)."""

    async def extend(self, note: str, new_leaves: Sequence[bytes]) -> None:
        await Turn("replica.extend")
        stored = self.stored
        checkpoint = open_checkpoint(note, self.origin, stored.did)
        hashes = [*stored.hashes, *(leaf_hash(leaf) for leaf in new_leaves)]
        if checkpoint.size != len(hashes) or checkpoint.root != Frontier().extend(hashes).root:
            raise VerificationFailed("the leaves do not rebuild the root")
        stored.leaves.extend(new_leaves)
        stored.hashes, stored.note = hashes, note
        await Turn("replica.extended")

    async def put_body(self, index: int, salt: bytes, body: bytes) -> None:
        await Turn("replica.put")
        if not opens(decode_leaf(self.stored.leaves[index]), body, salt):
            raise VerificationFailed("the leaf commits to another body")
        self.stored.bodies[index] = (salt, body)
        await Turn("replica.putted")

    async def missing_bodies(self, start: int, limit: int) -> list[int]:
        await Turn("replica.missing")
        return [at for at in range(start, self.size) if at not in self.stored.bodies][:limit]


class SimulatedMemory:
    """What a witness must not forget (:class:`node.ports.Memory`)."""

    def __init__(self) -> None:
        self.kept: dict[str, Seen] = {}
        self.accused: list[tuple[str, str]] = []

    async def seen(self, origin: str) -> Seen | None:
        await Turn("memory.seen")
        return self.kept.get(origin)

    async def remember(self, origin: str, seen: Seen, note: str) -> None:
        await Turn("memory.remember")
        self.kept[origin] = seen
        await Turn("memory.remembered")

    async def accuse(self, origin: str, ours: str, theirs: str, reason: str) -> None:
        await Turn("memory.accuse")
        self.accused.append((origin, reason))
        await Turn("memory.accused")


class SimulatedJournal:
    """What the bus must not forget (:class:`node.bus.journal.Journal`)."""

    def __init__(self) -> None:
        self.kept: dict[Cid, Record] = {}

    async def begin(self, submission: Submission, workflow: str, now: int) -> None:
        await Turn("journal.begin")
        cid = cid_of(submission)
        self.kept.setdefault(cid, Record(cid, submission, workflow, State.RUNNING, "", now, 0, (), (), ()))
        await Turn("journal.began")

    async def ordered(self, order: Order) -> None:
        await Turn("journal.order")
        record = self.kept[order.submission]
        self.kept[order.submission] = replace(record, orders=(*record.orders, order))
        await Turn("journal.ordered")

    async def received(self, submission: Cid, receipt: Receipt) -> None:
        await Turn("journal.receive")
        record = self.kept[submission]
        if receipt.order not in {each.order for each in record.receipts}:
            self.kept[submission] = replace(record, receipts=(*record.receipts, receipt))
        await Turn("journal.received")

    async def refused(self, submission: Cid, refusal: Refusal) -> None:
        await Turn("journal.refuse")
        record = self.kept[submission]
        others = (each for each in record.refusals if each.order != refusal.order)
        self.kept[submission] = replace(record, refusals=(*others, refusal))
        await Turn("journal.refused")

    async def end(self, submission: Cid, state: State, reason: str, now: int) -> None:
        await Turn("journal.end")
        self.kept[submission] = replace(self.kept[submission], state=state, reason=reason, ended=now)
        await Turn("journal.ended")

    async def record(self, submission: Cid) -> Record:
        await Turn("journal.record")
        if submission not in self.kept:
            raise NotFound("no such submission")
        return self.kept[submission]

    async def records(self, person: str | None = None) -> Sequence[Record]:
        await Turn("journal.records")
        return [each for each in self.kept.values() if person in (None, each.submission.person)]


@dataclass(eq=False)
class Disk:
    """Everything of one site that survives."""

    catalog: StoredLog
    audit: StoredLog
    replicas: dict[str, StoredLog] = field(default_factory=dict)
    memory: SimulatedMemory = field(default_factory=SimulatedMemory)
    journal: SimulatedJournal = field(default_factory=SimulatedJournal)
    blobs: dict[Cid, bytes] = field(default_factory=dict)


def new_log(origin: str, key: Signer) -> StoredLog:
    """An empty log with its first checkpoint."""
    return StoredLog(origin, key.did, sign_checkpoint(Checkpoint(origin, 0, EMPTY_ROOT), key))
