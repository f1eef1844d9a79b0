"""UnixFS folders: built, listed, and looked up by path, in one node or sharded as Kubo decides it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node.storage.dagpb import Link, PBNode
from node.storage.hamt import build_shard, find_in_shard, shard_entries
from node.storage.unixfs import MAX_DEPTH, Child, Data, Get, Kind, Node, Put, check_name, encode_data, load, put_node

SHARD_AT: Final = 262_144
"""A folder is sharded from this sum over its entries of name bytes and CID bytes (Kubo's HAMTShardingSize)."""


def build_directory(children: Mapping[str, Child], put: Put) -> Child:
    """Build the folder of ``children``, name → what it holds.

    Raises:
        BadInput: a name that no folder may hold, or two that collide in a sharded one.
    """
    for name in children:
        check_name(name)
    # By bytes of UTF-8, which code points sort like.
    entries = sorted(children.items())
    if sum(len(name.encode()) + len(bytes(child.cid)) for name, child in entries) >= SHARD_AT:
        return build_shard(entries, put)
    links = tuple(Link(name, child.cid, child.total) for name, child in entries)
    size = sum(child.size for _, child in entries)
    return put_node(PBNode(links, encode_data(Data(Kind.DIRECTORY))), size, put)


def entries_of(folder: Node, get: Get) -> Iterator[tuple[str, Cid]]:
    """The (name, CID) of each entry: sorted by name, or in the order of their hashes if sharded.

    Raises:
        BadInput: a file.
        NotFound: a shard is not here.
        VerificationFailed: malformed, or a name that no folder may hold, or out of its place.
    """
    if not folder.is_folder:
        raise BadInput("it is a file, not a folder")
    if folder.message.kind == Kind.HAMT:
        yield from shard_entries(folder, get)
        return
    last = b""
    for link in folder.links:
        try:
            check_name(link.name)
        except BadInput as error:
            raise VerificationFailed(f"a folder was refused: {error}") from error
        name = link.name.encode()
        if name <= last:
            raise VerificationFailed("a folder was refused: its names are not in order, or doubled")
        last = name
        yield link.name, link.cid


def resolve(root: Cid, path: str, get: Get) -> Cid:
    """The CID at ``path`` («a/b») below ``root``; an empty path is the root itself.

    Raises:
        BadInput: a path with empty or forbidden components, or more than :data:`MAX_DEPTH`.
        NotFound: nothing of that name, or a node on the way is not here.
        VerificationFailed: a malformed node on the way.
    """
    parts = path.split("/") if path else []
    if len(parts) > MAX_DEPTH:
        raise BadInput(f"a path of {len(parts)} components was refused: at most {MAX_DEPTH}")
    for part in parts:
        check_name(part)
    cid = root
    for part in parts:
        folder = load(cid, get)
        found = _find(folder, part, get) if folder.is_folder else None
        if found is None:
            raise NotFound(f"«{path}» is not in «{root}»: list the folder to see what is")
        cid = found
    return cid


def folder_on_way(root: Cid, path: str, get: Get) -> tuple[str, Node]:
    """The deepest folder on the way to ``path`` below ``root``, and its own path; for who looks for what is not there.

    Raises:
        BadInput: ``root`` is a file, or the path is none. NotFound, VerificationFailed: as for :func:`resolve`.
    """
    folder = load(root, get)
    if not folder.is_folder:
        raise BadInput(f"there is no «{path}»: it is a file, not a folder; leave the path away")
    way = ""
    for part in path.split("/"):
        check_name(part)
        cid = _find(folder, part, get)
        below = load(cid, get) if cid is not None else folder
        if cid is None or not below.is_folder:
            break
        folder, way = below, f"{way}/{part}".lstrip("/")
    return way, folder


def _find(folder: Node, name: str, get: Get) -> Cid | None:
    if folder.message.kind == Kind.HAMT:
        return find_in_shard(folder, name, get)
    return next((cid for held, cid in entries_of(folder, get) if held == name), None)
