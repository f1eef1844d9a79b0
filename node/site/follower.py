"""Following the other members: a round with each every few seconds, at once when gossip says that there is news."""

from __future__ import annotations

import logging

import trio

from catalog.error import ComityError, Unreachable
from node.replicate.replicator import Replicator

ROUND_SECONDS = 2.0
FIRST_PAUSE = 0.25
MAX_PAUSE = 8.0
log = logging.getLogger("comity.follow")


class Follower:
    """Keeps the replicas of ``sites`` fresh; ``behind`` says of each why it is not, empty when it is."""

    def __init__(self, replicator: Replicator, names: dict[str, str]) -> None:
        self._replicator = replicator
        self._names = names
        self._woken = {site: trio.Event() for site in names}
        self.behind = dict.fromkeys(names, "")

    async def run(self) -> None:
        """Follow until cancelled."""
        async with trio.open_nursery() as nursery:
            for site in self._names:
                nursery.start_soon(self._follow, site)

    def wake(self, site: str) -> None:
        """There may be news of ``site``: a hint, never trusted, that only brings its next round forward."""
        if site in self._woken:
            self._woken[site].set()

    async def _follow(self, site: str) -> None:
        pause = ROUND_SECONDS
        while True:
            self._woken[site] = trio.Event()
            try:
                await self._replicator.round(site)
                fault, pause = "", ROUND_SECONDS
            except Unreachable as error:
                # Two nodes that start together miss each other by moments: the first pause is short.
                fault, pause = str(error), min(2 * pause, MAX_PAUSE) if self.behind[site] else FIRST_PAUSE
            except ComityError as error:
                fault, pause = f"{type(error).__name__}: {error}", MAX_PAUSE
            if fault and fault != self.behind[site]:
                log.warning("%s: %s", self._names[site], fault)
            self.behind[site] = fault
            with trio.move_on_after(pause):
                await self._woken[site].wait()
