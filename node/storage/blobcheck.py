"""Checking the embedded store while no node uses it: every node against its name, and what reaches a damaged one.

Blocking; what is hashed is hashed in as many threads as there are processors.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.cid import RAW, Cid
from catalog.error import BadInput, ComityError, VerificationFailed
from node.storage.durable import sync_folders
from node.storage.nodes import links_of, node_path, read_node

NODES: Final = "nodes"
_WORKERS: Final = min(4, os.cpu_count() or 1)

Looked = tuple[int | None, str, tuple[Cid, ...]]
"""Bytes read of a node, none if the disk gave none; what is wrong; and what it links to."""


@dataclass(frozen=True, slots=True)
class DamagedNode:
    """A node whose file is not what its name says, and the roots that lack it: nodes that no other one here links to.

    ``why`` is what is wrong with the file. One that the disk does not give is not ``wrong``: it may be read later.
    """

    cid: Cid
    why: str
    wrong: bool
    roots: tuple[Cid, ...]


@dataclass(frozen=True, slots=True)
class BlobReport:
    """What was checked: ``strays`` are files that are no nodes, by their paths below the store."""

    nodes: int
    bytes: int
    damaged: tuple[DamagedNode, ...]
    strays: tuple[str, ...]


def check_blobs(store: Path, tick: Callable[[int], None] = lambda _bytes: None) -> BlobReport:
    """Check all nodes in the folder ``store``; ``tick`` is told how many bytes were read so far.

    Raises:
        ComityError: the disk refuses.
    """
    names, strays = _listed(store)
    size, damaged = examine(names, lambda cid: _look(store, cid), tick)
    return BlobReport(len(names), size, damaged, tuple(strays))


def examine(
    names: Sequence[Cid], look: Callable[[Cid], Looked], tick: Callable[[int], None]
) -> tuple[int, tuple[DamagedNode, ...]]:
    """Look at all nodes that lie together: how many bytes they have, and which are damaged.

    ``look`` is called in several threads; ``tick`` is told how many bytes were read so far.
    """
    found: dict[Cid, tuple[str, bool]] = {}
    parents: defaultdict[Cid, set[Cid]] = defaultdict(set)
    size = 0
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="fsck") as pool:
        for cid, (read, why, links) in zip(names, pool.map(look, names), strict=True):
            size += read or 0
            tick(size)
            if why:
                found[cid] = why, read is not None
            for link in links:
                parents[link].add(cid)
    return size, tuple(DamagedNode(cid, *told, _roots(cid, parents)) for cid, told in sorted(found.items()))


def judge(cid: Cid, data: bytes) -> Looked:
    """What is wrong with the bytes of a node, and what it links to.

    A node that is what its name says is whole, also if it is of no shape that is read here.
    """
    if not cid.matches(data):
        return len(data), "its bytes are not what its name says", ()
    return len(data), "", _links(cid, data)


def drop_damaged(store: Path, damaged: Sequence[DamagedNode]) -> None:
    """Remove the files that are wrong, durably: what is missing is fetched again where others have it.

    Raises:
        ComityError: the disk refuses.
    """
    remove_files([node_path(store / NODES, each.cid) for each in damaged if each.wrong])


def remove_files(paths: Iterable[Path]) -> None:
    """Remove files, durably.

    Raises:
        ComityError: the disk refuses.
    """
    paths = list(paths)
    try:
        for path in paths:
            path.unlink()
        sync_folders({path.parent for path in paths})
    except OSError as error:
        raise ComityError(f"{error.filename} could not be removed: {error.strerror}; see to the disk") from error


def lacking(store: Path, root: Cid) -> int:
    """How many nodes that are known by name lack below ``root`` in the folder ``store``.

    Raises:
        ComityError: the disk refuses.
    """
    seen, stack, count = {root}, [root], 0
    while stack:
        cid = stack.pop()
        path = node_path(store / NODES, cid)
        try:
            data = read_node(path) if cid.codec != RAW or not path.exists() else b""  # a leaf links to nothing
        except FileNotFoundError:
            count += 1
            continue
        except OSError as error:
            raise ComityError(f"{error.filename} could not be read: {error.strerror}; see to the disk") from error
        fresh = {each for each in _links(cid, data) if not each.is_keyed} - seen
        seen |= fresh
        stack.extend(fresh)
    return count


def _listed(store: Path) -> tuple[list[Cid], list[str]]:
    names: list[Cid] = []
    strays: list[str] = []
    try:
        for path in sorted(each for folder in (store / NODES).iterdir() for each in folder.iterdir()):
            try:
                cid = Cid.parse(path.name)
            except BadInput:
                cid = None
            if cid is not None and path == node_path(store / NODES, cid):
                names.append(cid)
            else:
                strays.append(str(path.relative_to(store)))
    except OSError as error:
        raise ComityError(f"{error.filename} could not be read: {error.strerror}; see to the disk") from error
    return names, strays


def _look(store: Path, cid: Cid) -> Looked:
    try:
        return judge(cid, read_node(node_path(store / NODES, cid)))
    except OSError as error:
        return unread(error)


def unread(error: OSError) -> Looked:
    """What is said of a node that the disk does not give."""
    return None, f"it cannot be read: {error.strerror}", ()


def _links(cid: Cid, data: bytes) -> tuple[Cid, ...]:
    """What a node links to; nothing where it is of no shape that is read here."""
    try:
        return tuple(links_of(cid, data))
    except VerificationFailed:
        return ()


def _roots(cid: Cid, parents: Mapping[Cid, set[Cid]]) -> tuple[Cid, ...]:
    """Those from which ``cid`` is reached and to which nothing links; itself, if nothing links to it."""
    seen, stack, roots = {cid}, [cid], set[Cid]()
    while stack:
        above = parents.get(one := stack.pop(), set())
        if not above:
            roots.add(one)
        stack.extend(above - seen)
        seen |= above
    return tuple(sorted(roots))
