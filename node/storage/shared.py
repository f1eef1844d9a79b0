"""Shared datasets in the store: encrypted when they are added, decrypted only to where they are used."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import trio

from catalog.cid import Cid
from catalog.crypt4gh import SEALED, Random, open_segment, sealed_size, segments
from catalog.error import BadInput, NotFound, VerificationFailed
from catalog.manifest import MANIFEST, MAX_MANIFEST, Manifest, SharedFile, read_manifest
from node.plainfiles import write_files
from node.storage.directory import entries_of, resolve
from node.storage.disk import MAX_BYTES, DiskBlobs
from node.storage.importer import WORKERS
from node.storage.sealing import Sealer, seal_path
from node.storage.segments import open_segments
from node.storage.unixfs import Child, Get, Put, file_bytes, load

_TOGETHER: Final = 8
"""Segments that are opened by one turn of a thread."""


class SharedData:
    """Adds and reads shared datasets in ``blobs``. Keys are 32 bytes; none of them is kept here."""

    def __init__(self, blobs: DiskBlobs, random: Random) -> None:
        self._blobs, self._random = blobs, random

    async def add_path(self, path: Path, key: bytes, progress: Callable[[int], None] | None = None) -> Cid:
        """Encrypt the file or folder at ``path`` under ``key`` into the store, durable when it returns: its root.

        Raises:
            BadInput, ComityError: as :meth:`DiskBlobs.add_path`.
        """

        def tick(count: int) -> None:
            trio.from_thread.check_cancelled()
            if progress is not None:
                progress(count)

        return await self._blobs.build(lambda put, _get: seal_path(path, key, self._random, put, tick))

    async def reseal(self, root: Cid, old: bytes, new: bytes) -> Cid:
        """Encrypt the dataset ``root`` anew, under another key; the root of what was made.

        Raises:
            NotFound, VerificationFailed: it is not here whole, or not under the key ``old``.
        """
        return await self._blobs.build(lambda put, get: _reseal(root, old, new, self._random, put, get))

    async def manifest(self, root: Cid, key: bytes) -> Manifest:
        """What the dataset ``root`` is made of.

        Raises:
            NotFound, VerificationFailed: as for :meth:`reseal`.
        """
        return await trio.to_thread.run_sync(manifest_of, root, key, self._blobs.get)

    async def checkout(self, root: Cid, key: bytes, target: Path) -> None:
        """Write the decrypted dataset to ``target``, a new file or folder; every byte verified. Files get mode 0444.

        Raises:
            NotFound, VerificationFailed: as for :meth:`reseal`. BadInput: ``target`` exists, or it is too large.
        """

        def write(get: Get) -> None:
            manifest = manifest_of(root, key, get)
            if manifest.size > MAX_BYTES:
                raise BadInput("the data were not written: they have more bytes than are allowed here")
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="open") as pool:
                write_files(target, manifest, lambda file: plain_of(file, key, get, pool), mode=0o444)

        await trio.to_thread.run_sync(write, self._blobs.get)

    async def size(self, root: Cid, name: str) -> int:
        """Bytes in the store of what is called ``name`` in ``root``; raises as :meth:`piece` does."""
        get = self._blobs.get
        return await trio.to_thread.run_sync(lambda: load(resolve(root, name, get), get).size)

    async def bodies(self, root: Cid, first: int, start: int, limit: int) -> bytes:
        """Bytes of the bodies of ``root`` one behind the other: at most ``limit``, from ``start`` of ``first`` on.

        So small files do not cost a question each.

        Raises:
            NotFound: not here, or no such body. VerificationFailed: damaged.
        """
        get = self._blobs.get
        return await trio.to_thread.run_sync(lambda: b"".join(_bodies(root, first, start, limit, get)))

    async def piece(self, root: Cid, name: str, start: int, limit: int) -> bytes:
        """Bytes as they lie in the store of what is called ``name`` in ``root``: from ``start``, at most ``limit``.

        Raises:
            NotFound: not here, or no such name. VerificationFailed: damaged.
        """

        def read(get: Get) -> bytes:
            return b"".join(file_bytes(resolve(root, name, get), get, start, start + limit))

        return await trio.to_thread.run_sync(read, self._blobs.get)


def _bodies(root: Cid, first: int, start: int, limit: int, get: Get) -> Iterator[bytes]:
    held = dict(entries_of(load(root, get), get))
    if str(first) not in held:
        raise NotFound(f"there is no body {first} in «{root}»")
    number, left = first, limit
    while left > 0 and (body := held.get(str(number))) is not None:
        size = load(body, get).size
        yield from file_bytes(body, get, start, start + left)
        if start > size:
            return
        left -= min(left, size - start)
        number, start = number + 1, 0


def manifest_of(root: Cid, key: bytes, get: Get) -> Manifest:
    """The manifest of a shared dataset.

    Raises:
        NotFound: not here. VerificationFailed: under another key, or malformed. BadInput: no shared dataset.
    """
    body = resolve(root, MANIFEST, get)
    if load(body, get).size > sealed_size(MAX_MANIFEST):
        raise VerificationFailed("a manifest was refused: it is too large")
    return read_manifest(b"".join(open_segment(key, each) for each in segments(file_bytes(body, get))))


def plain_of(file: SharedFile, key: bytes, get: Get, pool: ThreadPoolExecutor) -> Iterator[bytes | bytearray]:
    """The plaintext of one file, eight segments at a time.

    Raises:
        VerificationFailed: a segment is altered, or they are more or fewer than the manifest says.
    """
    if load(file.body, get).size != sealed_size(file.size):
        raise VerificationFailed("encrypted data were refused: a file has another size than its manifest says")
    ahead: deque[Future[bytes | bytearray]] = deque()
    for several in _several(file_bytes(file.body, get)):
        trio.from_thread.check_cancelled()
        ahead.append(pool.submit(open_segments, key, several))
        if len(ahead) > 2 * WORKERS:
            yield ahead.popleft().result()
    yield from (each.result() for each in ahead)


def _several(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes of a body, so that each piece is whole segments but the last one's end."""
    rest: list[bytes] = []
    size = 0
    for piece in pieces:
        rest.append(piece)
        size += len(piece)
        if size >= _TOGETHER * SEALED:
            data = b"".join(rest)
            stop = size - size % SEALED
            yield data[:stop]
            rest, size = [data[stop:]], size - stop
    if size:
        yield b"".join(rest)


def _reseal(root: Cid, old: bytes, new: bytes, random: Random, put: Put, get: Get) -> Child:
    manifest = manifest_of(root, old, get)
    with Sealer(new, random, put) as sealer:

        def again(file: SharedFile) -> tuple[SharedFile, Child]:
            body = sealer.body(plain_of(file, old, get, sealer.pool))
            return SharedFile(path=file.path, size=file.size, media_type=file.media_type, body=body.cid), body

        return sealer.dataset(manifest.folder, [again(file) for file in manifest.files])
