"""Trees on disk that share their files: each file is a link to the one of its CID in a pool, written there once.

Environments of many blocks have the same interpreter and the same libraries. Blocking: call it in a worker thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from catalog.cid import Cid
from node.storage.disk import MAX_BYTES, MAX_ENTRIES
from node.storage.exporter import Exporter
from node.storage.unixfs import Get, Node

MODE: Final = 0o555
# A file has at most so many names on a file system («EMLINK»), and some take no second name at all.
_NO_MORE: Final = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP)


class Pooled(Exporter):
    """Writes trees whose files lie in ``pool``, a folder on the same file system that is there."""

    def __init__(self, get: Get, tick: Callable[[], None], max_bytes: int, max_entries: int, pool: Path) -> None:
        super().__init__(get, tick, max_bytes, max_entries)
        self._pool = pool

    def had(self, cid: Cid, name: str, where: int) -> bool:
        """See :meth:`Exporter.had`: what the pool has is not read again, and takes no more room."""
        try:
            os.link(place_of(self._pool, cid), name, dst_dir_fd=where)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno not in _NO_MORE:
                raise
            return False
        return True

    def file(self, cid: Cid, node: Node, name: str, where: int, mode: int = MODE) -> None:
        """See :meth:`Exporter.file`; the pool has it from then on, whole from the moment that it has its name there."""
        super().file(cid, node, name, where, mode)
        place = place_of(self._pool, cid)
        try:
            os.link(name, place, src_dir_fd=where)
        except FileNotFoundError:
            with suppress(FileExistsError):
                os.mkdir(os.path.dirname(place), 0o700)
            os.link(name, place, src_dir_fd=where)
        except OSError as error:
            if error.errno not in (*_NO_MORE, errno.EEXIST):
                raise


async def checkout_pooled(get: Get, root: Cid, target: Path, pool: Path) -> None:
    """Write the tree ``root`` to ``target``, which must not exist, each file a link to the one in ``pool``.

    Files get mode 0555 and folders 0755. On failure or cancelling nothing stays at ``target``; what has come into the
    pool is whole.

    Raises:
        NotFound, VerificationFailed, BadInput, ComityError: as :meth:`node.storage.disk.DiskBlobs.checkout`.
    """
    exporter = Pooled(get, trio.from_thread.check_cancelled, MAX_BYTES, MAX_ENTRIES, pool)
    await trio.to_thread.run_sync(exporter.export, root, target)


def place_of(pool: Path, cid: Cid) -> str:
    """Where the file ``cid`` lies in a pool."""
    name = bytes(cid).hex()
    return f"{pool}/{name[-2:]}/{name}"


def drop_unused(pool: Path) -> int:
    """Remove what no tree links to any more; how many files. No tree is being written meanwhile."""
    removed = 0
    for folder in os.scandir(pool):
        for each in os.scandir(folder.path):
            if each.stat(follow_symlinks=False).st_nlink == 1:
                os.unlink(each.path)
                removed += 1
    return removed
