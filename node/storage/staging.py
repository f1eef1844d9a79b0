"""Makes nodes durable in groups: first their bytes, then their names, so that a named node is always whole.

A group costs few flushes of the disk, however many nodes it has: one node one by one would cost two each.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import ComityError, Conflict
from node.storage.durable import Making, sync_filesystem, sync_folders
from node.storage.room import Room

_GROUP_BYTES: Final = 128 << 20
_GROUP_NODES: Final = 4096
_ONE_BY_ONE: Final = 4
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Staging:
    """One addition's nodes on their way into a store: ``put`` each, from any thread, then ``commit``.

    ``place`` says where a node belongs: a file in a folder that exists, on one filesystem with ``folder``. Use as
    a context manager; what was not committed goes with it.
    """

    def __init__(self, folder: Path, place: Callable[[Cid], Path], room: Room) -> None:
        self._place = place
        self._room = room
        # The lock tells an opening of the store, in any process, that this folder is in use.
        with locked(folder, fcntl.LOCK_SH):
            self._folder = Path(tempfile.mkdtemp(dir=folder))
            self._fd = os.open(self._folder, _DIRECTORY)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._making = Making(self._fd)
        self._lock = threading.Lock()
        self._seen: set[Cid] = set()
        self._pending: list[Cid] = []
        self._touched: set[Path] = set()
        self._bytes = 0

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        if any(self._folder.iterdir()):
            self._room.count_again()
        shutil.rmtree(self._folder)
        os.close(self._fd)

    def put(self, cid: Cid, data: bytes) -> None:
        """Take a node whose ``data`` are known to match ``cid``.

        Raises:
            ComityError: the disk refuses, or there is no room; the store is as it was.
        """
        with self._lock:
            if cid in self._seen:
                return
            self._seen.add(cid)
        target = self._place(cid)
        held = _holds(target, data)
        if not held:
            self._room.take(len(data))
            try:
                self._making.write(str(cid), data)
            except OSError as error:
                raise refused(error) from error
        with self._lock:
            # The name of a node that is already here may not be durable yet: its folder is flushed all the same.
            self._touched.add(target.parent)
            if held:
                self._seen.discard(cid)
                return
            self._pending.append(cid)
            self._bytes += len(data)
            if self._bytes < _GROUP_BYTES and len(self._pending) < _GROUP_NODES:
                return
            group, self._pending, self._bytes = self._pending, [], 0
        self._name(group)

    def commit(self) -> None:
        """Make everything that was put durable.

        Raises:
            ComityError: the disk refuses; nodes that nobody names may stay, which harms nothing.
        """
        self._name(self._pending)
        self._pending = []
        try:
            if len(self._touched) > _ONE_BY_ONE:
                sync_filesystem(self._fd)
            else:
                sync_folders(self._touched)
        except OSError as error:
            raise refused(error) from error

    def _name(self, group: list[Cid]) -> None:
        """Flush the bytes of ``group``, then give them their names."""
        try:
            if len(group) > _ONE_BY_ONE:
                sync_filesystem(self._fd)
            else:
                for cid in group:
                    _sync(self._folder / str(cid))
            for cid in group:
                os.rename(self._folder / str(cid), self._place(cid))
        except OSError as error:
            raise refused(error) from error
        with self._lock:
            self._seen.difference_update(group)


def clear(folder: Path) -> None:
    """Remove what additions that were cut off left in ``folder``; those that run now, in any process, are kept."""
    with locked(folder, fcntl.LOCK_EX):
        for left in folder.iterdir():
            try:
                with locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(left)
            except (BlockingIOError, FileNotFoundError):
                continue  # in use, or just done


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this is held nothing is added, by any process: whoever begins to waits.

    Raises:
        Conflict: an addition is under way.
    """
    with locked(folder, fcntl.LOCK_EX):
        for begun in folder.iterdir():
            try:
                with locked(begun, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    pass
            except BlockingIOError as error:
                raise Conflict(
                    "something is being added to the store at this moment; try again when it is in"
                ) from error
            except FileNotFoundError:
                continue  # it has just ended
        yield


@contextmanager
def locked(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock of flock(2) on a folder."""
    fd = os.open(folder, _DIRECTORY)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def _holds(target: Path, data: bytes) -> bool:
    """Whether ``target`` holds just ``data``: a damaged node is replaced when it comes again."""
    try:
        with target.open("rb", buffering=0) as file:
            return os.fstat(file.fileno()).st_size == len(data) and file.read() == data
    except FileNotFoundError:
        return False
    except OSError as error:
        raise refused(error) from error


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def refused(error: OSError) -> ComityError:
    """What the user is told when the disk takes no more."""
    why = (error.strerror or str(error)).lower()
    return ComityError(f"nodes could not be stored: {why}; see to the disk of the site's folder, then try again")
