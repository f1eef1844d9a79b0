"""From a folder on disk to UnixFS: reads files once, in order, and trusts nothing to hold still.

Every path is opened relative to its folder's descriptor and never through a link, so that what is swapped while
it is read cannot lead elsewhere. Blocking: call it in a worker thread.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.error import BadInput
from node.storage.directory import build_directory
from node.storage.unixfs import CHUNK, MAX_DEPTH, Child, FileBuilder, Put, check_name, leaf

WORKERS: Final = min(4, os.cpu_count() or 1)
SEVERAL: Final = 4 * CHUNK
"""Bytes that are read together where leaves are not cut from what is read."""
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link: replace it with what it points to",
    stat.S_IFIFO: "a named pipe: only files and folders can be added",
    stat.S_IFSOCK: "a socket: only files and folders can be added",
    stat.S_IFCHR: "a device: only files and folders can be added",
    stat.S_IFBLK: "a device: only files and folders can be added",
}


def import_path(path: Path, put: Put, tick: Callable[[int], None]) -> Child:
    """Build the file or folder at ``path``, hidden files included (``ipfs add -r --hidden``).

    ``put`` may be called from several threads at once. ``tick`` is called in this thread with the bytes read so
    far, after each chunk and each empty file; what it raises ends the import.

    Raises:
        BadInput: not there, unreadable, a symbolic link, neither file nor folder, a name that is not UTF-8, more
            than 64 levels, or changed while it was read. The message names it.
    """
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="import") as pool:
        return Import(put, tick, pool).entry(os.fspath(path), None, os.fspath(path), 0)


class Import:
    """One run: ``where`` is an open parent folder (``None``: the working folder), ``shown`` a path for messages.

    Another way to keep a ``file`` makes another import of it (:mod:`node.storage.sealing`).
    """

    def __init__(self, put: Put, tick: Callable[[int], None], pool: ThreadPoolExecutor) -> None:
        self._put, self._tick, self._pool = put, tick, pool
        self._read = 0

    def entry(self, name: str, where: int | None, shown: str, depth: int) -> Child:
        """The file or folder ``name``, and all that is below it."""
        with _named(shown):
            before = os.stat(name, dir_fd=where, follow_symlinks=False)
            _check_kind(before, shown)
            fd = os.open(name, _OPEN, dir_fd=where)
        try:
            with _named(shown):
                opened = os.fstat(fd)
            _check_same(before, opened, shown)
            child = self._folder(fd, shown, depth) if stat.S_ISDIR(opened.st_mode) else self.file(fd, opened, shown)
            with _named(shown):
                _check_same(before, os.stat(name, dir_fd=where, follow_symlinks=False), shown)
            return child
        finally:
            os.close(fd)

    def _folder(self, fd: int, shown: str, depth: int) -> Child:
        if depth == MAX_DEPTH:
            raise BadInput(f"«{shown}» was not added: more than {MAX_DEPTH} folders in one another")
        with _named(shown):
            names = sorted(os.listdir(fd))
        children: dict[str, Child] = {}
        for name in names:
            try:
                text = os.fsencode(name).decode()
                check_name(text)
            except UnicodeDecodeError as error:
                raise BadInput(f"«{shown}» was not added: the name {name!a} in it is not UTF-8; rename it") from error
            children[text] = self.entry(name, fd, os.path.join(shown, text), depth + 1)
        return build_directory(children, self._put)

    def file(self, fd: int, expected: os.stat_result, shown: str) -> Child:
        """The open file ``fd``, as UnixFS has it."""
        builder = FileBuilder(self._put)
        if expected.st_size > CHUNK:
            self._leaves_in_threads(fd, expected.st_size, shown, builder)
        elif chunk := self._chunk(fd, expected.st_size, shown):
            builder.add(leaf(chunk, self._put))
        self._end(fd, shown)
        return builder.finish()

    def chunks(self, fd: int, size: int, shown: str) -> Iterator[bytes]:
        """The ``size`` bytes of an open file, several chunks at a time, and no byte more."""
        left = size
        while left:
            chunk = self._chunk(fd, left, shown, SEVERAL)
            left -= len(chunk)
            yield chunk
            self._tick(self._read)
        self._end(fd, shown)

    def _end(self, fd: int, shown: str) -> None:
        # One byte more would be there only if the file grew, or if its kind has no true size (/proc).
        with _named(shown):
            if os.read(fd, 1):
                raise _changed(shown)
        self._tick(self._read)

    def _leaves_in_threads(self, fd: int, size: int, shown: str, builder: FileBuilder) -> None:
        """Hash and put leaves in threads, a few chunks ahead, while this thread reads."""
        ahead: deque[Future[Child]] = deque()
        left = size
        while left:
            chunk = self._chunk(fd, left, shown)
            left -= len(chunk)
            ahead.append(self._pool.submit(leaf, chunk, self._put))
            if len(ahead) > 2 * WORKERS:
                builder.add(ahead.popleft().result())
            self._tick(self._read)
        for future in ahead:
            builder.add(future.result())

    def _chunk(self, fd: int, left: int, shown: str, most: int = CHUNK) -> bytes:
        """The next chunk, whole: a read may give less than was asked for."""
        wanted = min(left, most)
        with _named(shown):
            data = os.read(fd, wanted)
            while len(data) < wanted:
                more = os.read(fd, wanted - len(data))
                if not more:
                    raise _changed(shown)
                data += more
        self._read += wanted
        return data


def _check_kind(found: os.stat_result, shown: str) -> None:
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "neither a file nor a folder")
        raise BadInput(f"«{shown}» was not added: it is {kind}")


def _check_same(before: os.stat_result, after: os.stat_result, shown: str) -> None:
    def identity(found: os.stat_result) -> tuple[int, ...]:
        return (found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode), found.st_size, found.st_mtime_ns)

    if identity(before) != identity(after):
        raise _changed(shown)


def _changed(shown: str) -> BadInput:
    return BadInput(f"«{shown}» was not added: it changed while it was read; add it again when nothing writes to it")


@contextmanager
def _named(shown: str) -> Iterator[None]:
    """Say of an operating system's error what it happened to."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"«{shown}» was not added: {(error.strerror or 'it cannot be read').lower()}") from error
