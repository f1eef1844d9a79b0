"""One member's logs, round after round: ask for its heads, verify, cosign, fetch from whoever has them, index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.error import BadInput, ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.origin import LogName
from node.log import PeerLog
from node.message import Heads, HeadsAnswer, Row, question_bytes, read_reply
from node.ports import Aside, Bulk, Clock, Control, Together
from node.quota import Quota
from node.replicate.catchup import Came, Sender, fetch_bodies, fetch_leaves
from node.replicate.cosign import Witness
from node.replicate.freshness import Freshness
from node.replicate.holders import ASIDE_ROUNDS, AWAY_ROUNDS, Holders
from node.replicate.indexing import ALONE, Feeding, index_anew, index_log
from node.replicate.news import going_on
from node.replicate.quota import BODIES, BODY_BYTES, LEAVES
from node.replication import Replicas

FAILURES: Final = (Unreachable, NotFound, VerificationFailed, BadInput)
"""What a sender can make happen; anything else, and what is damaged here, is this node's own and ends the round."""

ANEW_ROUNDS: Final = 64
"""Rounds, and one more for each thousand entries, after which an index may be fed anew once more.

A member could else make all others do that work in each round, by giving an old body now and then, or by taking a key
back as of an earlier place.
"""

ANEW_AT_ONCE: Final = 8
"""How often it may be fed anew before that: bodies come late, and keys are stolen, without any lie."""

LARGE: Final = 10_000
"""Entries of a catalog that is fed anew no more than once before that: its index costs seconds."""


class Members(Protocol):
    """Who the members are; it may change between two rounds."""

    @property
    def nodes(self) -> Mapping[str, str]:
        """The node key of each member, by root key."""

    @property
    def names(self) -> Mapping[str, str]:
        """The name of each member for people, by root key."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a replicator works with."""

    control: Control
    bulk: Bulk
    clock: Clock
    aside: Aside
    together: Together


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought."""

    leaves: int
    bodies: int


class Replicator:
    """Follows the catalogs of the other members, for the site ``root``."""

    def __init__(
        self,
        root: str,
        members: Members,
        means: Means,
        witness: Witness,
        freshness: Freshness,
        index: Index,
        replicas: Replicas,
        feeding: Feeding = ALONE,
    ) -> None:
        self._root = root
        self._members = members
        self._means = means
        self._witness = witness
        self._freshness = freshness
        self._index = index
        self._replicas = replicas
        self._feeding = feeding
        self._quota = Quota(means.clock.now)
        self._asked: dict[tuple[str, str], int] = {}
        self._late: set[str] = set()
        self._anew: dict[str, tuple[float, int]] = {}
        self._under_way: set[str] = set()
        self._moved: set[str] = set()
        self.holders = Holders()

    async def round(self, site: str) -> Round:
        """Bring what ``site`` has that we lack; if it does not answer, from whoever else has more of it than we.

        Raises:
            Conflict: a round with that site is under way; two at once could cosign past each other.
            Unreachable: it does not answer; what others had of it was taken.
            Denied: it sends more than its quota.
            VerificationFailed: it sent what is not true; what was verified before stays.
        """
        if site in self._under_way:
            raise Conflict("a round with that site is under way")
        self._under_way.add(site)
        try:
            self.holders.begin(site)
            return await self._round(site)
        finally:
            self._under_way.discard(site)

    async def offered(self, site: str, note: str, rows: Sequence[Row]) -> None:
        """Take ``rows`` that ``site`` shows with ``note``, a checkpoint of its catalog, if they go on from here.

        They are verified, counted and indexed as if a round had fetched them. What is not taken is left to a round, and
        so is reading all of its catalog again (:meth:`due`): whoever shows something waits no longer than for that.

        Raises:
            VerificationFailed: the checkpoint is not true, or the rows are not what it was signed over.
        """
        if site in self._under_way:
            return
        self._under_way.add(site)
        try:
            with suppress(Denied):  # a round is refused as well, and says so
                await self._offered(site, note, rows)
        finally:
            self._under_way.discard(site)

    def due(self, site: str) -> bool:
        """Whether the next round has to read what is here of ``site`` from its first leaf again."""
        return site in self._late or self._index.site(site).due

    async def settle(self, site: str) -> None:
        """Index ``site`` again if what the consortium says of its keys changed what counts of its catalog.

        Raises:
            Conflict: a round with that site is under way.
        """
        if site in self._under_way:
            raise Conflict("a round with that site is under way")
        self._under_way.add(site)
        try:
            if self._index.site(site).due:
                replica = await self._replicas.of(site)
                await index_anew(replica, self._index, site, self._feeding)
        finally:
            self._under_way.discard(site)

    async def _round(self, site: str) -> Round:
        control = self._means.control
        # First, whether or not it answers: what its stolen keys signed must not count because it was taken down.
        await self._read_again(site, await self._replicas.of(site))
        least = await self._cosigned(site)
        try:
            answer = read_reply(HeadsAnswer, await control.ask(site, question_bytes(Heads())))
        except Unreachable:
            await self._from_others(site)
            await self._bodies_of_others(site)
            raise
        moved = await self._witness.reopen(site, answer.reopenings)
        if moved:
            # What was cosigned of the epoch before is behind it; of the new one nothing was.
            least = await self._cosigned(site)
            if LogName.CATALOG in moved:
                # Its replica is begun anew, so that what was read of it is not there any more.
                self._moved.add(site)
                self._index.site(site).become(self._index.site(site).anew())
        notes = {note.partition("\n")[0]: note for note in answer.notes}
        if set(notes) != set(least):
            raise VerificationFailed("its heads are not those of its two logs")
        self._hear(site, answer)
        replica = await self._replicas.of(site)
        catalog, audit = (self._origin(site, log) for log in (LogName.CATALOG, LogName.AUDIT))
        checkpoint = await self._witness.see(site, notes[catalog], least[catalog], replica)
        leaves = await self._leaves(site, replica, checkpoint, notes[catalog])
        await self._witness.compare(site, replica)
        if self._index.site(site).size > replica.size or site in self._moved:
            # The root has begun the catalog anew: what counted beyond what it took over counts no more.
            self._asked = {each: at for each, at in self._asked.items() if each[0] != site}
            await index_anew(replica, self._index, site, self._feeding)
            self._moved.discard(site)
        bodies = await self._bodies(site, replica, self.holders.senders(site, replica.size))
        # Their bodies are for the next round: the owner has those too that others may not give, which would come late.
        await self._from_others(site)
        await self._heed(site, answer, replica)
        # Last, for a site that forked its audit log must still be able to take a grant back in its catalog.
        await self._witness.see(site, notes[audit], least[audit], None)
        return Round(leaves, bodies)

    async def _offered(self, site: str, note: str, rows: Sequence[Row]) -> None:
        replica = await self._replicas.of(site)
        held = (replica.edge.size, self._index.site(site).size, self._asked.get((site, site), 0))
        if held != (replica.size,) * 3 or site in self._moved:
            return  # a round is not done with what is here
        checkpoint = await self._witness.see(site, note, 0, replica)
        fresh = going_on(rows, replica.size, checkpoint.size)
        if checkpoint.origin != replica.origin or not fresh:
            return
        try:
            bodies = [(row.index, row.salt, row.body) for row in fresh if row.salt and row.body is not None]
            self._quota.take(site, LEAVES, len(fresh))
            self._count(site, len(bodies), sum(len(body) for _, _, body in bodies))
            wrong = await replica.extend(note, [row.leaf for row in fresh], bodies)
            await self._witness.compare(site, replica)
            right = [index for index, _, _ in bodies if index not in wrong]
            came = Came(len(right), min(right, default=None), tuple(wrong), checkpoint.size, None)
            await self._came(site, site, replica, came)
            _refuse(came)
        except VerificationFailed as error:
            self._set_aside(site, site, error)
            raise
        await self._witness.heed(site)

    def _origin(self, site: str, log: LogName) -> str:
        return self._witness.reopened.origin(site, log)

    async def _cosigned(self, site: str) -> dict[str, int]:
        """How many leaves were cosigned here of the two logs of ``site``, by their origins of now."""
        origins = [self._origin(site, log) for log in LogName]
        return {origin: await self._witness.size(origin) for origin in origins}

    async def _heed(self, site: str, answer: HeadsAnswer, replica: PeerLog) -> None:
        """Take what ``site`` says of others' forks, and the cosignatures that show how recent its catalog is."""
        await self._witness.heed(site)
        for note in answer.cosigned:
            await self._freshness.hear(site, note, [self._members.nodes[site]], replica)

    def _hear(self, holder: str, answer: HeadsAnswer) -> None:
        """Keep what ``holder`` says that it has of the other members' catalogs."""
        origins = {self._origin(site, LogName.CATALOG): site for site in self._members.nodes if site != self._root}
        known = {origins[origin]: size for origin, (size, _) in answer.known.items() if origin in origins}
        self.holders.heard(holder, known)

    # --- leaves ------------------------------------------------------------------------------------------------------

    async def _leaves(self, site: str, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
        """Fetch up to ``checkpoint`` from the first that sends what was signed; who does not is set aside."""
        failure: ComityError | None = None
        for holder in self.holders.senders(site, checkpoint.size):
            try:
                return await self._fetch(holder, site, replica, checkpoint, note)
            except FAILURES as error:
                failure = failure or error
                self._set_aside(holder, site, error)
        if isinstance(failure, VerificationFailed):
            await self._witness.inquire(site, note, replica, self._means.control)
        raise failure or NotFound("nobody has that log")

    async def _fetch(self, holder: str, site: str, replica: PeerLog, checkpoint: Checkpoint, note: str) -> int:
        self._quota.take(site, LEAVES, max(0, checkpoint.size - replica.edge.size))
        return await fetch_leaves(self._sender(holder, site), replica, checkpoint, note)

    async def _from_others(self, site: str) -> None:
        """Take what other members have of ``site`` beyond what is here; what they send is as good as its own word."""
        replica = await self._replicas.of(site)
        for holder in self.holders.of(site, replica.size + 1):
            try:
                await self._from_holder(holder, site, replica)
            except FAILURES as error:
                self._set_aside(holder, site, error)

    async def _bodies_of_others(self, site: str) -> None:
        """Fetch from others the bodies that the owner, who is away, was not asked for."""
        replica = await self._replicas.of(site)
        if self._asked.get((site, site), 0) < replica.size and (others := self.holders.of(site, replica.size)):
            with suppress(*FAILURES):
                await self._bodies(site, replica, others)

    async def _from_holder(self, holder: str, site: str, replica: PeerLog) -> None:
        origin, node = self._origin(site, LogName.CATALOG), self._members.nodes[site]
        note = await self._sender(holder, site).note()
        checkpoint = open_checkpoint(note, origin, node)
        if checkpoint.size <= replica.size:
            raise VerificationFailed(f"it said to have more than its {checkpoint.size} entries")
        # An older one than what was cosigned is not a log that shrank: it is what another had of it at its time.
        await self._witness.see(site, note, 0, replica)
        await self._fetch(holder, site, replica, checkpoint, note)
        await self._witness.compare(site, replica)

    def _set_aside(self, holder: str, site: str, error: ComityError) -> None:
        """Ask ``holder`` for the catalog of ``site`` no more for a while."""
        names = self._members.names
        whose = "its own catalog" if holder == site else f"the catalog of {names.get(site, site)}"
        rounds = ASIDE_ROUNDS if isinstance(error, VerificationFailed) else AWAY_ROUNDS
        self.holders.set_aside(holder, site, f"{names.get(holder, holder)} failed at {whose}: {error}", rounds)

    def _sender(self, holder: str, site: str) -> Sender:
        return Sender(holder, site, self._means.bulk, self._means.together, self._means.aside)

    # --- bodies ------------------------------------------------------------------------------------------------------

    async def _bodies(self, site: str, replica: PeerLog, holders: Sequence[str]) -> int:
        """Fetch and index the bodies that lack, from the first of ``holders`` that sends what was signed."""
        failure: ComityError | None = None
        for holder in holders:
            try:
                return await self._bodies_from(holder, site, replica)
            except FAILURES as error:
                failure = failure or error
                self._set_aside(holder, site, error)
        raise failure or NotFound("nobody has the bodies of that log")

    async def _bodies_from(self, holder: str, site: str, replica: PeerLog) -> int:
        """Each holder is asked once a run for all that an earlier run missed, and from then on for what is new."""
        start = self._asked.get((site, holder), 0)
        came = await fetch_bodies(self._sender(holder, site), replica, start, partial(self._count, site))
        await self._came(site, holder, replica, came)
        await self._read_again(site, replica)
        _refuse(came)
        return came.count

    async def _came(self, site: str, holder: str, replica: PeerLog, came: Came) -> None:
        """Index what came; it may leave the whole to be read again."""
        self._asked[site, holder] = min(came.refused[0] if came.refused else came.stop, came.stop)
        if came.lowest is not None and came.lowest < self._index.site(site).size:
            self._late.add(site)
        await index_log(replica, self._index.site(site), self._feeding, came.stop)

    async def _read_again(self, site: str, replica: PeerLog) -> None:
        """Index ``site`` from its first leaf again if that is due, and was not done too often."""
        if self.due(site) and self._may_index_anew(site):
            await index_anew(replica, self._index, site, self._feeding)
            self._late.discard(site)

    def _count(self, site: str, bodies: int, size: int) -> None:
        self._quota.take(site, BODIES, bodies)
        self._quota.take(site, BODY_BYTES, size)

    def _may_index_anew(self, site: str) -> bool:
        now, size = self.holders.rounds(site), self._index.site(site).size
        most = ANEW_AT_ONCE if size < LARGE else 1
        left, last = self._anew.get(site, (most, now))
        left = min(most, left + (now - last) / (ANEW_ROUNDS + size // 1000))
        self._anew[site] = (left - 1 if left >= 1 else left), now
        return left >= 1


def _refuse(came: Came) -> None:
    """Say what was refused of what came.

    Raises:
        ComityError: what kept the rest from coming. VerificationFailed: bodies are not what was signed.
    """
    if came.failure is not None:
        raise came.failure
    if came.refused:
        raise VerificationFailed(
            f"the bodies that it sent for the entries {_few(came.refused)} are not what was signed"
        )


def _few(places: tuple[int, ...]) -> str:
    return ", ".join(map(str, places[:5])) + (" …" if len(places) > 5 else "")
