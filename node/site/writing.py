"""Writing this site's catalog, and counting anew what it says: one at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from catalog.body import Body
from catalog.dagcbor import encode
from catalog.entry import Entry, read_entry
from catalog.error import ComityError
from catalog.index import Index, SiteIndex
from node.automator.book import AuditBook
from node.automator.hold import Holdings
from node.replicate.indexing import Feeding, index_anew
from node.site.noting import note_entry
from node.storage.log import DiskLog

log = logging.getLogger("comity.catalog")


def _agreed(_entry: Entry) -> None:
    """Nothing is wrong with it."""


class Writer:
    """Writes the catalog of the site ``site``; ``feeding`` says who follows what counts."""

    def __init__(
        self,
        site: str,
        catalog: DiskLog,
        index: Index,
        holdings: Holdings,
        book: AuditBook,
        feeding: Feeding,
    ) -> None:
        self._site = site
        self._catalog = catalog
        self._index = index
        self._holdings = holdings
        self._book = book
        self._feeding = feeding
        self._writing = trio.Lock()

    async def write(self, body: Body, check: Callable[[Entry], None] = _agreed) -> Entry:
        """Append a signed body to this site's catalog; it counts on return, and is on its way to the other members.

        ``check`` may refuse it, and is asked when nothing else can be written any more before it.

        Raises:
            VerificationFailed: not signed by whom it needs, or not the next version of its subject.
        """
        async with self._writing:
            own = self._index.site(self._site)
            entry = read_entry(self._site, own.size, body.kind, body)
            own.authorise(entry)
            check(entry)
            await self._catalog.append([(body.kind, encode(body))])
            added = own.add(own.size, body.kind, body)
            if added is None:
                raise ComityError("the entry was written and does not count; restart the node and look at its catalog")
            self._holdings.publish(added)
            await self._keep(own)
            if own.due:
                await self._index_anew()
            # Before the next entry is written: the ledger knows only up to where entries were noted.
            await note_entry(self._book, self._index, added)
        if self._feeding.told is not None:
            await self._feeding.told.counted(self._site, [added])
        return added

    async def _keep(self, own: SiteIndex) -> None:
        try:
            await self._feeding.keeps.keep(self._catalog, own)
        except ComityError as error:
            log.warning("%s", error)  # the entry stands in the log and counts: the next start reads it there

    async def index_anew(self) -> None:
        """What counts of this site's own catalog has changed backwards."""
        async with self._writing:
            await self._index_anew()

    async def _index_anew(self) -> None:
        await index_anew(self._catalog, self._index, self._site, self._feeding)
