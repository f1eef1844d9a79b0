"""Where a step's blocks and data come from: resident files in place, this site's blobs, or a site that holds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from node.ports import Bulk
from node.storage.brought import Brought
from node.storage.disk import DiskBlobs
from node.storage.resident import Residents
from privacy.trust import blocks_at
from workflow.argument import Data

MAX_NODE = 2 << 20
Arrived = Callable[[str, Cid], Awaitable[None]]
"""Told that all bytes under a root have come from a site."""

BATCH = 32


def blob_path(root: Cid, cid: Cid) -> str:
    """Where a site serves the IPLD node ``cid`` below ``root``."""
    return f"/blob/{root}/{cid}"


class Materials:
    """The ``Materials`` of the step executor, for the site ``site``."""

    def __init__(
        self,
        site: str,
        index: Index,
        blobs: DiskBlobs,
        residents: Residents,
        brought: Brought,
        bulk: Bulk,
        arrived: Arrived,
    ) -> None:
        """``arrived`` is told of each root that has come whole from another site, before it is used."""
        self._site = site
        self._index = index
        self._blobs = blobs
        self._residents = residents
        self._brought = brought
        self._bulk = bulk
        self._arrived = arrived

    async def block(self, cid: Cid) -> None:
        """See to it that a block is stored here whole, from any site that shares it.

        Raises:
            NotFound: no site shares it with this one. Unreachable, VerificationFailed: it cannot be fetched now.
        """
        failure: ComityError = NotFound(
            f"no block {cid} is shared with this site; check the CID or ask its author to share it"
        )
        for entry in blocks_at(self._index, cid, self._site):
            try:
                await self.bring(entry.site, cid)
            except (NotFound, Unreachable, VerificationFailed) as error:
                failure = error
            else:
                return
        raise failure

    async def resident(self, data: Data) -> Path | None:
        """The path of resident data of this site, hashed just now.

        Raises:
            VerificationFailed: the bytes are no longer what was published.
        """
        if data.site != self._site or not data.cid.is_keyed:
            return None
        found = await self._residents.find(data.cid)
        if found is None:
            raise NotFound(f"the resident dataset {data.cid} was not published from this machine")
        try:
            now = await self._blobs.hash_path(found.path)
        except BadInput as error:
            raise VerificationFailed("the data cannot be read any more as they were published") from error
        if now != found.plain:
            raise VerificationFailed("the data changed since they were published; their steward publishes them anew")
        return found.path

    async def stored(self, data: Data) -> Cid:
        """See to it that data are stored here whole."""
        await self.bring(data.site, data.cid)
        return data.cid

    async def bring(self, site: str, root: Cid) -> None:
        """Have ``root`` here whole, from ``site``; every node verified before it is stored.

        What lies here already is fetched as well, unless that site delivered it before: it may be here under
        another label, and whoever names a CID must show that it has the bytes. Nor does a site learn from what it
        is asked for whether they lie here.

        Raises:
            NotFound: the site has no such thing for us, or we are the site and lack it.
        """
        if site == self._site:
            if await self._blobs.missing(root):
                raise NotFound(f"{root} is not stored here")
            return
        if await self._brought.had_from(site, root) and not await self._blobs.missing(root):
            return
        fetched: set[Cid] = set()
        while wanted := await self._wanted(root, fetched):
            nodes = [(cid, await self._bulk.get(site, blob_path(root, cid), MAX_NODE)) for cid in wanted[:BATCH]]
            await self._blobs.put_nodes(nodes)
            fetched.update(cid for cid, _ in nodes)
        await self._arrived(site, root)
        await self._brought.keep(site, root)

    async def _wanted(self, root: Cid, fetched: set[Cid]) -> list[Cid]:
        """What is still to be fetched below ``root``: itself first, then all that is known by name."""
        if root not in fetched:
            return [root]
        return [*await self._blobs.missing(root), *sorted(await self._blobs.names(root) - fetched)]
