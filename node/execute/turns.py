"""Who runs next, where more steps are ready than run at once: members take turns, each its oldest first."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Turns:
    """At most ``at_once`` turns at a time. Whoever waits with many steps goes behind those who wait with few."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: OrderedDict[str, deque[trio.Event]] = OrderedDict()

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
        self._waiting.setdefault(member, deque()).append(granted)
        try:
            await granted.wait()
        except trio.Cancelled:
            if granted.is_set():  # both came at once
                self._give()
            else:
                self._leave(member, granted)
            raise

    def _give(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        member, queue = self._waiting.popitem(last=False)
        queue.popleft().set()
        if queue:
            self._waiting[member] = queue

    def _leave(self, member: str, granted: trio.Event) -> None:
        queue = self._waiting[member]
        queue.remove(granted)
        if not queue:
            del self._waiting[member]
