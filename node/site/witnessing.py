"""Cosigning in a running site: its own checkpoints are put before each member as soon as there is a new one.

One task for each member, so that who is slow or away holds up nobody. What waits for cosignatures waits here; what
was reached is read back from the logs after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from catalog.error import ComityError
from node.ports import Control
from node.replicate.push import Push
from node.replicate.quorum import Quorum
from node.storage.log import DiskLog
from node.storage.stored import StoredLog

FIRST_PAUSE = 0.25
MAX_PAUSE = 4.0
COVER_SECONDS = 1.0
LINGER_SECONDS = 0.05
"""How long a new checkpoint waits for others to go with it, as long as nobody waits for its cosignatures."""

LOOK_SECONDS = 2.0
"""How often it is looked whether members came or went."""

log = logging.getLogger("comity.witness")


class Witnessing:
    """The cosigning of this site's ``catalog`` and ``audit`` log. ``refused`` says of each member why it does not."""

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
        self._moved = trio.Event()
        self._urged = trio.Event()
        self._waiting = 0
        self._news = trio.Event()
        self._catalog = catalog
        self._audit = audit
        self.catalog = Push(catalog, control, quorum, self._move)
        self.audit = Push(audit, control, quorum, self._move)
        self.refused: dict[str, str] = {}
        self._back: dict[str, trio.Event] = {}
        self._heads: tuple[int, str] = (-1, "")

    async def load(self) -> None:
        """Read how far the logs were cosigned by now."""
        for push in (self.catalog, self.audit):
            await push.load()

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
        await self._reach(self.audit, least)

    async def published(self, least: int) -> None:
        """Come back once the quorum has cosigned ``least`` leaves of the catalog."""
        await self._reach(self.catalog, least)

    async def _reach(self, push: Push, least: int) -> None:
        self._waiting += 1
        self._urged.set()
        try:
            while push.covered() < least:
                await self._moved.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._urged = trio.Event()

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
        if witness in self._back:
            self._back[witness].set()

    def wake(self) -> None:
        """A log has grown."""
        news, self._news = self._news, trio.Event()
        news.set()

    async def run(self) -> None:
        """Push until cancelled."""
        following: set[str] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for witness in set(self._quorum().witnesses) - following:
                    following.add(witness)
                    nursery.start_soon(self._follow, witness, following)
                await trio.sleep(LOOK_SECONDS)

    async def _follow(self, witness: str, following: set[str]) -> None:
        pause = FIRST_PAUSE
        while witness in self._quorum().witnesses:
            news = self._news
            fault = ""
            for push in (self.audit, self.catalog):  # one that is refused, as a forked one is, holds up the other not
                try:
                    while await push.push(witness):
                        pause = FIRST_PAUSE
                except ComityError as error:
                    fault = str(error) if fault in ("", str(error)) else f"{fault}; {error}"
            if fault and fault != self.refused.get(witness):
                log.warning("%s does not cosign: %s", self._names(witness), fault)
            self.refused[witness] = fault
            if not fault:
                await news.wait()
                with trio.move_on_after(LINGER_SECONDS):
                    await self._urged.wait()
                continue
            self._back[witness] = trio.Event()
            with trio.move_on_after(pause):
                await self._back[witness].wait()
            pause = min(2 * pause, MAX_PAUSE)
        following.discard(witness)

    def _move(self) -> None:
        """More is covered, so another checkpoint may be due."""
        moved, self._moved = self._moved, trio.Event()
        moved.set()
        self._covered()
        self.wake()
