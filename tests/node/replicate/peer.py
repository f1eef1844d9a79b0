"""A member whose logs the test writes, and the site that follows it, in one process and without an event loop.

``Peer`` answers control questions and serves bytes as a node does; each of its answers can be replaced by a lie.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from catalog.body import write_body
from catalog.checkpoint import Checkpoint, cosigners, sign_checkpoint
from catalog.dagcbor import Value, encode
from catalog.error import NotFound, Unreachable
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.origin import LogName, log_of, origin_of
from catalog.policy import PolicyFields
from node.message import Consistency, Cosigned, Done, Heads, HeadsAnswer, ProofAnswer, read_question, reply_bytes
from node.ports import Seen
from node.replicate.catchup import BodyAnswer
from node.replicate.cosign import Witness
from node.replicate.replicator import Replicator
from tests.simulation.disk import SimulatedReplica, StoredLog, _Log, new_log

T = TypeVar("T")
WITNESS_ROOT, WITNESS_NODE = PrivateKey(bytes([1]) * 32), PrivateKey(bytes([2]) * 32)
ROOT, NODE, STEWARD, STRANGER = (PrivateKey(bytes([number]) * 32) for number in (3, 4, 5, 6))
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
        self.cosigned: list[str] = []
        self.asked: list[str] = []
        self.heads: Callable[[list[str]], list[str]] = lambda notes: notes
        self.proof: Callable[[list[bytes]], list[bytes]] = lambda hashes: hashes
        self.bytes: Callable[[str, bytes], bytes] = lambda _path, data: data
        self._previous: int | None = None
        for role, key in ((Role.NODE, NODE), (Role.STEWARD, STEWARD)):
            self.write("key", KeyFields(did=key.did, role=role, name="x", x25519=bytes(32)), ROOT, None)

    def write(self, kind: str, fields: Value, by: PrivateKey, previous: int | None) -> int:
        """An entry in its catalog; its index."""
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=previous)
        return self.append(kind, encode(body))

    def append(self, kind: str, body: bytes, log: LogName = LogName.CATALOG) -> int:
        """Any body in one of its logs."""
        stored = self.logs[log]
        return stored.put(NODE, 0, [(kind, body, len(stored.leaves).to_bytes(32, "big"))])

    def grow(self, count: int = 1, text: str = "") -> None:
        """More versions of its policy."""
        for number in range(count):
            fields = PolicyFields(text=f"// {text}{number}")
            self._previous = self.write("policy", fields, STEWARD, self._previous)

    def forget(self, size: int, log: LogName = LogName.CATALOG) -> None:
        """Go back to ``size`` leaves, as after a restored backup or to tell another history from there."""
        stored = self.logs[log]
        del stored.leaves[size:], stored.hashes[size:]
        stored.bodies = {index: body for index, body in stored.bodies.items() if index < size}
        stored.note = sign_checkpoint(Checkpoint(stored.origin, size, stored.root_at(size)), NODE)
        self._previous = None if size <= 2 else size - 1

    def note(self, log: LogName = LogName.CATALOG) -> str:
        """The newest checkpoint of one of its logs."""
        return self.logs[log].note

    # --- what it answers ---------------------------------------------------------------------------------------------

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        """The ``Control`` port of who follows it."""
        assert site == ROOT.did
        if self.away:
            raise Unreachable("it does not answer")
        match read_question(question):
            case Heads():
                return reply_bytes(HeadsAnswer(notes=tuple(self.heads([log.note for log in self.logs.values()]))))
            case Consistency(origin=origin, old=old, new=new):
                self.asked.append(f"consistency {old} {new}")
                return reply_bytes(
                    ProofAnswer(hashes=tuple(self.proof(await _Log(self._log(origin)).consistency(old, new))))
                )
            case Cosigned(note=note):
                assert cosigners(note, {WITNESS_ROOT.did: WITNESS_NODE.did}).keys() == {WITNESS_ROOT.did}
                self.cosigned.append(note.partition("\n\n")[0] + "\n")
                return reply_bytes(Done())
            case other:
                raise AssertionError(other)

    async def hint(self, message: bytes) -> None:
        """Gossip, which replication does not need."""

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """The ``Bulk`` port of who follows it."""
        if self.away:
            raise Unreachable("it does not answer")
        self.asked.append(path)
        data = self.bytes(path, await self._serve(path.removeprefix(f"/log/{site}/catalog/")))
        assert len(data) <= limit
        return data

    async def _serve(self, path: str) -> bytes:
        stored = self.logs[LogName.CATALOG]
        if path.startswith("body/"):
            index = int(path.removeprefix("body/"))
            if index in self.hidden or index not in stored.bodies:
                raise NotFound("no such body")
            salt, body = stored.bodies[index]
            return encode(BodyAnswer(salt=salt, body=body))
        tile = await _Log(stored).tile(path)
        if tile is None:
            raise NotFound("no such tile")
        return tile

    def _log(self, origin: str) -> StoredLog:
        name = log_of(origin, ROOT.did)
        assert name is not None
        return self.logs[name]


class Memory:
    """What the witness must not forget, in memory. ``events`` says in which order things became durable."""

    def __init__(self, peer: Peer) -> None:
        self.kept: dict[str, Seen] = {}
        self.accused: list[tuple[str, str, str]] = []
        self.peer = peer
        self.before: list[int] = []

    async def seen(self, origin: str) -> Seen | None:
        """What was seen last."""
        return self.kept.get(origin)

    async def remember(self, origin: str, seen: Seen, note: str) -> None:
        """Keep it, and how many cosignatures had been given before."""
        self.before.append(len(self.peer.cosigned))
        self.kept[origin] = seen

    async def accuse(self, origin: str, ours: str, theirs: str, reason: str) -> None:
        """Keep the evidence."""
        self.accused.append((origin, ours, theirs))


class Clock:
    """A clock that stands."""

    def now(self) -> int:
        """Some time."""
        return 1_700_000_000_000

    async def sleep(self, seconds: float) -> None:
        """Nothing sleeps here."""
        raise NotImplementedError


class Following:
    """The site that follows a peer. ``restart`` keeps the replica and the memory alone."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.memory = Memory(peer)
        stored = new_log(CATALOG, NODE)
        stored.note = ""
        self.replica = SimulatedReplica(stored)
        self.restart()

    def restart(self) -> None:
        """Begin a new run."""
        self.index = Index([ROOT.did])
        self.witness = Witness(WITNESS_ROOT.did, WITNESS_NODE, self.memory, self.peer, Clock())
        self.replicator = Replicator(
            self.peer, self.peer, self.witness, self.index, {ROOT.did: self.replica}, {ROOT.did: NODE.did}
        )

    def round(self) -> tuple[int, int]:
        """One round; how many leaves and bodies came."""
        came = play(self.replicator.round(ROOT.did))
        return came.leaves, came.bodies

    def cosigned(self) -> int:
        """How many cosignatures were given so far."""
        return len(self.peer.cosigned)
