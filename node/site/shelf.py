"""What the bulk server hands out: tiles and bodies of this site's catalog to members, blobs to their readers.

Whatever is unknown or forbidden is ``NotFound``, and the server answers both with the same bytes.
"""

from __future__ import annotations

from collections import OrderedDict

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, NotFound
from catalog.origin import LogName
from node.automator.book import AuditBook, Line
from node.automator.hold import Holdings
from node.network.blob import Blob, BulkRequest, blob_of
from node.replicate.catchup import BodyAnswer
from node.site.membership import JOIN_PATH, Membership
from node.storage.disk import DiskBlobs
from node.storage.stored import StoredLog
from workflow.account import Chain, FetchFields

MAX_REMEMBERED = 1024


class Shelf:
    """Answers bulk requests for the site ``site``."""

    def __init__(
        self,
        site: str,
        membership: Membership,
        catalog: StoredLog,
        blobs: DiskBlobs,
        holdings: Holdings,
        book: AuditBook,
    ) -> None:
        self._site = site
        self._membership = membership
        self._catalog = catalog
        self._blobs = blobs
        self._holdings = holdings
        self._book = book
        self._reachable: OrderedDict[Cid, frozenset[Cid]] = OrderedDict()
        self._recorded: OrderedDict[tuple[Cid, str], None] = OrderedDict()

    async def answer(self, request: BulkRequest) -> Blob:
        """Answer a request whose signature was checked.

        Raises:
            NotFound, BadInput: unknown, forbidden or malformed, all answered alike.
        """
        if request.method == "POST":
            if request.path != JOIN_PATH:
                raise NotFound("no such door")
            return blob_of(await self._membership.answer_knock(request.asker, request.body))
        asker = self._membership.site_of(request.asker)
        parts = request.path.removeprefix("/").split("/")
        if asker is None or request.query:
            raise NotFound("not for strangers")
        if parts[:3] == ["log", self._site, str(LogName.CATALOG)]:
            return blob_of(await self._log("/".join(parts[3:]), asker))
        if parts[0] == "blob" and len(parts) == 3:
            return blob_of(await self._blob(Cid.parse(parts[1]), Cid.parse(parts[2]), asker))
        raise NotFound("no such path")

    async def _log(self, path: str, asker: str) -> bytes:
        if path.startswith("body/"):
            return await self._body(path.removeprefix("body/"), asker)
        tile = await self._catalog.tile(path)
        if tile is None:
            raise NotFound("no such tile")
        return tile

    async def _body(self, text: str, asker: str) -> bytes:
        if not text.isascii() or not text.isdecimal() or len(text) > 12:
            raise BadInput("not an index")
        stored = await self._catalog.body(int(text)) if int(text) < self._catalog.size else None
        if stored is None or not read_body(stored[1]).visible_to(asker):
            raise NotFound("no such body")
        return encode(BodyAnswer(salt=stored[0], body=stored[1]))

    async def _blob(self, root: Cid, cid: Cid, asker: str) -> bytes:
        """One IPLD node below ``root``. The look-up of a forbidden and of an unknown root take the same path."""
        self._holdings.for_site(root, asker)
        names = self._reachable.get(root)
        if names is None or cid not in names:
            names = self._reachable[root] = await self._blobs.names(root)
            while len(self._reachable) > MAX_REMEMBERED:
                self._reachable.popitem(last=False)
        if cid not in names:
            raise NotFound("not below that root")
        await self._record(root, asker, begins=cid == root)
        return await self._blobs.node(cid)

    async def _record(self, root: Cid, asker: str, *, begins: bool) -> None:
        """Write a fetch down before its bytes leave: once for each time that it begins at the root."""
        if not begins and (root, asker) in self._recorded:
            return

        def fields(chain: Chain, _index: int) -> FetchFields:
            return FetchFields(root=root, site=asker, person=None, chain=chain)

        await self._book.write([Line("fetch", self._holdings.accounted(root), fields)])
        self._recorded[root, asker] = None
        while len(self._recorded) > MAX_REMEMBERED:
            self._recorded.popitem(last=False)
