"""Following the other members: what each shows with its checkpoints is taken, and a round looks for the rest.

A round with each member comes every few seconds, and at once when there is a hint of news that it did not show.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

import trio

from catalog.error import ComityError, Unreachable
from node.message import Row
from node.replicate.replicator import Members, Replicator

ROUND_SECONDS = 2.0
FIRST_PAUSE = 0.25
MAX_PAUSE = 8.0
OFFER_SECONDS = 0.25
"""How long what a member shows waits for a round with it that is under way; a first one may take minutes."""

log = logging.getLogger("comity.follow")


class Follower:
    """Keeps the replicas of all members but ``root``, this site, fresh. Members may come and go while it runs."""

    def __init__(self, root: str, members: Members, replicator: Replicator) -> None:
        self._root = root
        self._members = members
        self._replicator = replicator
        self._woken: dict[str, trio.Event] = {}
        self._turns: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._faults: dict[str, str] = {}

    @property
    def behind(self) -> dict[str, str]:
        """Of each followed site, why it is not followed, or what it sent that was refused; empty when all is well."""
        holders = self._replicator.holders
        return {site: fault or holders.complaint(site) for site, fault in self._faults.items()}

    async def run(self) -> None:
        """Follow until cancelled."""
        scopes: dict[str, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            while True:
                wanted = self._members.nodes.keys() - {self._root}
                for site in scopes.keys() - wanted:
                    scopes.pop(site).cancel()
                for site in sorted(wanted - scopes.keys()):
                    scopes[site] = trio.CancelScope()
                    nursery.start_soon(self._follow, site, scopes[site])
                await trio.sleep(ROUND_SECONDS)

    def wake(self, site: str) -> None:
        """There may be news of ``site``: a hint, never trusted, that only brings its next round forward."""
        if site in self._woken:
            self._woken[site].set()

    async def offered(self, site: str, note: str, rows: Sequence[Row]) -> None:
        """Take what ``site`` shows with a checkpoint, unless a round with it takes long; see the replicator.

        Raises:
            VerificationFailed: the checkpoint is not true, or the rows are not what it was signed over.
        """
        turn = self._turns[site]
        with trio.move_on_after(OFFER_SECONDS) as patience:
            await turn.acquire()
        if patience.cancelled_caught:
            return
        try:
            # Who asks may give up at any moment. What is begun is ended all the same: what counts is told once.
            # It is short, so that a node that is stopped does not wait for it: a whole reading is left to a round.
            with trio.CancelScope(shield=True):
                await self._replicator.offered(site, note, rows)
            if self._replicator.due(site):
                self.wake(site)
        finally:
            turn.release()

    async def _follow(self, site: str, scope: trio.CancelScope) -> None:
        self._faults[site] = ""
        pause = ROUND_SECONDS
        try:
            with scope:
                while True:
                    self._woken[site] = trio.Event()
                    pause = await self._round(site, pause)
                    with trio.move_on_after(pause):
                        await self._woken[site].wait()
        finally:
            del self._faults[site], self._woken[site]
            self._turns.pop(site, None)
            self._replicator.holders.forget(site)

    async def _round(self, site: str, pause: float) -> float:
        """One round; how long to wait until the next, where ``pause`` was waited before this one."""
        before = self._faults[site]
        try:
            async with self._turns[site]:
                await self._replicator.round(site)
            fault, pause = "", ROUND_SECONDS
        except Unreachable as error:
            # Two nodes that start together miss each other by moments: the first pause is short.
            fault, pause = str(error), min(2 * pause, MAX_PAUSE) if before else FIRST_PAUSE
        except ComityError as error:
            fault, pause = f"{type(error).__name__}: {error}", MAX_PAUSE
        if fault and fault != before:
            log.warning("%s: %s", self._members.names.get(site, site), fault)
        self._faults[site] = fault
        return pause
