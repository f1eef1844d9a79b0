"""Reading a file that somebody else may have put there: a regular one, and no more of it than it may hold."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from catalog.error import Damaged

_ODD: Final = frozenset({errno.ELOOP, errno.ENXIO})
"""What a link and a socket answer to being opened."""


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file of at most ``most`` bytes. Never waits for a writer, never follows a link.

    Raises:
        FileNotFoundError: there is none. OSError: it cannot be read.
        Damaged: it is a link, a pipe, a device or a folder, or larger.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _ODD:
            raise
        raise _odd(path) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _odd(path)
        with open(file, "rb", closefd=False) as stream:
            data = stream.read(most + 1)
    finally:
        os.close(file)
    if len(data) > most:
        raise Damaged(f"{path} is damaged: it is larger than {most:,} bytes")
    return data


def require_regular(path: Path) -> None:
    """See that what others will open under this name, if there is anything, is a regular file.

    Raises:
        Damaged: it is a link, a pipe, a device or a folder.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise _odd(path)


def _odd(path: Path) -> Damaged:
    return Damaged(f"{path} is no regular file; links are not followed: put the file itself there")
