"""What is in a folder of open data or of a block, here or at a holder, and so what there is instead of what is not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import IO, Final
from urllib.parse import quote

import trio

from catalog.cid import Cid
from catalog.error import ComityError, NotFound, Unreachable, VerificationFailed, shown
from node.site.gateway import PREFIX
from node.site.locating import refused, title_of
from node.site.publishing import name_of
from node.site.ranging import below_root
from node.site.site import Site
from node.site.transfer import Holders
from node.storage.directory import entries_of, folder_on_way, resolve
from node.storage.unixfs import Get, load

MOST_NODES: Final = 32 << 20
"""Bytes of a folder's own nodes that are fetched to look into it: some hundred thousand names."""
_NAMED: Final = 8
"""Names of a folder that a message tells."""


async def names_here(site: Site, root: Cid, path: str) -> list[str] | None:
    """The names in the folder at ``path`` below ``root``, sorted; none for a file.

    Raises:
        NotFound: not here. VerificationFailed: damaged.
    """
    return await trio.to_thread.run_sync(_names, root, path, site.blobs.get)


async def names_at(holders: Holders, holder: str, root: Cid, path: str) -> list[str] | None:
    """As :func:`names_here`, of what ``holder`` has, verified; no more is fetched than the folder itself.

    Raises:
        NotFound, Unreachable: as the ``Bulk`` port says. VerificationFailed: likewise, or too many names.
    """

    def take(answer: IO[bytes]) -> list[str] | None:
        return _names(root, path, below_root(answer, root))

    below = f"/{quote(path)}" if path else ""
    asked = f"{PREFIX}{root}{below}?format=car&dag-scope=entity&entity-bytes=0:0"
    return await holders.query(holder, asked, b"", take, MOST_NODES)


async def not_there(site: Site, owner: str, root: Cid, path: str) -> ComityError:
    """What is said of a ``path`` that is not below ``root``, which is here: what there is instead."""
    try:
        return await trio.to_thread.run_sync(
            partial(_instead, root, path, site.blobs.get, title_of(site.index, owner, root))
        )
    except ComityError as error:
        return error


async def not_there_at(site: Site, holder: str, owner: str, root: Cid, path: str) -> NotFound:
    """What is said when ``holder`` gives nothing at ``path`` below ``root``: it refuses all of it, or has no such path.

    It says the same of both, so it is asked for what lies at the root, which it gives if it lets this site have it.
    """
    title = title_of(site.index, owner, root)
    if path:
        with suppress(NotFound, Unreachable, VerificationFailed):
            names = await names_at(site.reach, holder, root, "")
            await site.arrived(owner, holder, root)
            there = "it is a file" if names is None else f"there: {some_of(names)}"
            return NotFound(f"«{shown(path)}» is not in «{title}»; {there}")
    return refused([name_of(site, holder)], title)


def some_of(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    told = ", ".join(shown(name, 60) for name in names[:_NAMED]) or "nothing: the folder is empty"
    return told if len(names) <= _NAMED else f"{told} and {len(names) - _NAMED:,} more"


def _names(root: Cid, path: str, get: Get) -> list[str] | None:
    node = load(resolve(root, path, get), get)
    return sorted(name for name, _ in entries_of(node, get)) if node.is_folder else None


def _instead(root: Cid, path: str, get: Get, title: str) -> NotFound:
    way, folder = folder_on_way(root, path, get)
    names = sorted(name for name, _ in entries_of(folder, get))
    where = f"«{shown(way)}» of «{title}»" if way else f"«{title}»"
    return NotFound(f"«{shown(path)}» is not in «{title}»; in {where} there: {some_of(names)}")
