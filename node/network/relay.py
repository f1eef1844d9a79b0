"""The relay: what a member that can be reached does for those that only dial out.

It keeps their lines, and joins a member that asks ``POST /relay/NODE`` to one of that node's. Inside runs TLS or Noise
between the two ends, so the relay carries what it can neither read nor change unnoticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from trio.abc import Stream

from catalog.error import NotFound
from catalog.key import short
from node.network.blob import BulkRequest, Upgrade
from node.network.bulkhead import log
from node.network.line import LINE_PATH, LINE_PROTOCOL, MOST_OF_SITE, Lines
from node.network.splice import splice

RELAY_PATH: Final = "/relay/"
RELAY_PROTOCOL: Final = "comity-relay"

MOST_OF_ASKER: Final = 32
"""Connections of one asker that are carried at once."""

MOST: Final = 128
"""Connections of all askers together."""


class Relay:
    """Answers for ``own``, the node key here; ``admits`` says which keys are members' now."""

    def __init__(self, own: str, lines: Lines, admits: Callable[[str], bool]) -> None:
        self._own = own
        self._lines = lines
        self._admits = admits
        self._askers: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self.carried = 0
        """Bytes passed on for others since the node started."""

    def asked(self, request: BulkRequest) -> bool:
        """Whether a request is one for here."""
        return request.method == "POST" and (request.path == LINE_PATH or request.path.startswith(RELAY_PATH))

    def answer(self, request: BulkRequest) -> Upgrade:
        """Agree to keep a line of the asker, or to join it to one.

        Raises:
            NotFound: the asker or who it asks for is no member, or has no line here, or there are too many.
        """
        asker = request.asker
        if not self._admits(asker) or request.query or request.body:
            raise NotFound("not for strangers")
        if request.path == LINE_PATH:
            if not self._lines.has_room(asker):
                raise NotFound("too many lines")
            return Upgrade(LINE_PROTOCOL, partial(self._lines.hold, asker))
        node = request.path.removeprefix(RELAY_PATH)
        if node in (asker, self._own) or not self._admits(node) or not self._lines.expects(node):
            raise NotFound("no such line")
        if not self._has_room(asker, node):
            raise NotFound("too many connections are carried already")
        return Upgrade(RELAY_PROTOCOL, partial(self._join, asker, node))

    def _has_room(self, asker: str, node: str) -> bool:
        """Whether one more connection of ``asker`` to ``node`` is carried.

        Beyond its first one it has no more lines of a site than are left to others: alone it gets half of them, the
        next one a quarter, so that several who hold lines together leave some, too.
        """
        used = sum(count for (_, site), count in self._pairs.items() if site == node)
        share = self._pairs[asker, node] < max(1, MOST_OF_SITE - used)
        return share and self._askers[asker] < MOST_OF_ASKER and self._askers.total() < MOST

    async def _join(self, asker: str, node: str, stream: Stream) -> None:
        if not self._has_room(asker, node):  # others came between the agreement and now
            return
        self._askers[asker] += 1
        self._pairs[asker, node] += 1
        try:
            async with self._lines.taken(node) as line:
                await splice(stream, line, partial(self._passes, asker, node))
        except NotFound as error:
            log.debug("%s asked for a line in vain: %s", short(asker), error)
        finally:
            self._askers -= Counter([asker])  # those that come to nothing go
            self._pairs -= Counter([(asker, node)])

    def _passes(self, asker: str, node: str, count: int) -> bool:
        self.carried += count
        return self._admits(asker) and self._admits(node)
