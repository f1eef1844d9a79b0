"""One member's logs, round after round: ask for its heads, verify, cosign, fetch, index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from catalog.error import Conflict, VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.origin import LogName, origin_of
from node.message import Heads, HeadsAnswer, question_bytes, read_reply
from node.ports import Bulk, Control, PeerLog
from node.replicate.catchup import fetch_bodies, fetch_leaves, index_log
from node.replicate.cosign import Witness


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought."""

    leaves: int
    bodies: int


class Replicator:
    """Follows the logs of the other members. ``nodes`` maps a site to its node key, ``replicas`` to its replica."""

    def __init__(
        self,
        control: Control,
        bulk: Bulk,
        witness: Witness,
        index: Index,
        replicas: Mapping[str, PeerLog],
        nodes: Mapping[str, str],
    ) -> None:
        self._control = control
        self._bulk = bulk
        self._witness = witness
        self._index = index
        self._replicas = replicas
        self._nodes = nodes
        self._asked: set[str] = set()
        self._under_way: set[str] = set()

    async def round(self, site: str) -> Round:
        """Bring what ``site`` has that we lack.

        Raises:
            Conflict: a round with that site is under way; two at once could cosign past each other.
            Unreachable: it does not answer.
            VerificationFailed: it sent what is not true; what was verified before stays.
        """
        if site in self._under_way:
            raise Conflict("a round with that site is under way")
        self._under_way.add(site)
        try:
            return await self._round(site)
        finally:
            self._under_way.discard(site)

    async def _round(self, site: str) -> Round:
        answer = read_reply(HeadsAnswer, await self._control.ask(site, question_bytes(Heads())))
        notes = {note.partition("\n")[0]: note for note in answer.notes}
        expected = {origin_of(site, log) for log in LogName}
        if set(notes) != expected:
            raise VerificationFailed("its heads are not those of its two logs")
        node, replica = self._nodes[site], self._replicas[site]
        catalog = origin_of(site, LogName.CATALOG)
        # Seen first, so that the replica never holds what another history could be shown beside without evidence;
        # cosigned last, so that nothing is that did not come.
        checkpoint = await self._witness.see(site, node, catalog, notes[catalog])
        leaves = await fetch_leaves(self._bulk, site, replica, checkpoint, notes[catalog])
        bodies = await self._bodies(site, replica)
        for origin, note in sorted(notes.items()):
            await self._witness.witness(site, node, origin, note)
        return Round(leaves, bodies)

    async def _bodies(self, site: str, replica: PeerLog) -> int:
        """Fetch and index new bodies. The first round of a run also asks for those that an earlier run missed."""
        if site in self._asked:
            index = self._index.site(site)
            came = await fetch_bodies(self._bulk, site, replica, index.size)
            await index_log(replica, index)
            return came
        came = await fetch_bodies(self._bulk, site, replica, 0)
        # What came belongs at earlier places too. The new index is filled aside: one that is on its way through the
        # log says what counted once, and decisions are taken meanwhile.
        anew = SiteIndex(site)
        await index_log(replica, anew)
        self._index.replace(anew)
        self._asked.add(site)
        return came
