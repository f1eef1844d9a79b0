"""From UnixFS to a folder on disk: a name decides one component below its folder, and nothing else.

Files and folders are made relative to their folder's descriptor, exclusively and never through a link. Blocking:
call it in a worker thread.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, VerificationFailed
from node.storage.directory import entries_of
from node.storage.unixfs import MAX_DEPTH, Get, Node, file_bytes, load

_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Exporter:
    """Writes trees: files 0444, folders 0755. A tree may name one node many times, so its size is bounded here.

    ``tick`` is called as the work goes on; what it raises ends it.
    """

    def __init__(self, get: Get, tick: Callable[[], None], max_bytes: int, max_entries: int) -> None:
        self._get, self._tick = get, tick
        self._bytes, self._entries = max_bytes, max_entries

    def export(self, root: Cid, target: Path) -> None:
        """Write the file or tree ``root`` to ``target``, which must not exist; nothing stays there on failure.

        Raises:
            BadInput: ``target`` exists or has no folder, ``root`` is not UnixFS, or it is beyond the bounds.
            NotFound: some node is not here.
            VerificationFailed: malformed nodes or names.
            ComityError: the disk refuses.
        """
        node = load(root, self._get)
        with ExitStack() as undo:
            try:
                parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                undo.callback(os.close, parent)
                started = undo.enter_context(ExitStack())
                if node.is_folder:
                    os.mkdir(target.name, 0o755, dir_fd=parent)
                    started.callback(shutil.rmtree, target.name, dir_fd=parent)
                    self._fill(node, target.name, parent, 0)
                    started.pop_all()
                else:
                    self.file(root, node, target.name, parent)
            except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
                raise BadInput(f"«{target}» cannot be made ({_why(error)}): name a new place in a folder") from error
            except OSError as error:
                raise ComityError(f"«{target}» was not written: {_why(error)}") from error

    def entries(self, children: Iterable[tuple[str, Cid]], where: int, depth: int) -> None:
        """Write what a folder holds into ``where``, the open folder."""
        for name, cid in children:
            self._entry(cid, name, where, depth)

    def _entry(self, cid: Cid, name: str, where: int, depth: int) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise BadInput("the tree was not written: it has more files and folders than are allowed here")
        encoded = os.fsdecode(name.encode())  # UTF-8 on disk whatever the locale says
        if self.had(cid, encoded, where):
            return
        node = load(cid, self._get)
        if node.is_folder:
            os.mkdir(encoded, 0o755, dir_fd=where)
            self._fill(node, encoded, where, depth)
        else:
            self.file(cid, node, encoded, where)

    def _fill(self, folder: Node, name: str, where: int, depth: int) -> None:
        if depth == MAX_DEPTH:
            raise VerificationFailed(f"a tree was refused: more than {MAX_DEPTH} folders in one another")
        fd = os.open(name, _FOLDER, dir_fd=where)
        try:
            os.fchmod(fd, 0o755)
            self.entries(entries_of(folder, self._get), fd, depth + 1)
            self._tick()
        finally:
            os.close(fd)

    # Another way to keep files makes another export of these (node.storage.pooled).

    def had(self, cid: Cid, name: str, where: int) -> bool:  # noqa: ARG002 - nothing is had from elsewhere
        """Whether ``cid``, a file, lies as ``name`` in the open folder ``where`` without having been read."""
        return False

    def file(self, cid: Cid, node: Node, name: str, where: int, mode: int = 0o444) -> None:
        """Write a file as ``name`` in the open folder ``where``; on failure there is none."""
        self._bytes -= node.size
        if self._bytes < 0:
            raise BadInput("the tree was not written: it has more bytes than are allowed here")
        fd = os.open(name, _FILE, 0o600, dir_fd=where)
        try:
            with open(fd, "wb", buffering=0) as file:
                # A leaf was read whole to see what it is.
                for piece in file_bytes(cid, self._get) if node.links else (node.message.data or b"",):
                    view = memoryview(piece)
                    while view:
                        view = view[file.write(view) :]
                    self._tick()
                os.fchmod(fd, mode)
        except BaseException:
            os.unlink(name, dir_fd=where)
            raise


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
