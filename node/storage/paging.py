"""What lies below a folder, page after page: every path in its order, and the bytes of small files with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from catalog.cid import Cid
from catalog.error import VerificationFailed
from node.storage.directory import entries_of
from node.storage.unixfs import MAX_DEPTH, Get, Node, file_bytes, load

MOST_ITEMS: Final = 4096
"""Paths of a page at most."""
ROOM: Final = 4 << 20
"""Bytes of names and files after which a page ends."""
SMALL: Final = 256 << 10
"""Bytes of a file that comes with its path at most: a leaf of what Comity imports."""


@dataclass(frozen=True, slots=True)
class Item:
    """What lies at ``path`` («a/b»): a file of ``size`` bytes, a folder without; ``data`` are those of a small file."""

    path: str
    size: int | None
    data: bytes | None


def page_of(folder: Node, after: str, get: Get) -> tuple[list[Item], bool]:
    """The next items below ``folder`` behind the path ``after`` (all, if empty), and whether there are more.

    A folder comes before what is in it, names are sorted: so ``after`` says where to go on. Blocking.

    Raises:
        NotFound: a node is not here. VerificationFailed: malformed, or too deep.
    """
    items: list[Item] = []
    room = ROOM
    for path, cid, node in _walk(folder, after.split("/") if after else (), get, "", 0):
        if len(items) == MOST_ITEMS or room <= 0:
            return items, True
        small = not node.is_folder and node.size <= SMALL
        data = b"".join(file_bytes(cid, get)) if small else None
        items.append(Item(path, None if node.is_folder else node.size, data))
        room -= len(path) + len(data or b"")
    return items, False


def _walk(folder: Node, after: Sequence[str], get: Get, above: str, depth: int) -> Iterator[tuple[str, Cid, Node]]:
    if depth == MAX_DEPTH:
        raise VerificationFailed(f"a tree was refused: more than {MAX_DEPTH} folders in one another")
    for name, cid in sorted(entries_of(folder, get)):
        if after and name < after[0]:
            continue
        given = bool(after) and name == after[0]
        node = load(cid, get)
        if not given:
            yield f"{above}{name}", cid, node
        if node.is_folder:
            yield from _walk(node, after[1:] if given else (), get, f"{above}{name}/", depth + 1)
