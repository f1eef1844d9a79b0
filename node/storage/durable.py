"""Files that are wholly there or not at all: written aside, flushed, renamed, and their folders flushed."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)

ASIDE: Final = ".new"
"""How the name of a file ends while it is being written; what has it after a crash is rubbish."""


def write_files(files: Mapping[Path, bytes]) -> None:
    """Write each file and make all of them durable; each replaces what had its name, and is never seen half-written.

    They appear one by one: a caller that needs all or none writes a last file that refers to the others.
    """
    folders: set[Path] = set()
    for path, data in files.items():
        folders |= _make_folder(path.parent)
        aside = path.with_name(path.name + ASIDE)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    sync_folders(folders)


def show_file(path: Path, data: bytes) -> None:
    """Put a file where readers find it whole. It is not durable: what it says must be kept elsewhere as well."""
    aside = path.with_name(path.name + ASIDE)
    aside.write_bytes(data)
    os.replace(aside, path)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make the names in these folders durable."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Making:
    """Makes files in one folder, one after the other: several threads that do at once spin on the folder's lock.

    Measured with 10,000 files of 4 KiB: 0.7 s from one thread, 3.4 s and ten times the processor from two.
    """

    def __init__(self, folder: int) -> None:
        """``folder`` is an open descriptor, the caller's to close."""
        self._folder = folder
        self._turn = threading.Lock()

    def write(self, name: str, data: bytes, flags: int = os.O_EXCL) -> None:
        """Write a file (mode 0600); it is not durable yet.

        Raises:
            OSError: the disk refuses; with ``O_EXCL``, it is there.
        """
        with self._turn:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o600, dir_fd=self._folder)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)


def sync_filesystem(fd: int) -> None:
    """Make durable all that was written to the filesystem of an open file: syncfs(2), which the library does not have.

    Raises:
        OSError: the disk refuses, or refused something that was written before.
    """
    if _libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _make_folder(folder: Path) -> set[Path]:
    """Make ``folder``, and return the folders whose names must be flushed for it to be found again."""
    changed = {folder}
    while not folder.exists():
        folder = folder.parent
        changed.add(folder)
    for each in sorted(changed):
        each.mkdir(exist_ok=True)
    return changed
