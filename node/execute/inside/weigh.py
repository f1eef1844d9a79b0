"""What a step leaves in its work folder: weighed while it runs, and settled and listed when it has ended.

No link is ever followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from node.execute.inside.bounds import Bounds

MOST_DEPTH = 64
"""Folders within folders that an output may have."""

_MOST_CLOSED = 64
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "f",
    stat.S_IFDIR: "d",
    stat.S_IFLNK: "l",
    stat.S_IFIFO: "p",
    stat.S_IFSOCK: "s",
    stat.S_IFCHR: "c",
    stat.S_IFBLK: "b",
}

_RESERVE = 1 << 30

Enter = Callable[[int, str], "int | None"]
"""Opens a folder, by its parent's descriptor and its name; None to pass it by."""


class TooMuchError(Exception):
    """A walk met a limit; its argument is the reason."""


class _Walk:
    """One walk over a work folder: counts what it meets, and stops at the first limit."""

    def __init__(self, bounds: Bounds, enter: Enter) -> None:
        self._bounds = bounds
        self._enter = enter
        self._entries = 0
        self._size = 0

    def folder(self, fd: int, depth: int = 0) -> None:
        if depth > MOST_DEPTH:
            raise TooMuchError(f"output depth: more than {MOST_DEPTH} folders within each other")
        with os.scandir(fd) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                self._count(status)
                self.meet(fd, entry.name, status)
                if stat.S_ISDIR(status.st_mode):
                    self._descend(fd, entry.name, depth)

    def meet(self, parent: int, name: str, status: os.stat_result) -> None:
        """Do to an entry what is done to each."""

    def _count(self, status: os.stat_result) -> None:
        self._entries += 1
        if stat.S_ISREG(status.st_mode):
            self._size += status.st_size
        if self._entries > self._bounds.output_files:
            raise TooMuchError(f"output files: more than {self._bounds.output_files}")
        if self._size > self._bounds.output_bytes:
            raise TooMuchError(f"output bytes: more than {self._bounds.output_bytes}")

    def _descend(self, parent: int, name: str, depth: int) -> None:
        fd = self._enter(parent, name)
        if fd is None:
            return
        try:
            self.folder(fd, depth + 1)
        finally:
            os.close(fd)


class _Settling(_Walk):
    """One that makes all of it this user's own, 0700 or 0600."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds, _enter_owned)

    def meet(self, parent: int, name: str, status: os.stat_result) -> None:
        if stat.S_ISREG(status.st_mode):
            _own(name, parent, 0o600)


def excess(work: str | os.PathLike[str], bounds: Bounds) -> str:
    """The output limit that ``work`` exceeds while its step still runs, or an empty string.

    A folder that is closed is passed by: to open it would mean to follow what it may have become meanwhile.
    """
    try:
        return _weighed(work, _Walk(bounds, _enter_open))
    except PermissionError:
        return ""  # a folder was closed while it was looked through


class Scales:
    """Weighs the folders of a step of this user, again and again, while it runs.

    A folder that was closed is opened. A step that closes folders again and again does so against these scales alone,
    and that is an excess like any other.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._closed = 0

    def excess(self, folder: str) -> str:
        """The output limit that ``folder`` exceeds, or an empty string."""
        try:
            over = _weighed(folder, _Walk(self._bounds, self._enter))
        except PermissionError:  # closed while it was looked through
            self._closed += 1
            over = ""
        return over or ("folders that are closed again and again" if self._closed > _MOST_CLOSED else "")

    def _enter(self, parent: int, name: str) -> int | None:
        fd = _enter_open(parent, name)
        if fd is not None:
            return fd
        self._closed += 1
        try:
            os.chmod(name, 0o700, dir_fd=parent)
        except OSError:
            return None  # gone meanwhile
        return _enter_open(parent, name)


def settle(work: str | os.PathLike[str], bounds: Bounds) -> str:
    """Weigh ``work`` after its step has ended, as :func:`excess` does, and make all of it this user's, 0700 or 0600.

    A step chooses the modes of what it writes, often as the node's own user: a set-user-id program would stay live on
    the host, and a folder of mode 0 would hide its content from the count.
    """
    if os.geteuid() in (0, os.stat(work).st_uid):  # else a volume of root's, which no step can close
        _own(str(work), None, 0o700)
    return _weighed(work, _Settling(bounds))


def crowded(folder: str | os.PathLike[str]) -> str:
    """That the disk of ``folder`` is as good as full, or an empty string.

    What has no name any more and is open is in no folder that could be weighed, and takes room until its step ends.
    """
    seen = os.statvfs(folder)
    least = min(_RESERVE, seen.f_blocks * seen.f_frsize // 20)
    if seen.f_bavail * seen.f_frsize >= least:
        return ""
    return f"room on the disk where steps are staged: less than {least} bytes are left"


def listing(work: str) -> bytes:
    """What lies in ``work``, which was settled: kind, bytes, names and path of each, and what a link says, as find(1)
    prints them.

    Its size is bounded by what :func:`settle` lets be.
    """
    fd = os.open(work, _FOLDER)
    try:
        return b"".join(_rows(fd, b""))
    finally:
        os.close(fd)


def _rows(fd: int, above: bytes) -> list[bytes]:
    rows: list[bytes] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            kind, path = _KINDS.get(stat.S_IFMT(status.st_mode), "U"), above + os.fsencode(entry.name)
            says = os.fsencode(os.readlink(entry.name, dir_fd=fd)) if kind == "l" else b""
            rows.append(f"{kind}\t{status.st_size}\t{status.st_nlink}\t".encode() + path + b"\0" + says + b"\0")
            if kind == "d":
                below = os.open(entry.name, _FOLDER, dir_fd=fd)
                try:
                    rows += _rows(below, path + b"/")
                finally:
                    os.close(below)
    return rows


def _weighed(work: str | os.PathLike[str], walk: _Walk) -> str:
    try:
        fd = _opened(work, None)
    except PermissionError:
        os.chmod(work, 0o700)  # the top itself, which a step can close but not put something else in place of
        fd = os.open(work, _FOLDER)
    try:
        walk.folder(fd)
    except TooMuchError as error:
        return str(error)
    except FileNotFoundError:
        return ""  # an entry went between its name and its size; the next look counts it
    finally:
        os.close(fd)
    return ""


def _enter_open(parent: int, name: str) -> int | None:
    try:
        return _opened(name, parent)
    except OSError:
        return None  # the step is still at work here: a folder may vanish, become a link, or be closed to us


def _opened(name: str | os.PathLike[str], parent: int | None) -> int:
    """A folder's descriptor. One that can be listed and not entered tells names and no sizes: it is as closed."""
    fd = os.open(name, _FOLDER, dir_fd=parent)
    try:
        os.stat(".", dir_fd=fd)
    except OSError:
        os.close(fd)
        raise
    return fd


def _enter_owned(parent: int, name: str) -> int:
    _own(name, parent, 0o700)
    return os.open(name, _FOLDER, dir_fd=parent)


def _own(name: str, parent: int | None, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(name, os.geteuid(), os.getegid(), dir_fd=parent, follow_symlinks=False)
    os.chmod(name, mode, dir_fd=parent)
