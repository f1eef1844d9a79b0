"""When something was last heard from each other site, and whether an action may still rely on it.

A site is heard by a beat in its catalog under a checkpoint that the quorum cosigned: neither its own clock nor a
witness's makes what it said any newer than the earlier of the two says. Cosigning the same size again renews nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from catalog.checkpoint import Checkpoint, cosigners, open_checkpoint
from catalog.index import Index
from catalog.note import parse_note
from catalog.origin import LogName
from node.log import PeerLog
from node.ports import Clock
from node.replicate.quorum import Quorum
from node.replication import HeardMemory
from privacy.decision import Action
from privacy.freshness import BOUNDS, overdue

AHEAD_MILLIS = 10 * 60_000
"""How far a site's or a witness's clock may be ahead of ours; what it says of a later time was not heard."""


class Freshness:
    """Kept at the site ``here``. ``quorum`` gives the witnesses of a site's logs, ``names`` its name for people."""

    def __init__(
        self,
        here: str,
        index: Index,
        memory: HeardMemory,
        clock: Clock,
        quorum: Callable[[str], Quorum],
        names: Callable[[str], str],
        bounds: Mapping[Action, int] = BOUNDS,
    ) -> None:
        self._here = here
        self._index = index
        self._memory = memory
        self._clock = clock
        self._quorum = quorum
        self._names = names
        self._bounds = bounds
        self._heard: dict[str, int] = {}
        self._taken: dict[str, str] = {}
        self._latest = 0

    async def load(self) -> None:
        """Read what was heard in earlier runs."""
        self._heard = dict(await self._memory.heard())
        # Others' clocks said so, which were not further ahead of ours then: it was not earlier than this.
        self._latest = max(self._heard.values(), default=0) - AHEAD_MILLIS

    def now(self) -> int:
        """Unix milliseconds, which never go back: a clock that is set back must not make anything fresh again.

        Over a restart the newest beat of this site's own catalog holds the place, and what was heard of others.
        """
        beat = self._index.site(self._here).latest("beat", "")
        self._latest = max(self._latest, self._clock.now(), beat.body.at if beat is not None else 0)
        return self._latest

    async def hear(self, site: str, note: str, keys: Iterable[str], replica: PeerLog) -> None:
        """Take a cosigned checkpoint of the catalog of ``site``; one that makes it no fresher is passed over.

        Raises:
            VerificationFailed: it is not by one of ``keys``, a cosignature is false, or it is not of this replica.
        """
        if note == self._taken.get(site):
            return
        known = self._index.site(site)
        size = Checkpoint.parse(parse_note(note).text).size
        # One that an earlier node key signed, in its time, says what it said.
        earlier = [did for did in known.nodes() if known.signs(did, LogName.CATALOG, max(size - 1, 0))]
        checkpoint = open_checkpoint(note, replica.origin, *dict.fromkeys((*keys, *earlier)))
        beat = known.latest("beat", "")
        if beat is None or not beat.index < checkpoint.size <= replica.size:
            return
        # The clock as it is: what our own will say in time counts when that time has come.
        latest = self._clock.now() + AHEAD_MILLIS
        quorum = self._quorum(site)
        told = {name: 1000 * at for name, at in cosigners(note, quorum.witnesses).items() if 1000 * at <= latest}
        complete = quorum.since(told)
        if complete is None or beat.body.at > latest:
            return
        self._taken[site] = note
        heard = min(beat.body.at, complete)
        if heard > self._heard.get(site, 0) and await _holds(replica, checkpoint):
            await self._memory.keep_heard(site, heard)
            self._heard[site] = heard

    def refusal(self, action: Action, sites: Iterable[str]) -> str:
        """Why ``action`` may not rely on ``sites`` now, in a line for people; empty if it may.

        What this site says itself is always fresh; and stopped, as it is for all others, where it signed two histories:
        which of them has the last word on a grant, nobody knows before its root has said so.
        """
        relied = sorted(set(sites))
        for site in relied:
            if stopped := self._index.site(site).stale:
                return f"the authority of {self._names(site)} is stopped: {stopped}"
        others = [site for site in relied if site != self._here]
        return overdue(action, {self._names(site): self.age(site) for site in others}, self._bounds)

    def age(self, site: str) -> int | None:
        """How many milliseconds ago ``site`` was heard; none if it never was."""
        heard = self._heard.get(site)
        return None if heard is None else max(self.now() - heard, 0)


async def _holds(replica: PeerLog, checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint is of the log that is replicated here, and of no other history."""
    return await replica.root_at(checkpoint.size) == checkpoint.root
