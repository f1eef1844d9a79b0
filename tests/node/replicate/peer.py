"""A member whose logs the test writes, another that holds a replica, and the site that follows them, in one process.

``Peer`` answers control questions and serves bytes as a node does; each of its answers can be replaced by a lie. There
is no event loop: every turn comes at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from catalog.body import is_visible, write_body
from catalog.checkpoint import Checkpoint, sign_checkpoint
from catalog.dagcbor import Value, encode
from catalog.entry import Entry
from catalog.error import NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.merkle import full_path
from catalog.origin import LogName, log_of, origin_of
from catalog.policy import PolicyFields
from node.message import Consistency, Heads, HeadsAnswer, ProofAnswer, read_question, reply_bytes
from node.replicate.cosign import Witness
from node.replicate.freshness import Freshness
from node.replicate.indexing import Feeding, at_once
from node.replicate.quorum import Quorum
from node.replicate.replicator import Means, Replicator
from tests.simulation.disk import SimulatedMemory, SimulatedReplica, SimulatedReplicas, StoredLog, _Log, new_log
from tests.simulation.node import bodies_answer

T = TypeVar("T")
WITNESS_ROOT, WITNESS_NODE = PrivateKey(bytes([1]) * 32), PrivateKey(bytes([2]) * 32)
ROOT, NODE, STEWARD, STRANGER = (PrivateKey(bytes([number]) * 32) for number in (3, 4, 5, 6))
HOLDER, HOLDER_NODE, OTHER, OTHER_NODE = (PrivateKey(bytes([number]) * 32) for number in (7, 8, 9, 10))
NAMES = {ROOT.did: "Author", HOLDER.did: "Holder", OTHER.did: "Other", WITNESS_ROOT.did: "Here"}
CATALOG, AUDIT = (origin_of(ROOT.did, name) for name in (LogName.CATALOG, LogName.AUDIT))


def play(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end; every turn of the simulated disk comes at once."""
    try:
        while True:
            work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result


class Peer:
    """The member that is followed. ``logs`` are what it shows; ``hidden`` are bodies that it does not serve."""

    def __init__(self) -> None:
        self.logs = {name: new_log(origin_of(ROOT.did, name), NODE) for name in LogName}
        self.hidden: set[int] = set()
        self.away = False
        self.asked: list[str] = []
        self.heads: Callable[[list[str]], list[str]] = lambda notes: notes
        self.proof: Callable[[list[bytes]], list[bytes]] = lambda hashes: hashes
        self.bytes: Callable[[str, bytes], bytes] = lambda _path, data: data
        self._previous: int | None = None
        for role, key in ((Role.NODE, NODE), (Role.STEWARD, STEWARD)):
            self.write("key", KeyFields(did=key.did, role=role, name="x", x25519=bytes(32)), ROOT, None)

    def write(
        self,
        kind: str,
        fields: Value,
        by: PrivateKey,
        previous: int | None,
        audience: tuple[str, ...] | None = None,
    ) -> int:
        """An entry in its catalog; its index."""
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=previous, audience=audience)
        return self.append(kind, encode(body))

    def append(self, kind: str, body: bytes, log: LogName = LogName.CATALOG) -> int:
        """Any body in one of its logs."""
        stored = self.logs[log]
        return stored.put(NODE, 0, [(kind, body, len(stored.leaves).to_bytes(32, "big"))])

    def grow(self, count: int = 1, text: str = "", audience: tuple[str, ...] | None = None) -> None:
        """More versions of its policy."""
        stored = self.logs[LogName.CATALOG]
        entries = []
        for number, index in enumerate(range(len(stored.leaves), len(stored.leaves) + count)):
            fields = PolicyFields(text=f"// {text}{number}")
            previous, self._previous = self._previous, index
            body = write_body("policy", fields, site=ROOT.did, at=1, by=STEWARD, previous=previous, audience=audience)
            entries.append(("policy", encode(body), index.to_bytes(32, "big")))
        # All at once: a checkpoint after each of them would cost the square of their number.
        stored.put(NODE, 0, entries)

    def forget(self, size: int, log: LogName = LogName.CATALOG) -> None:
        """Go back to ``size`` leaves, as after a restored backup or to tell another history from there."""
        stored = self.logs[log]
        del stored.leaves[size:], stored.hashes[size:]
        stored._known.clear()
        stored.bodies = {index: body for index, body in stored.bodies.items() if index < size}
        stored.note = sign_checkpoint(Checkpoint(stored.origin, size, stored.root_at(size)), NODE)
        self._previous = None if size <= 2 else size - 1

    def note(self, log: LogName = LogName.CATALOG) -> str:
        """The newest checkpoint of one of its logs."""
        return self.logs[log].note

    # --- what it answers ---------------------------------------------------------------------------------------------

    async def answer(self, question: bytes) -> bytes:
        """Its answer to a control question."""
        if self.away:
            raise Unreachable("it does not answer")
        match read_question(question):
            case Heads():
                return reply_bytes(HeadsAnswer(notes=tuple(self.heads([log.note for log in self.logs.values()]))))
            case Consistency(origin=origin, old=old, new=new):
                self.asked.append(f"consistency {old} {new}")
                stored = self._log(origin)
                path = await _Log(stored).consistency(old, new)
                return reply_bytes(ProofAnswer(hashes=tuple(full_path(old, stored.root_at(old), path))))
            case other:
                raise AssertionError(other)

    async def serve(self, site: str, path: str, asker: str) -> bytes:
        """What it serves."""
        if self.away:
            raise Unreachable("it does not answer")
        self.asked.append(path)
        return self.bytes(path, await served(SimulatedReplica(self._shown()), path.split("/catalog/")[1], asker))

    def _shown(self) -> StoredLog:
        stored = self.logs[LogName.CATALOG]
        shown = {index: body for index, body in stored.bodies.items() if index not in self.hidden}
        return StoredLog(stored.origin, stored.did, stored.note, stored.leaves, stored.hashes, shown)

    def _log(self, origin: str) -> StoredLog:
        name = log_of(origin, ROOT.did)
        assert name is not None
        return self.logs[name]


async def served(log: SimulatedReplica, path: str, asker: str) -> bytes:
    """What a member that has ``log`` gives ``asker`` at ``path``."""
    match path.split("/"):
        case ["checkpoint"]:
            return log.note.encode()
        case ["bodies", start, stop]:
            return await bodies_answer(log, int(start), int(stop), asker)
    tile = await log.tile(path)
    if tile is None:
        raise NotFound("no such tile")
    return tile


class Holder:
    """Another member, which writes nothing and holds a replica of the author's catalog."""

    def __init__(self, key: PrivateKey, node: PrivateKey) -> None:
        self.key, self.node = key, node
        self.replica: StoredLog | None = None
        self.claims: Callable[[dict[str, tuple[int, bytes]]], dict[str, tuple[int, bytes]]] = lambda known: known
        self.bytes: Callable[[str, bytes], bytes] = lambda _path, data: data
        self.asked: list[str] = []

    def hold(self, peer: Peer) -> None:
        """Hold what the author has now, with the bodies that this member may see."""
        stored = peer.logs[LogName.CATALOG]
        bodies = {at: kept for at, kept in stored.bodies.items() if is_visible(kept[1], self.key.did)}
        self.replica = StoredLog(
            stored.origin, stored.did, stored.note, list(stored.leaves), list(stored.hashes), dict(bodies)
        )

    async def answer(self, question: bytes) -> bytes:
        """Its answer to a control question."""
        assert isinstance(read_question(question), Heads)
        notes = tuple(new_log(origin_of(self.key.did, log), self.node).note for log in LogName)
        known = {}
        if self.replica is not None:
            size = len(self.replica.leaves)
            known = {self.replica.origin: (size, self.replica.root_at(size))}
        return reply_bytes(HeadsAnswer(notes=notes, known=self.claims(known)))

    async def serve(self, site: str, path: str, asker: str) -> bytes:
        """What it serves."""
        self.asked.append(path)
        if self.replica is None or site != ROOT.did:
            raise NotFound("no such log")
        return self.bytes(path, await served(SimulatedReplica(self.replica), path.split("/catalog/")[1], asker))


class Wires:
    """The ``Control`` and ``Bulk`` ports of the site that follows."""

    def __init__(self, peer: Peer, holders: dict[str, Holder]) -> None:
        self._others: dict[str, Peer | Holder] = {ROOT.did: peer, **holders}

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        """A control question."""
        return await self._others[site].answer(question)

    async def hint(self, message: bytes) -> None:
        """Gossip, which replication does not need."""

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """Bytes."""
        data = await self._others[site].serve(path.split("/")[2], path, WITNESS_ROOT.did)
        if len(data) > limit:
            raise VerificationFailed("more bytes than were asked for")
        return data


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000

    def now(self) -> int:
        """Unix milliseconds."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Nothing sleeps here."""
        raise NotImplementedError


class Members:
    """Who the members are."""

    def __init__(self) -> None:
        self.nodes = {ROOT.did: NODE.did, HOLDER.did: HOLDER_NODE.did, OTHER.did: OTHER_NODE.did}
        self.names = NAMES


class Told:
    """Whoever is told what counts: ``heard`` has the places, and «anew» where all was told again."""

    def __init__(self) -> None:
        self.heard: list[int | str] = []

    async def begin(self, site: str) -> None:
        """It is told again from the beginning."""
        self.heard.append("anew")

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """These count."""
        self.heard.extend(entry.index for entry in entries)


async def in_turn(jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The port ``Together``, one after the other."""
    return [await job() for job in jobs]


class Following:
    """The site that follows a peer. ``restart`` keeps the replica and the memory alone."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.holders = {key.did: Holder(key, node) for key, node in ((HOLDER, HOLDER_NODE), (OTHER, OTHER_NODE))}
        self.memory = SimulatedMemory()
        self.clock = Clock()
        self.stored = {ROOT.did: StoredLog(CATALOG, NODE.did)}
        for key, node in ((HOLDER, HOLDER_NODE), (OTHER, OTHER_NODE)):
            self.stored[key.did] = StoredLog(origin_of(key.did, LogName.CATALOG), node.did)
        self.restart()

    def restart(self) -> None:
        """Begin a new run."""
        members = Members()
        self.told = Told()
        self.index = Index([ROOT.did, HOLDER.did, OTHER.did, WITNESS_ROOT.did])
        self.replicas = SimulatedReplicas(self.stored)
        self.replica = self.replicas.known[ROOT.did]
        self.witness = Witness(
            WITNESS_ROOT.did,
            WITNESS_NODE,
            self.memory,
            self.index,
            lambda site: frozenset({members.nodes[site]}),
            self.clock,
            lambda: None,
        )
        freshness = Freshness(
            WITNESS_ROOT.did, self.index, self.memory, self.clock, lambda _site: Quorum(0, {}), NAMES.__getitem__
        )
        wires = Wires(self.peer, self.holders)
        means = Means(wires, wires, self.clock, at_once, in_turn)
        self.replicator = Replicator(
            WITNESS_ROOT.did,
            members,
            means,
            self.witness,
            freshness,
            self.index,
            self.replicas,
            Feeding(told=self.told),
        )

    def round(self, site: PrivateKey = ROOT) -> tuple[int, int]:
        """One round; how many leaves and bodies came."""
        came = play(self.replicator.round(site.did))
        return came.leaves, came.bodies

    def complaint(self, key: PrivateKey) -> str:
        """Why a member is set aside."""
        return self.replicator.holders.complaint(key.did)
