"""Open data and blocks as a person fetches them: files of any size and whole folders, through one's own node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, VerificationFailed
from node.api import operation
from node.api.catalogue import CatalogClient
from node.api.tree import FolderView, TreeItem, TreePage
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


class Fetcher(CatalogClient):
    """Fetches what this person may read."""

    def fetch(self, cid: Cid | str, path: str = "") -> bytes:
        """A file of at most 16 MiB that this person may read.

        Raises:
            NotFound: no such thing, or not for this person.
        """
        return self._connection.ask(operation.FETCH, cid=str(cid), path=path)

    def fetch_part(self, cid: Cid | str, path: str, first: int, last: int) -> bytes:
        """The bytes ``first`` to ``last``, both included, of such a file of any size; fewer at its end.

        Raises:
            NotFound: no such thing, or not for this person. BadInput: more than 16 MiB.
        """
        return self._connection.ask(operation.FETCH, cid=str(cid), path=path, part=f"{first}-{last}")

    def fetch_span(
        self, cid: Cid | str, path: str, first: int, last: int, target: str | Path, *, written: Written = lambda _: None
    ) -> Fetched:
        """As :meth:`fetch_part`, any number of bytes into the new file ``target``, which is there whole or not at all.

        Raises:
            NotFound: as there. BadInput: ``last`` is before ``first``, or ``target`` is there.
        """
        if not 0 <= first <= last:
            raise BadInput(f"{first}-{last} is no part of a file: its first byte is not behind its last")
        with new_place(Path(target)) as place:
            size = write_new(place, _telling(self._parts(cid, path, first, last + 1), written))
        return Fetched(Cid.parse(str(cid)), str(target), folder=False, files=1, bytes=size)

    def fetch_tree(
        self, cid: Cid | str, path: str, target: str | Path, *, written: Written = lambda _: None
    ) -> Fetched:
        """The file or folder at ``path``, of any size, into the new file or folder ``target``: whole or not at all.

        The node first brings all of ``cid`` to itself; if that is cut off, asking again goes on from there.

        Raises:
            NotFound: no such thing, or not for this person. BadInput: ``target`` is there. VerificationFailed: names
                in the folder lead elsewhere. ComityError: a disk refuses.
        """
        with new_place(Path(target)) as place:
            first = self._page(cid, path, "")
            if first.folder:
                place.mkdir()
                files, size = self._folder(cid, path, place, first, written)
            else:
                files, size = 1, _written(place, _telling(self._parts(cid, path, 0, first.size), written), first.size)
        return Fetched(Cid.parse(str(cid)), str(target), first.folder, files, size)

    def folder(self, cid: Cid | str) -> FolderView:
        """The first names in open data or a block, and how many there are; none of a file.

        Raises:
            NotFound: no such thing, or not for this person. Unreachable: nobody who has it answers.
        """
        return self._connection.ask(operation.FOLDER, cid=str(cid))

    def _page(self, cid: Cid | str, path: str, after: str) -> TreePage:
        return self._connection.ask(operation.TREE, cid=str(cid), path=path, after=after)

    def _items(self, cid: Cid | str, path: str, page: TreePage) -> Iterator[TreeItem]:
        count = 0
        while True:
            yield from page.items
            count += len(page.items)
            if not page.more:
                return
            if not page.items or count > MOST_ITEMS:
                raise VerificationFailed("a tree was refused: it has more files and folders than are written")
            page = self._page(cid, path, page.items[-1].path)

    def _folder(self, cid: Cid | str, path: str, place: Path, page: TreePage, written: Written) -> tuple[int, int]:
        """Write a tree below the empty folder ``place``: its files and their bytes."""
        files = size = 0
        for item in self._items(cid, path, page):
            target = place_below(place, item.path)
            if item.size is None:
                target.mkdir()
                continue
            below = f"{path}/{item.path}".lstrip("/")
            pieces = self._parts(cid, below, 0, item.size) if item.data is None else iter([item.data])
            files, size = files + 1, size + _written(target, pieces, item.size)
            written(size)
        return files, size

    def _parts(self, cid: Cid | str, path: str, first: int, end: int) -> Iterator[bytes]:
        """The bytes from ``first`` up to ``end`` of a file, a part at a time; fewer if it ends before."""
        while first < end:
            asked = min(MOST_AT_ONCE, end - first)
            part = self.fetch_part(cid, path, first, first + asked - 1)
            yield part
            first += len(part)
            if len(part) < asked:
                return


def _written(place: Path, pieces: Iterator[bytes], size: int) -> int:
    written = write_new(place, pieces)
    if written != size:
        raise VerificationFailed(f"a file had {written:,} bytes and not the {size:,} that were told; nothing was kept")
    return written


def _telling(pieces: Iterator[bytes], written: Written) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        yield piece
        size += len(piece)
        written(size)
