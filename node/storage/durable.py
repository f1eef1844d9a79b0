"""Files that are wholly there or not at all: written aside, flushed, renamed, and their folders flushed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

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


def _make_folder(folder: Path) -> set[Path]:
    """Make ``folder``, and return the folders whose names must be flushed for it to be found again."""
    changed = {folder}
    while not folder.exists():
        folder = folder.parent
        changed.add(folder)
    for each in sorted(changed):
        each.mkdir(exist_ok=True)
    return changed
