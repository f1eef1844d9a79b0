"""What a step left in its work folder is removed, without ever following a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
