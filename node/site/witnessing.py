"""Cosigning in a running site: its own checkpoints are put before each member as soon as there is a new one.

What waits for cosignatures waits here; what was reached is read back from the logs after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import trio

from catalog.error import Damaged
from node.message import Row
from node.ports import Control
from node.replicate.news import news_of
from node.replicate.push import Push
from node.replicate.quorum import Quorum
from node.site.lane import Lane
from node.storage.log import DiskLog
from node.storage.stored import StoredLog

COVER_SECONDS = 1.0
TELL_SECONDS = 1.0
"""How long the catalog's checkpoints are given to get on by being put before the members."""

log = logging.getLogger("comity.witness")


class Witnessing:
    """The cosigning of this site's ``catalog`` and ``audit`` log."""

    def __init__(
        self,
        catalog: DiskLog,
        audit: DiskLog,
        control: Control,
        quorum: Callable[[], Quorum],
        names: Callable[[str], str],
        covered: Callable[[], None],
    ) -> None:
        """``covered`` is called when the quorum has cosigned more of a log."""
        self._quorum = quorum
        self._names = names
        self._covered = covered
        self._control = control
        self._catalog = catalog
        self._audit = audit
        self._grown = trio.Event()
        self.catalog = Push(catalog, control, quorum, lambda: self._move(self._lanes[0]), self._news)
        self.audit = Push(audit, control, quorum, lambda: self._move(self._lanes[1]))
        self._lanes = (
            Lane(self.catalog, "the catalog", names, prompt=True),
            Lane(self.audit, "the audit log", names, prompt=False),
        )
        self._heads: tuple[int, str] = (-1, "")

    async def load(self) -> None:
        """Read how far the logs were cosigned by now."""
        for push in (self.catalog, self.audit):
            await push.load()

    @property
    def refused(self) -> Mapping[str, str]:
        """Why each member does not cosign, as far as it was asked; empty if it does."""
        catalog, audit = (lane.refused for lane in self._lanes)
        return {site: audit.get(site, "") or catalog.get(site, "") for site in {*catalog, *audit}}

    def of(self, log: StoredLog) -> Push:
        """The cosigning of one of the two logs."""
        return self.audit if log is self._audit else self.catalog

    def covered(self) -> int:
        """How many leaves of the audit log the quorum has cosigned."""
        return self.audit.covered()

    def lacking(self, least: int) -> Sequence[str]:
        """The names of the members whose cosignature on ``least`` leaves of the audit log is waited for."""
        return sorted(self._names(witness) for witness in self.audit.lacking(least))

    async def reach(self, least: int) -> None:
        """Come back once the quorum has cosigned ``least`` leaves of the audit log."""
        await self._lanes[1].reach(least)

    async def published(self, least: int) -> None:
        """Come back once the quorum has cosigned ``least`` leaves of the catalog."""
        await self._lanes[0].reach(least)

    async def cover(self, least: int, seconds: float = COVER_SECONDS) -> str:
        """A checkpoint of the audit log with at least ``least`` leaves, cosigned by the quorum if it is to be had soon.

        Else the newest one, with no cosignature: who reads it counts them.
        """
        with trio.move_on_after(seconds):
            await self.reach(least)
        found = await self._audit.cosigned(least, max(self._quorum().needed, 1))
        return found or self._audit.note

    async def head(self, beat: int) -> tuple[str, ...]:
        """The first checkpoint of the catalog that holds the leaf ``beat`` and that the quorum cosigned.

        If none holds it yet, the newest that the quorum cosigned, if any.
        """
        size, note = self._heads
        if size <= beat and self.catalog.covered() > size:
            needed = max(self._quorum().needed, 1)
            found = await self._catalog.cosigned(beat + 1, needed) or await self._catalog.last_cosigned(needed)
            if found is not None:
                size, note = self._heads = int(found.split("\n", 2)[1]), found
        return (note,) if note else ()

    def back(self, witness: str) -> None:
        """A member has shown itself: whatever it could not be asked for is asked for now."""
        for lane in self._lanes:
            lane.back(witness)

    def wake(self) -> None:
        """A log has grown."""
        for lane in self._lanes:
            lane.wake()
        grown, self._grown = self._grown, trio.Event()
        grown.set()

    async def run(self) -> None:
        """Push until cancelled, and gossip what does not reach everybody that way."""
        async with trio.open_nursery() as nursery:
            for lane in self._lanes:
                nursery.start_soon(lane.run)
            nursery.start_soon(self._tell)

    async def _tell(self) -> None:
        while True:
            grown, stood = self._grown, self.catalog.standing
            await trio.sleep(TELL_SECONDS)
            done = self.catalog.reached(self._catalog.size)
            stuck = stood == self.catalog.standing > self.catalog.covered() or any(self._lanes[0].refused.values())
            if stuck and not done:
                await self._control.hint(self._catalog.note.encode())
            if stuck or done:
                await grown.wait()

    async def _news(self, old: int, new: int) -> tuple[Row, ...]:
        """What goes with a checkpoint of the catalog: nothing where it is damaged here, which holds up no cosigning."""
        try:
            return await news_of(self._catalog, old, new)
        except Damaged as error:
            log.warning("a checkpoint goes without its entries: %s", error)
            return ()

    def _move(self, lane: Lane) -> None:
        """More is covered."""
        lane.covered()
        self._covered()
