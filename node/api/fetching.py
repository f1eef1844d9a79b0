"""Open data and blocks as a person fetches them: files of any size and whole folders, through one's own node."""

from __future__ import annotations

from pathlib import Path

from catalog.cid import Cid
from catalog.error import BadInput
from node.api import operation
from node.api.catalogue import CatalogClient
from node.api.saving import Fetched, Tree, Written, telling
from node.api.tree import FolderView
from node.plainfiles import new_place, write_new


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
            size = write_new(place, telling(self._tree(cid).parts(path, first, last + 1), written))
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
        return self._tree(cid).write(path, Path(target), written)

    def folder(self, cid: Cid | str) -> FolderView:
        """The first names in open data or a block, and how many there are; none of a file.

        Raises:
            NotFound: no such thing, or not for this person. Unreachable: nobody who has it answers.
        """
        return self._connection.ask(operation.FOLDER, cid=str(cid))

    def _tree(self, cid: Cid | str) -> Tree:
        return Tree(
            Cid.parse(str(cid)),
            lambda path, after: self._connection.ask(operation.TREE, cid=str(cid), path=path, after=after),
            lambda path, first, last: self.fetch_part(cid, path, first, last),
        )
