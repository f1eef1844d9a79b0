"""Files and folders as one stream of bytes, where host and container share no folder.

A row for each, ended by NUL: its kind, its mode in octal, its bytes in decimal and its path, tabs between them; then
the bytes of a file, or the target of a link. Folders come before what lies in them, and a row of the kind «e» is the
end. It is no tar archive, for whose reader the supervisor would need ten times as many modules; both ends are ours,
and who receives trusts neither names nor sizes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import NamedTuple

Send = Callable[[bytes], object]
Receive = Callable[[int], bytes]

CHUNK = 1 << 18
MOST_NAME = 1 << 13
MOST_DEPTH = 128

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class ParcelError(Exception):
    """What came is no parcel, or more than may come; its argument says why."""


class MoreError(ParcelError):
    """More comes than may come; what came before is there."""


class Bounds(NamedTuple):
    """What may come: files and folders, bytes of all of them, and whether links may be among them."""

    entries: int
    size: int
    links: bool = False


def send(tops: Sequence[tuple[str, str]], out: Send, *, folders: Sequence[str] = (), links: bool = False) -> None:
    """Send what lies at each path under each name, in which ``folders`` stand: a folder with all below it, or a file.

    Plain files and folders alone, and with ``links`` these too; what else there is, is left out. No link is followed.

    Raises:
        OSError: something cannot be read.
    """
    for name in folders:
        out(_row("d", 0o755, 0, os.fsencode(name)))
    for name, path in tops:
        parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _send(parent, os.fsencode(os.path.basename(path)), os.fsencode(name), out, links)
        finally:
            os.close(parent)
    out(_row("e", 0, 0, b""))


def receive(source: Receive | Reader, folder: str, bounds: Bounds, *, modes: bool) -> None:
    """Put what comes from ``source`` below ``folder``, where nothing of that name lies yet but folders.

    With ``modes`` each has that with which it was sent; else files have 0600 and folders 0700.

    A :class:`Reader` may have another parcel behind it.

    Raises:
        MoreError: it is more than ``bounds``. ParcelError: it is no parcel, or breaks off.
        OSError: it cannot be written.
    """
    top = os.open(folder, _FOLDER)
    try:
        _Receiving(source if isinstance(source, Reader) else Reader(source), top, bounds, modes).all()
    finally:
        os.close(top)


def _row(kind: str, mode: int, size: int, path: bytes) -> bytes:
    return f"{kind}\t{mode:o}\t{size}\t".encode() + path + b"\0"


def _send(parent: int, name: bytes, path: bytes, out: Send, links: bool) -> None:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    mode = status.st_mode & 0o777
    if stat.S_ISDIR(status.st_mode):
        out(_row("d", mode, 0, path))
        if path.count(b"/") > MOST_DEPTH:
            return  # whoever receives takes no more of it
        fd = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for below in map(os.fsencode, os.listdir(fd)):
                _send(fd, below, path + b"/" + below, out, links)
        finally:
            os.close(fd)
    elif stat.S_ISREG(status.st_mode):
        _send_file(parent, name, path, mode, out)
    elif stat.S_ISLNK(status.st_mode) and links:
        target: bytes = os.readlink(name, dir_fd=parent)
        out(_row("l", mode, len(target), path) + target)


def _send_file(parent: int, name: bytes, path: bytes, mode: int, out: Send) -> None:
    fd = os.open(name, _READ, dir_fd=parent)
    try:
        left = os.fstat(fd).st_size
        out(_row("f", mode, left, path))
        while left:
            chunk = os.read(fd, min(CHUNK, left))
            if not chunk:
                raise OSError(f"a file became shorter while it was sent: {os.fsdecode(path)}")
            left -= len(chunk)
            out(chunk)
    finally:
        os.close(fd)


class Reader:
    """A stream of parcels, one after the other, from which rows and a number of bytes are taken."""

    def __init__(self, source: Receive) -> None:
        self._source = source
        self._held = b""

    def row(self) -> tuple[str, int, int, bytes]:
        """The next row: kind, mode, size and path.

        Raises:
            ParcelError: what comes is none.
        """
        while b"\0" not in self._held:
            if len(self._held) > MOST_NAME:
                raise MoreError("a name is longer than may come")
            self._more()
        line, _, self._held = self._held.partition(b"\0")
        try:
            kind, mode, size, path = line.split(b"\t", 3)
            read = kind.decode("ascii"), int(mode, 8), int(size), path
        except ValueError as error:
            raise ParcelError("it is no row") from error
        if read[2] < 0:
            raise ParcelError("it is no row")
        if len(path) > MOST_NAME:
            raise MoreError("a name is longer than may come")
        return read

    def some(self, most: int) -> bytes:
        """At least one byte and at most so many.

        Raises:
            ParcelError: nothing comes any more.
        """
        if not self._held:
            self._more()
        taken, self._held = self._held[:most], self._held[most:]
        return taken

    def _more(self) -> None:
        more = self._source(CHUNK)
        if not more:
            raise ParcelError("it breaks off")
        self._held += more


class _Receiving:
    """A parcel on its way into a folder."""

    def __init__(self, reader: Reader, top: int, bounds: Bounds, modes: bool) -> None:
        self._reader = reader
        self._top = top
        self._bounds = bounds
        self._modes = modes
        self._entries = 0
        self._size = 0

    def all(self) -> None:
        while True:
            kind, mode, size, path = self._reader.row()
            if kind == "e":
                return
            self._count(size)
            parent, name = self._place(path)
            try:
                self._put(kind, mode, size, parent, name)
            finally:
                os.close(parent)

    def _count(self, size: int) -> None:
        self._entries += 1
        self._size += size
        if self._entries > self._bounds.entries:
            raise MoreError(f"more than {self._bounds.entries} files and folders")
        if self._size > self._bounds.size:
            raise MoreError(f"more than {self._bounds.size} bytes")

    def _place(self, path: bytes) -> tuple[int, bytes]:
        """The folder in which something comes to lie, opened through no link, and its name there."""
        *above, name = path.split(b"/")
        if len(above) > MOST_DEPTH:
            raise MoreError(f"more than {MOST_DEPTH} folders in one another")
        if any(part in (b"", b".", b"..") for part in (*above, name)):
            raise ParcelError(f"«{path[:80]!r}» is no path below a folder")
        at = os.dup(self._top)
        for part in above:
            try:
                below = os.open(part, _FOLDER, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at, name

    def _put(self, kind: str, mode: int, size: int, parent: int, name: bytes) -> None:
        if kind == "d":
            self._folder(parent, name, mode if self._modes else 0o700)
        elif kind == "f":
            self._file(parent, name, mode if self._modes else 0o600, size)
        elif kind == "l" and self._bounds.links:
            target = b""
            while len(target) < size:
                target += self._reader.some(size - len(target))
            os.symlink(target, name, dir_fd=parent)
        else:
            raise ParcelError(f"an entry of the kind «{kind[:8]}»")

    def _folder(self, parent: int, name: bytes, mode: int) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise
            return
        os.chmod(name, mode | 0o700, dir_fd=parent)

    def _file(self, parent: int, name: bytes, mode: int, left: int) -> None:
        fd = os.open(name, _WRITE, 0o600, dir_fd=parent)
        try:
            while left:
                chunk = self._reader.some(left)
                left -= len(chunk)
                while chunk:
                    chunk = chunk[os.write(fd, chunk) :]
            os.fchmod(fd, mode)
        finally:
            os.close(fd)
