"""Trees on disk that share their files: each file is a link to the one of its CID in a pool, written there once.

Environments of many blocks have the same interpreter and the same libraries. Blocking: call it in a worker thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from catalog.cid import RAW, Cid
from node.storage.disk import MAX_BYTES, MAX_ENTRIES
from node.storage.exporter import Exporter
from node.storage.unixfs import Get, Node

MODE: Final = 0o555
FEW: Final = 8
"""Small files of a folder that are not worth a second thread."""
# A file has at most so many names on a file system («EMLINK»), and some take no second name at all.
_NO_MORE: Final = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP)


class Pooled(Exporter):
    """Writes trees whose files lie in ``pool``, a folder on the same file system that is there.

    Half of a folder's small files are written by ``beside``, in the one thread of ``threads``: to make so many files
    takes longer than to read them.
    """

    def __init__(
        self,
        get: Get,
        tick: Callable[[], None],
        pool: Path,
        max_bytes: int,
        beside: Pooled | None = None,
        threads: ThreadPoolExecutor | None = None,
    ) -> None:
        super().__init__(get, tick, max_bytes, MAX_ENTRIES)
        self._pool, self._beside, self._threads = pool, beside, threads

    def entries(self, children: Iterable[tuple[str, Cid]], where: int, depth: int) -> None:
        """See :meth:`Exporter.entries`."""
        every = list(children)
        small = [each for each in every if each[1].codec == RAW]
        if self._beside is None or self._threads is None or len(small) < FEW:
            super().entries(every, where, depth)
            return
        given = small[::2]
        other = self._threads.submit(self._beside.entries, given, where, depth)
        try:
            kept = set(given)
            super().entries([each for each in every if each not in kept], where, depth)
        finally:
            wait([other])  # the folder is closed next
        other.result()

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


async def checkout_pooled(get: Get, root: Cid, target: Path, pool: Path, max_bytes: int = MAX_BYTES) -> None:
    """Write the tree ``root`` to ``target``, which must not exist, each file a link to the one in ``pool``.

    Files that are not there yet take at most ``max_bytes``. They get mode 0555, and folders 0755. On failure or
    cancelling nothing stays at ``target``; what has come into the pool is whole.

    Raises:
        NotFound, VerificationFailed, BadInput, ComityError: as :meth:`node.storage.disk.DiskBlobs.checkout`.
    """

    def export() -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="checkout") as threads:
            # What it writes are leaves, which are as large as what came: the bound is for what names itself many times.
            beside = Pooled(get, lambda: None, pool, max_bytes)
            Pooled(get, trio.from_thread.check_cancelled, pool, max_bytes, beside, threads).export(root, target)

    await trio.to_thread.run_sync(export)


def place_of(pool: Path, cid: Cid) -> str:
    """Where the file ``cid`` lies in a pool."""
    name = bytes(cid).hex()
    return f"{pool}/{name[-2:]}/{name}"


def drop_unused(pool: Path) -> int:
    """Remove what no tree links to any more; how many files.

    A tree that is being written meanwhile keeps what it took, and others get another copy of it.
    """
    removed = 0
    for folder in os.scandir(pool):
        for each in os.scandir(folder.path):
            with suppress(FileNotFoundError):
                if each.stat(follow_symlinks=False).st_nlink == 1:
                    os.unlink(each.path)
                    removed += 1
    return removed
