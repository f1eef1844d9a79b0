"""What is done with a site's whole folder while no node runs on it: a backup, and bringing the site back from one."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from catalog.error import BadInput, Conflict
from catalog.key import Signer
from node.config import Folder, read_config
from node.holding import held
from node.site.restore import restore

_LEFT_OUT = frozenset(
    {"work", "environment", "environments", "node.lock", "kubo", "search.db", "search.db-wal", "search.db-shm"}
)
_HELD = ("keys/projects", "blobs/held")
"""What is held for projects, and its keys: a project's end destroys them, and a backup would have them still."""


def backup_site(folder: Folder, file: Path) -> int:
    """Write the folder, keys included, into a new tar ``file`` of mode 0600; its size in bytes.

    Raises:
        Conflict: a node runs on it, or the file is there already. BadInput: it cannot be written. NotFound: no site.
    """
    read_config(folder)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{file} is there already; a backup replaces nothing") from error
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from error
    try:
        with held(folder), os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w") as archive:
                for path in sorted(folder.path.iterdir()):
                    if path.name not in _LEFT_OUT:
                        archive.add(path, path.name, filter=_kept)
            stream.flush()
            os.fsync(stream.fileno())
            return stream.tell()
    except BaseException:
        file.unlink(missing_ok=True)  # half a backup is worse than none
        raise


def _kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name in _HELD else member


def restore_site(folder: Folder, root: Signer, tell: Callable[[str], None]) -> None:
    """Bring the site back whose old folder lies at ``folder``; errors as for :func:`node.site.restore.restore`."""
    folder = Folder(folder.path.absolute())
    read_config(folder)
    with held(folder):
        trio.run(partial(restore, folder, root, tell))
