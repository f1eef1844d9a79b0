"""Lines: connections that a site which only dials out keeps open, so that others can reach it over them.

The site H opens a connection to the bulk server of a member M and asks ``POST /line`` there. From M's answer 101 on
the connection carries octets: M says :data:`BEAT` now and then, and H repeats it, so that neither holds a line that
is dead, and no firewall between forgets it. When somebody wants to reach H, M says :data:`BEGIN`, H repeats it, and
from then on the line is a connection to H's servers as if H had accepted it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio
from trio.abc import Stream

from catalog.error import NotFound
from catalog.key import short

LINE_PATH: Final = "/line"
LINE_PROTOCOL: Final = "comity-line"

BEAT: Final = b"\x00"
BEGIN: Final = b"\x01"
BEAT_SECONDS: Final = 15.0
"""Between two beats: below the half minute after which the strictest firewalls forget a connection."""

ECHO_SECONDS: Final = 10.0
"""For the other end to repeat a beat."""

BEGIN_SECONDS: Final = 4.0
"""For it to repeat the beginning, for which somebody waits."""

LOST_SECONDS: Final = 2 * BEAT_SECONDS + ECHO_SECONDS
"""Without a beat for so long, a line is dead to who opened it."""

TAKE_SECONDS: Final = 10.0
"""For a line that answers; a site whose lines are all in use opens another meanwhile."""

COMING_SECONDS: Final = 3.0
"""For a line of a site that has none at the moment, but had one within :data:`RECENT_SECONDS`."""

RECENT_SECONDS: Final = 30.0

MOST_OF_SITE: Final = 16
"""Lines of one site, idle and in use."""

MOST: Final = 256
"""Lines of all sites together."""


async def begun(line: Stream) -> bool:
    """At who opened it: wait until somebody uses the line; false when it is over instead."""
    try:
        while True:
            with trio.move_on_after(LOST_SECONDS) as patience:
                octet = await line.receive_some(1)
            if patience.cancelled_caught or octet not in (BEAT, BEGIN):
                return False
            await line.send_all(octet)
            if octet == BEGIN:
                return True
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return False


class _Line:
    """One line at the member that it leads to."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.over = trio.Event()

    async def repeats(self, octet: bytes, seconds: float) -> bool:
        """Whether the site is at the other end still."""
        heard = b""
        with trio.move_on_after(seconds):
            try:
                await self.stream.send_all(octet)
                heard = bytes(await self.stream.receive_some(1))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return False
        return heard == octet


class _Site:
    """The lines of one site: a meeting place of those that are idle and those that want one."""

    def __init__(self) -> None:
        self.count = 0
        self.last = -RECENT_SECONDS
        """When it last had a line, on trio's clock."""
        self.give, self.take = trio.open_memory_channel[_Line](0)


class Lines:
    """The lines that sites have opened here, by their node keys; ``admits`` says which keys are members'."""

    def __init__(self, admits: Callable[[str], bool]) -> None:
        self._admits = admits
        self._sites: dict[str, _Site] = {}

    @property
    def counts(self) -> dict[str, int]:
        """How many lines each node has here, idle and in use."""
        return {node: site.count for node, site in self._sites.items() if site.count}

    def expects(self, node: str) -> bool:
        """Whether there is a line of ``node``, or one is likely to come."""
        site = self._sites.get(node)
        return site is not None and (site.count > 0 or trio.current_time() - site.last < RECENT_SECONDS)

    def has_room(self, node: str) -> bool:
        """Whether ``node`` may open one more."""
        counts = self.counts
        return counts.get(node, 0) < MOST_OF_SITE and sum(counts.values()) < MOST

    async def hold(self, node: str, stream: Stream) -> None:
        """Keep a line of ``node`` until somebody has used it, it is dead, or ``node`` is no member any more."""
        if not self.has_room(node):  # others came between the agreement and now
            return
        site = self._sites.setdefault(node, _Site())
        site.count += 1
        try:
            line = _Line(stream)
            while self._admits(node) and await line.repeats(BEAT, ECHO_SECONDS):
                with trio.move_on_after(BEAT_SECONDS) as waiting:
                    await site.give.send(line)
                if not waiting.cancelled_caught:
                    await line.over.wait()
                    return
        finally:
            site.count -= 1
            site.last = trio.current_time()
            if not self._admits(node) and not site.count:
                self._sites.pop(node, None)

    @asynccontextmanager
    async def taken(self, node: str) -> AsyncIterator[Stream]:
        """A line of ``node``, begun; it is over when the context ends.

        Raises:
            NotFound: there is none, or all are in use and no other comes.
        """
        line = await self._take(node)
        try:
            yield line.stream
        finally:
            line.over.set()

    async def _take(self, node: str) -> _Line:
        site = self._sites.get(node)
        with trio.move_on_after(TAKE_SECONDS if site is not None and site.count else COMING_SECONDS):
            while site is not None and self.expects(node):
                line = await site.take.receive()
                alive = False
                try:
                    alive = await line.repeats(BEGIN, BEGIN_SECONDS)
                finally:
                    if not alive:
                        line.over.set()
                if alive:
                    return line
        raise NotFound(f"{short(node)} has no line here that is free; see whether it runs")
