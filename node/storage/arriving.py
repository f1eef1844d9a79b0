"""One root's nodes on their way in from other sites: kept aside until all are there, whatever ends meanwhile.

Nothing here counts as stored. Each node is a file under its CID, written once it was verified; what a process that
was killed left is held against its name again by the next, so that no verified byte is fetched twice. What comes for a
project alone is sealed under its key before it is written, as it is when it has come (:mod:`node.storage.sealed`).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Conflict, NotFound, VerificationFailed
from catalog.key import public_bytes
from node.storage.dagpb import MAX_NODE
from node.storage.durable import Making, sync_filesystem, sync_folders
from node.storage.nodes import read_node
from node.storage.room import Room
from node.storage.sealed import OVERHEAD, ProjectKey
from node.storage.staging import refused

_SOURCES: Final = "sources"
_MOST_SOURCES: Final = 1 << 16
_WHOLE: Final = "whole"
_FEW: Final = 4
"""Folders that are made durable one by one."""

FLUSH_BYTES: Final = 64 << 20
"""After so many bytes the disk is told to begin writing: it works while the network does."""


def arrival_folder(parent: Path, root: Cid, source: str) -> Path:
    """Where what comes below ``root`` from one source is kept aside: each source must show that it has the bytes."""
    return parent / f"{root}.{sha256(source.encode()).hexdigest()[:16]}"


class Arrival:
    """The nodes below one root that have come from one source, in ``folder``. Blocking; ``put`` from any thread.

    They are sealed under ``key``, if there is one. Close it, or use it as a context manager; what came stays for the
    next.

    Raises:
        Conflict: it is being fetched at this moment, by another process too.
        ComityError: the disk refuses.
    """

    def __init__(self, folder: Path, room: Room, key: ProjectKey | None = None) -> None:
        self._folder = folder
        self.key = key
        self._room = room
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise refused(error) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise Conflict("the same is being fetched at this moment; try again when it is in") from error
        try:
            self._held = set(_names(folder))
            self._sources = _read_sources(folder / _SOURCES)
        except (OSError, ComityError) as error:
            os.close(self._fd)  # and with it the lock, which would keep the next one out
            raise error if isinstance(error, ComityError) else refused(error) from error
        self._making = Making(self._fd)
        self._lock = threading.Lock()
        self._unflushed = 0
        self.added = 0
        """Bytes of nodes that were put here and are new."""

    def __enter__(self) -> Arrival:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._fd)

    @property
    def held(self) -> frozenset[Cid]:
        """What is here; what lay here from before is not verified yet."""
        with self._lock:
            return frozenset(self._held)

    def get(self, cid: Cid) -> bytes:
        """A node that came, verified; one that a crash left damaged is removed.

        Raises:
            NotFound: it has not come, or was damaged.
            ComityError: the disk refuses.
        """
        try:
            data = self._read(cid)
            if data is not None and cid.matches(data):
                return data
            (self._folder / str(cid)).unlink()
        except FileNotFoundError as error:
            raise NotFound(f"«{cid}» has not come yet") from error
        except OSError as error:
            raise refused(error) from error
        with self._lock:
            self._held.discard(cid)
        raise NotFound(f"«{cid}» has not come yet")

    def _read(self, cid: Cid) -> bytes | None:
        """The bytes of a node's file; none if it does not open."""
        path = self._folder / str(cid)
        if self.key is None:
            return read_node(path)
        try:
            return self.key.open(bytes(cid), read_node(path, MAX_NODE + OVERHEAD))
        except VerificationFailed:
            return None

    def holds(self, cid: Cid) -> bool:
        """Whether a node is here, as :attr:`held` says."""
        return cid in self._held

    def put(self, nodes: Sequence[tuple[Cid, bytes]]) -> None:
        """Keep nodes whose bytes are known to match their CIDs.

        Several at once, for threads that take turns at each small file spend more on turns than on files.

        Raises:
            ComityError: the disk refuses.
        """
        size = 0
        with self._lock:
            for cid, data in nodes:
                if cid in self._held:
                    continue
                written = data if self.key is None else self.key.seal(bytes(cid), data)
                self._room.take(len(written))
                try:
                    self._making.write(str(cid), written, os.O_TRUNC)
                except OSError as error:
                    raise refused(error) from error
                self._held.add(cid)
                size += len(data)
            self.added += size
            self._unflushed += size
            flush = self._unflushed >= FLUSH_BYTES
            if flush:
                self._unflushed = 0
        if flush:
            self.sync()

    def keep_only(self, cids: Collection[Cid]) -> None:
        """Count nothing as here but ``cids``."""
        with self._lock:
            self._held.intersection_update(cids)

    def came_from(self, site: str) -> None:
        """Keep that ``site`` gave something of it.

        Raises:
            ComityError: the disk refuses.
        """
        with self._lock:
            if site in self._sources:
                return
            self._sources.append(site)
        try:
            with (self._folder / _SOURCES).open("a", encoding="utf-8") as file:
                file.write(f"{site}\n")
        except OSError as error:
            raise refused(error) from error

    @property
    def sources(self) -> tuple[str, ...]:
        """Who gave of it, also to a process before this one."""
        return tuple(self._sources)

    @property
    def whole(self) -> bool:
        """Whether all had come, and a process before this one was taking it into the store, where the rest lies."""
        return (self._folder / _WHOLE).exists()

    def seal(self) -> None:
        """Make durable that all has come, for what follows takes files away.

        Raises:
            ComityError: the disk refuses.
        """
        self.sync()
        try:
            self._making.write(_WHOLE, b"", os.O_TRUNC)
            os.fsync(self._fd)
        except OSError as error:
            raise refused(error) from error

    def sync(self) -> None:
        """Make all that came durable.

        Raises:
            ComityError: the disk refuses.
        """
        try:
            sync_filesystem(self._fd)
        except OSError as error:
            raise refused(error) from error

    def take_in(self, root: Cid, place: Callable[[Cid], Path]) -> None:
        """Move each node to its ``place`` in the store, ``root`` last: what is not whole is not there.

        Durable when it returns. After :meth:`seal`.

        Raises:
            ComityError: the disk refuses; what was not moved stays here.
        """
        try:
            touched = set()
            for cid in sorted(self.held, key=lambda each: each == root):
                os.rename(self._folder / str(cid), place(cid))
                touched.add(place(cid).parent)
            if len(touched) > _FEW:
                self.sync()
            else:
                sync_folders(touched)
        except OSError as error:
            raise refused(error) from error

    def discard(self) -> None:
        """Remove the folder, and whatever is still in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._room.count_again()


def _read_sources(path: Path) -> list[str]:
    """The sites in the file, each once; what a crash left half-written is none."""
    try:
        lines = path.read_bytes()[:_MOST_SOURCES].decode("ascii", "replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise refused(error) from error
    found = []
    for line in lines:
        try:
            public_bytes(line)
        except BadInput:
            continue
        found.append(line)
    return list(dict.fromkeys(found))


def forget_arrivals(parent: Path, older_than: float, room: Room) -> int:
    """Remove what began to arrive and was not gone on with since ``older_than`` (Unix seconds); how many there were."""
    count = 0
    for folder in parent.iterdir() if parent.exists() else ():
        try:
            if folder.stat().st_mtime < older_than:
                with Arrival(folder, room) as arrival:
                    arrival.discard()
                count += 1
        except (Conflict, FileNotFoundError):
            continue  # it goes on at this moment, or has just ended
    return count


def _names(folder: Path) -> Iterator[Cid]:
    for name in os.listdir(folder):
        try:
            yield Cid.parse(name)
        except BadInput:
            continue
