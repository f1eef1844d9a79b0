"""Files and folders written as one's own node tells of them, page by page: whole, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import VerificationFailed
from node.api.tree import TreeItem, TreePage
from node.plainfiles import new_place, place_below, write_new

MOST_AT_ONCE: Final = 16 << 20
"""Bytes of a file that a node gives at once."""
MOST_ITEMS: Final = 1 << 20
"""Files and folders that are written at most."""

Written = Callable[[int], None]
"""Told how many bytes are written."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched to ``place``: its files and their bytes; ``folder`` says whether it is one."""

    cid: Cid
    place: str
    folder: bool
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tree:
    """Something to write: ``page`` tells of (path, after) what lies there, ``part`` gives (path, first, last)."""

    cid: Cid
    page: Callable[[str, str], TreePage]
    part: Callable[[str, int, int], bytes]

    def write(self, path: str, target: Path, written: Written) -> Fetched:
        """Write what lies at ``path`` into the new file or folder ``target``, which is there whole or not at all.

        Raises:
            BadInput: ``target`` is there. VerificationFailed: names in the folder lead elsewhere. ComityError: a disk
                refuses.
        """
        with new_place(target) as place:
            first = self.page(path, "")
            if first.folder:
                place.mkdir()
                files, size = self._folder(path, place, first, written)
            else:
                files, size = 1, _written(place, telling(self.parts(path, 0, first.size), written), first.size)
        return Fetched(self.cid, str(target), first.folder, files, size)

    def parts(self, path: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from ``first`` up to ``end`` of a file, a part at a time; fewer if it ends before."""
        while first < end:
            asked = min(MOST_AT_ONCE, end - first)
            part = self.part(path, first, first + asked - 1)
            yield part
            first += len(part)
            if len(part) < asked:
                return

    def _items(self, path: str, page: TreePage) -> Iterator[TreeItem]:
        count = 0
        while True:
            yield from page.items
            count += len(page.items)
            if not page.more:
                return
            if not page.items or count > MOST_ITEMS:
                raise VerificationFailed("a tree was refused: it has more files and folders than are written")
            page = self.page(path, page.items[-1].path)

    def _folder(self, path: str, place: Path, page: TreePage, written: Written) -> tuple[int, int]:
        """Write a tree below the empty folder ``place``: its files and their bytes."""
        files = size = 0
        for item in self._items(path, page):
            target = place_below(place, item.path)
            if item.size is None:
                target.mkdir()
                continue
            below = f"{path}/{item.path}".lstrip("/")
            pieces = self.parts(below, 0, item.size) if item.data is None else iter([item.data])
            files, size = files + 1, size + _written(target, pieces, item.size)
            written(size)
        return files, size


def telling(pieces: Iterator[bytes], written: Written) -> Iterator[bytes]:
    """The pieces of a file, while ``written`` is told of them."""
    size = 0
    for piece in pieces:
        yield piece
        size += len(piece)
        written(size)


def _written(place: Path, pieces: Iterator[bytes], size: int) -> int:
    written = write_new(place, pieces)
    if written != size:
        raise VerificationFailed(f"a file had {written:,} bytes and not the {size:,} that were told; nothing was kept")
    return written
