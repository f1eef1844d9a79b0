"""Trees of files put together on this disk: linked, merged; and what is said where the disk does not take them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.error import BadInput, ComityError, Full, shown


def link_tree(source: Path, target: Path) -> None:
    """Make ``target``, a new folder with the files of ``source`` as links to the same bytes, which nobody writes.

    Raises:
        OSError: the disk refuses; the first refusal ends it.
    """
    for top, _, files in os.walk(source):
        here = target / Path(top).relative_to(source)
        here.mkdir(parents=True, mode=0o755)
        for name in files:
            os.link(Path(top, name), here / name)


def merge(tree: Path, into: Path) -> None:
    """Move the files of ``tree`` into ``into``; one of the same path takes the place of that which is there.

    Wheels do write the same file (a «tests» beside the package): as with pip, the later one stands.

    Raises:
        BadInput: a file and a folder have the same path. OSError: the disk refuses.
    """
    for top, folders, files in os.walk(tree):
        here = into / Path(top).relative_to(tree)
        try:
            for name in folders:
                (here / name).mkdir(exist_ok=True)
            for name in files:
                os.replace(Path(top, name), here / name)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
            place = shown(str(here.relative_to(into)))
            raise BadInput(f"two packages of the lock have a file and a folder of one name in «{place}»") from error


def check_apart(tree: Path, other: Path, refused: str) -> None:
    """Check that no file of ``tree`` has the path of one of ``other``.

    Raises:
        BadInput: one has; the message begins with ``refused``.
    """
    for top, _, files in os.walk(tree):
        below = Path(top).relative_to(tree)
        for name in files:
            if (other / below / name).exists():
                raise BadInput(
                    f"{refused}: «{shown(str(below / name), 80)}» is of every environment, and stays as it is"
                )


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Tell of an operating system's error that ``what`` failed, and that the disk is full if it is.

    Raises:
        Full: there is no room. ComityError: the disk refuses.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Full(f"{what}: there is no room on this site's disk; nothing was kept") from error
        raise ComityError(f"{what}: {error.strerror or error}; see to this site's disk") from error
