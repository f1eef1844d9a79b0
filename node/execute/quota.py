"""What a step left in its work folder: weighed, its modes settled, and removed, without ever following a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from node.step import Limits

MOST_DEPTH = 64
"""Folders within folders that an output may have."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _TooMuchError(Exception):
    """The walk met a limit; its argument is the reason."""


class _Walk:
    """One walk over a work folder: counts what it meets, and stops at the first limit."""

    def __init__(self, limits: Limits, *, settle: bool) -> None:
        self._limits = limits
        self._settle = settle
        self._entries = 0
        self._bytes = 0

    def folder(self, fd: int, depth: int) -> None:
        if depth > MOST_DEPTH:
            raise _TooMuchError(f"output depth: more than {MOST_DEPTH} folders within each other")
        with os.scandir(fd) as entries:
            for entry in entries:
                self._count(entry.stat(follow_symlinks=False))
                if entry.is_dir(follow_symlinks=False):
                    self._descend(fd, entry.name, depth)
                elif self._settle and entry.is_file(follow_symlinks=False):
                    _own(entry.name, fd, 0o600)

    def _count(self, status: os.stat_result) -> None:
        self._entries += 1
        if stat.S_ISREG(status.st_mode):
            self._bytes += status.st_size
        if self._entries > self._limits.output_files:
            raise _TooMuchError(f"output files: more than {self._limits.output_files}")
        if self._bytes > self._limits.output_bytes:
            raise _TooMuchError(f"output bytes: more than {self._limits.output_bytes}")

    def _descend(self, parent: int, name: str, depth: int) -> None:
        if self._settle:
            _own(name, parent, 0o700)
        try:
            fd = os.open(name, _FOLDER, dir_fd=parent)
        except OSError:
            if self._settle:
                raise
            return  # the step is still at work here: a folder may vanish, become a link, or be closed to us
        try:
            self.folder(fd, depth + 1)
        finally:
            os.close(fd)


def excess(work: Path, limits: Limits) -> str:
    """The output limit that ``work`` exceeds while its step still runs, or an empty string."""
    fd = os.open(work, _FOLDER)
    try:
        _Walk(limits, settle=False).folder(fd, 0)
    except _TooMuchError as error:
        return str(error)
    except FileNotFoundError:
        return ""  # an entry went between its name and its size; the next look counts it
    finally:
        os.close(fd)
    return ""


def settle(work: Path, limits: Limits) -> str:
    """Weigh ``work`` after its step has ended, as :func:`excess` does, and make all of it the node's, 0700 or 0600.

    A step chooses the modes of what it writes, often as the node's own user: a set-user-id program would stay live on
    the host, and a folder of mode 0 would hide its content from the count.
    """
    _own(str(work), None, 0o700)
    fd = os.open(work, _FOLDER)
    try:
        _Walk(limits, settle=True).folder(fd, 0)
    except _TooMuchError as error:
        return str(error)
    finally:
        os.close(fd)
    return ""


def discard(work: Path) -> None:
    """Remove ``work`` and all below it, however deep and whatever its modes.

    ``shutil.rmtree`` recurses, so that a step that nested a thousand folders would be able to stay on the disk: here
    each folder's children are moved up to the top before it is removed.
    """
    work.chmod(0o700)
    top = os.open(work, _FOLDER)
    serial = 0
    try:
        while names := os.listdir(top):
            for name in names:
                if not _is_folder(top, name):
                    os.unlink(name, dir_fd=top)
                    continue
                os.chmod(name, 0o700, dir_fd=top)
                child = os.open(name, _FOLDER, dir_fd=top)
                try:
                    serial = _lift(child, top, serial)
                finally:
                    os.close(child)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    work.rmdir()


def _lift(folder: int, top: int, serial: int) -> int:
    """Move the folders in ``folder`` up to ``top`` under free names, remove the rest; the next serial number."""
    for name in os.listdir(folder):
        if not _is_folder(folder, name):
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        while _exists(top, free := f".{serial}"):
            serial += 1
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=top)
        serial += 1
    return serial


def _own(name: str, parent: int | None, mode: int) -> None:
    if os.geteuid() == 0:
        os.chown(name, os.geteuid(), os.getegid(), dir_fd=parent, follow_symlinks=False)
    os.chmod(name, mode, dir_fd=parent)


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
