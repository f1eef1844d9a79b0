"""Writing this site's catalog, and counting anew what it says: one at a time."""

from __future__ import annotations

import logging

import trio

from catalog.body import Body
from catalog.dagcbor import encode
from catalog.entry import Entry, read_entry
from catalog.error import ComityError
from catalog.index import Index, SiteIndex
from node.automator.book import AuditBook
from node.automator.hold import Holdings
from node.network.control import ControlNetwork
from node.replicate.indexing import Feeding, index_anew
from node.site.noting import note_entry
from node.storage.log import DiskLog

log = logging.getLogger("comity.catalog")


class Writer:
    """Writes the catalog of the site ``site``; ``network`` tells the others."""

    def __init__(
        self,
        site: str,
        catalog: DiskLog,
        index: Index,
        holdings: Holdings,
        book: AuditBook,
        network: ControlNetwork,
        feeding: Feeding,
    ) -> None:
        self._site = site
        self._catalog = catalog
        self._index = index
        self._holdings = holdings
        self._book = book
        self._network = network
        self._feeding = feeding
        self._writing = trio.Lock()

    async def write(self, body: Body) -> Entry:
        """Append a signed body to this site's catalog; it counts on return and other sites are told that there is news.

        Raises:
            VerificationFailed: not signed by whom it needs, or not the next version of its subject.
        """
        async with self._writing:
            own = self._index.site(self._site)
            entry = read_entry(self._site, own.size, body.kind, body)
            own.authorise(entry)
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
        await self._network.hint(self._catalog.note.encode())
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
