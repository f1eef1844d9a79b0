"""Whole data through one's own node: brought here once, resumably, then read from here, file by file."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from catalog.cid import Cid
from catalog.entry import Entry
from catalog.error import ComityError, NotFound, Unreachable
from catalog.httpsig import SignedRequest
from node.api.tree import FolderView, TreeItem, TreePage
from node.site.fetching import from_any, have_whole, write_down
from node.site.listing import names_at, names_here, not_there
from node.site.locating import mirrors_of, refused, title_of
from node.site.publishing import name_of
from node.site.site import Site
from node.storage.directory import resolve
from node.storage.paging import page_of
from node.storage.unixfs import Get, load

LOOK_SECONDS: Final = 8.0
"""For holders to say what is in a folder."""
_FIRST: Final = 20
"""Names of a folder that are shown."""


async def tree(site: Site, did: str, signed: SignedRequest, cid: Cid, path: str, after: str) -> TreePage:
    """What lies at ``path`` below ``cid``: the page behind ``after``. With the first one all of ``cid`` comes here.

    Written down once, when all is here; the parts that the person asks for next go on with that.

    Raises:
        NotFound: nothing of that name, or nothing that this site may see. Denied: this site is halted.
        BadInput: no path. Unreachable, VerificationFailed, ComityError: it cannot be had now, or there is no room.
    """

    async def give(entry: Entry) -> TreePage:
        if not after or not site.reading.has_whole(did, cid):
            await have_whole(site, entry, cid)
            await write_down(site, did, signed, entry, cid)
            site.reading.begins_whole(did, cid)
        site.reading.goes_on(did, cid)
        site.blobs.touch(cid)
        try:
            return await trio.to_thread.run_sync(page_at, cid, path, after, site.blobs.get)
        except NotFound as error:
            raise await not_there(site, entry.site, cid, path) from error

    return await from_any(site, did, cid, give)


async def folder(site: Site, did: str, signed: SignedRequest, cid: Cid) -> FolderView:
    """The first names in the folder ``cid``, and how many there are; what is not here is looked into at a holder.

    Written down as any fetch: names are of the data.

    Raises:
        NotFound: nothing of that name, or nothing that this site may see. Denied: this site is halted.
        Unreachable: no holder answers.
    """

    async def give(entry: Entry) -> FolderView:
        names = await _names(site, entry.site, cid)
        if not site.reading.goes_on(did, cid):
            await write_down(site, did, signed, entry, cid)
        return FolderView(names=tuple((names or [])[:_FIRST]), count=len(names or []))

    return await from_any(site, did, cid, give)


async def _names(site: Site, owner: str, cid: Cid) -> list[str] | None:
    if owner == site.root:
        return await names_here(site, cid, "")
    if await site.brought.had_from(owner, cid):
        with suppress(NotFound):  # it was cleared away
            return await names_here(site, cid, "")
    return await _names_elsewhere(site, owner, cid)


async def _names_elsewhere(site: Site, owner: str, cid: Cid) -> list[str] | None:
    title = title_of(site.index, owner, cid)
    failure: ComityError = Unreachable(f"nobody who holds «{title}» said in time what is in it; try again")
    with trio.move_on_after(LOOK_SECONDS):
        for holder in (owner, *mirrors_of(site.index, owner, cid)):
            if holder == site.root:
                continue
            try:
                names = await names_at(site.reach, holder, cid, "")
            except NotFound:
                failure = refused([name_of(site, holder)], title)
            except Unreachable as error:
                failure = error
            else:
                await site.arrived(owner, holder, cid)
                return names
    raise failure


def page_at(cid: Cid, path: str, after: str, get: Get) -> TreePage:
    """What lies at ``path`` below ``cid``, which is here: the page behind ``after``.

    Raises:
        NotFound: nothing. BadInput: no path. VerificationFailed: malformed.
    """
    node = load(resolve(cid, path, get), get)
    if not node.is_folder:
        return TreePage(folder=False, size=node.size, items=(), more=False)
    items, more = page_of(node, after, get)
    told = tuple(TreeItem(path=each.path, size=each.size, data=each.data) for each in items)
    return TreePage(folder=True, size=0, items=told, more=more)
