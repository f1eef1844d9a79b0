"""From files on disk to a shared dataset: encrypted while they are read, so that no plaintext is stored.

What is stored is a folder of Crypt4GH bodies under numbers and the encrypted manifest (:mod:`catalog.manifest`), all
under one data key. ChaCha20 and SHA-256 run in threads, a few chunks ahead. Blocking: call it in a worker thread.
"""

from __future__ import annotations

import mimetypes
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.crypt4gh import Random
from catalog.dagcbor import encode
from catalog.error import BadInput
from catalog.manifest import MANIFEST, MAX_FILES, MAX_MANIFEST, Manifest, SharedFile, read_manifest
from node.storage.directory import build_directory
from node.storage.importer import WORKERS, Import
from node.storage.segments import seal_segments
from node.storage.unixfs import CHUNK, Child, FileBuilder, Put, chunks_of, leaf

_AHEAD: Final = 2 * WORKERS


class BodyBuilder:
    """Builds the body of one file from its plaintext: ``add`` the chunks in order, then ``finish`` once."""

    def __init__(self, key: bytes, random: Random, put: Put, pool: ThreadPoolExecutor) -> None:
        self._key, self._random, self._put, self._pool = key, random, put, pool
        self._tree = FileBuilder(put)
        self._sealing: deque[Future[bytes | bytearray]] = deque()
        self._leaves: deque[Future[Child]] = deque()
        self._rest: list[memoryview] = []
        self._size = 0

    def add(self, chunk: bytes | bytearray) -> None:
        """Append plaintext: some MiB at most, whole segments but for the last."""
        self._sealing.append(self._pool.submit(seal_segments, self._key, chunk, self._random))
        if len(self._sealing) > _AHEAD:
            self._cut(self._sealing.popleft().result())

    def finish(self) -> Child:
        """The body's root."""
        while self._sealing:
            self._cut(self._sealing.popleft().result())
        if self._rest:
            self._leaf(b"".join(self._rest))
        while self._leaves:
            self._tree.add(self._leaves.popleft().result())
        return self._tree.finish()

    def _cut(self, sealed: bytes | bytearray) -> None:
        """A body's leaves are cut where a file's are, and not where its segments end."""
        view, start = memoryview(sealed), 0
        while self._size + len(sealed) - start >= CHUNK:
            stop = start + CHUNK - self._size
            self._leaf(b"".join((*self._rest, view[start:stop])))
            self._rest, self._size, start = [], 0, stop
        if start < len(sealed):
            self._rest.append(view[start:])
            self._size += len(sealed) - start

    def _leaf(self, data: bytes) -> None:
        self._leaves.append(self._pool.submit(leaf, data, self._put))
        if len(self._leaves) > _AHEAD:
            self._tree.add(self._leaves.popleft().result())


class Sealer:
    """Makes a shared dataset under one data key: a body for each file, then the folder with the manifest.

    Leave it as a context manager, which ends its threads.
    """

    def __init__(self, key: bytes, random: Random, put: Put) -> None:
        self._key, self._random, self._put = key, random, put
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="seal")

    def __enter__(self) -> Sealer:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def body(self, chunks: Iterable[bytes | bytearray]) -> Child:
        """Encrypt and store one file, given in pieces that are whole segments but for the last."""
        builder = BodyBuilder(self._key, self._random, self._put, self.pool)
        for chunk in chunks:
            builder.add(chunk)
        return builder.finish()

    def dataset(self, folder: bool, files: Iterable[tuple[SharedFile, Child]]) -> Child:
        """The dataset of these files, each with its stored body.

        Raises:
            BadInput: too many files, or their names are too long together.
        """
        listed = sorted(files, key=lambda each: each[0].path.encode())
        if len(listed) > MAX_FILES:
            raise BadInput(f"nothing was added: {len(listed):,} files, and shared data may have {MAX_FILES:,}")
        data = encode(Manifest(folder=folder, files=tuple(file for file, _ in listed)))
        if len(data) > MAX_MANIFEST:
            raise BadInput("nothing was added: the paths of all files together are too long")
        read_manifest(data)
        bodies = {str(number): body for number, (_, body) in enumerate(listed)}
        return build_directory({MANIFEST: self.body(chunks_of(data))} | bodies, self._put)


def seal_path(path: Path, key: bytes, random: Random, put: Put, tick: Callable[[int], None]) -> Child:
    """Encrypt the file or folder at ``path`` under ``key``; ``put`` and ``tick`` are those of ``import_path``.

    Empty folders are left out.

    Raises:
        BadInput: as ``import_path``; or more files than a manifest takes.
    """
    with Sealer(key, random, put) as sealer:
        reading = _Reading(path, sealer, tick)
        top = os.fspath(path)
        reading.entry(top, None, top, 0)
        return sealer.dataset(reading.folder, reading.files)


class _Reading(Import):
    """Reads files as an import does, and hands each to the sealer; the folders that it builds are dropped."""

    def __init__(self, path: Path, sealer: Sealer, tick: Callable[[int], None]) -> None:
        super().__init__(_drop, tick, sealer.pool)
        self._top, self._sealer = path, sealer
        self.folder = True
        self.files: list[tuple[SharedFile, Child]] = []

    def file(self, fd: int, expected: os.stat_result, shown: str) -> Child:
        """Encrypt one open file."""
        body = self._sealer.body(self.chunks(fd, expected.st_size, shown))
        self.folder = shown != os.fspath(self._top)
        name = os.path.relpath(shown, self._top) if self.folder else self._top.absolute().name
        file = SharedFile(path=name, size=expected.st_size, media_type=media_type_of(name), body=body.cid)
        self.files.append((file, body))
        return body


def media_type_of(name: str) -> str:
    """What a file's name says of its type, as IANA calls it."""
    return (mimetypes.guess_type(name)[0] or "application/octet-stream")[:120]


def _drop(_cid: Cid, _data: bytes) -> None:
    """Store nothing."""
