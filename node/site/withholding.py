"""Bytes and keys that somebody asked for and was not given, written down: who tried, and why not.

They are written a moment after the answer, for whoever is refused must not learn from the time that it takes whether
there is such a thing here. What a crash takes with it is lost; and more of one site than the bounds say stands in one
row a day that says so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from catalog.cid import Cid
from catalog.error import ComityError, Denied, shown
from catalog.httpsig import SignedRequest
from catalog.project import ProjectRef
from node.automator.book import AuditBook, Line
from node.network.bulkhead import log
from node.quota import Bound, Quota
from workflow.account import Chain, UnwrittenFields, WithheldFields

BY_SITE: Final = Bound(1_000, 1_000, "more than {a_day} requests of one site are refused a day; again in {wait}")
NOTICE: Final = Bound(1, 1, "it was said today that more were refused than are written down; again in {wait}")
AGAIN_MILLIS: Final = 3_600_000
"""The same request, refused for the same reason, is one row in so long."""
MOST_WAITING: Final = 256
REMEMBERED: Final = 4096
MOST_REASON: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """``root`` was asked for by the site ``site``, or with ``key`` its data key; ``asked`` is the request's body."""

    root: Cid
    site: str
    key: bool
    reason: str
    datasets: Sequence[Cid]
    person: str | None = None
    project: ProjectRef | None = None
    asked: bytes | None = None
    request: SignedRequest | None = None


class Withholding:
    """Writes into ``book``; ``now`` gives Unix milliseconds."""

    def __init__(self, book: AuditBook, now: Callable[[], int]) -> None:
        self._book = book
        self._now = now
        self._quota = Quota(now)
        self._send, self._receive = trio.open_memory_channel[Withheld](MOST_WAITING)
        self._written: OrderedDict[tuple[Cid, str, str | None, str], int] = OrderedDict()

    def note(self, withheld: Withheld) -> None:
        """Have it written down soon. At once, whatever it is: nobody learns from the time that this takes."""
        try:
            self._send.send_nowait(withheld)
        except trio.WouldBlock:
            log.warning("%s was asked for and not given, and too many of these wait to be written", withheld.root)

    async def run(self) -> None:
        """Write until cancelled."""
        async for each in self._receive:
            try:
                await self.write(each)
            except ComityError as error:
                log.warning("what was not given was not written down: %s", error)

    async def write(self, each: Withheld) -> None:
        """Write one down, if it is not the same as before.

        Raises:
            ComityError: the log cannot be written.
        """
        reason, now = shown(each.reason, MOST_REASON), self._now()
        known = (each.root, each.site, each.person, reason)
        if self._written.get(known, -AGAIN_MILLIS) + AGAIN_MILLIS > now:
            return
        self._written[known] = now
        self._written.move_to_end(known)
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        try:
            self._quota.take(each.site, BY_SITE)
        except Denied:
            await self._write_notice(each)
            return

        def fields(chain: Chain, _index: int) -> WithheldFields:
            return WithheldFields(
                root=each.root,
                site=each.site,
                person=each.person,
                project=each.project,
                key=each.key,
                reason=reason,
                chain=chain,
                asked=each.asked,
                request=each.request,
            )

        await self._book.write([Line("withheld", each.datasets, fields, _people(each))])

    async def _write_notice(self, each: Withheld) -> None:
        try:
            self._quota.take(each.site, NOTICE)
        except Denied:
            return

        def fields(chain: Chain, _index: int) -> UnwrittenFields:
            return UnwrittenFields(site=each.site, chain=chain)

        await self._book.write([Line("unwritten", each.datasets, fields, (each.site,))])


def _people(each: Withheld) -> tuple[str, ...]:
    return () if each.person is None else (each.person,)
