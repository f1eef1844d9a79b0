"""Who runs next, where more steps are ready than run at once: members take turns, each its oldest first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from node.roundrobin import RoundRobin


class Turns:
    """At most ``at_once`` turns at a time. Whoever waits with many steps goes behind those who wait with few."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting = RoundRobin[trio.Event]()

    @asynccontextmanager
    async def turn(self, member: str) -> AsyncIterator[None]:
        """Wait until it is the turn of ``member``; it has it until the block ends."""
        await self._take(member)
        try:
            yield
        finally:
            self._give()

    async def _take(self, member: str) -> None:
        if self._free:
            self._free -= 1
            return
        granted = trio.Event()
        self._waiting.put(member, granted)
        try:
            await granted.wait()
        except trio.Cancelled:
            if granted.is_set():  # both came at once
                self._give()
            else:
                self._waiting.remove(member, granted)
            raise

    def _give(self) -> None:
        granted = self._waiting.next()
        if granted is None:
            self._free += 1
        else:
            granted.set()
