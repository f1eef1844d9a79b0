"""Environments made for blocks of this site's people: from the lock that a block carries, or an image's archive."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import trio

from catalog.error import BadInput
from node.execute.discard import discard
from node.execute.environment.description import ROOT, Reference
from node.execute.environment.image import make_image
from node.execute.environment.lock import read_lock
from node.execute.environment.python import Base, Told, make_python
from node.execute.machine import platform_here
from node.ports import Blobs
from workflow.tool import Environment


class Packing:
    """Makes them in folders below ``folder``, and remembers nothing; iterating it gives what is done just now."""

    def __init__(self, folder: Path, base: Base) -> None:
        self._folder = folder
        self._base = base
        self._doing: dict[object, str] = {}
        self._clean = False

    def __iter__(self) -> Iterator[str]:
        """What is done for each block that is being packed."""
        return iter(tuple(self._doing.values()))

    async def make(
        self, wanted: Environment, files: Mapping[str, bytes], archive: Path | None, blobs: Blobs
    ) -> Reference:
        """Make the environment that a block's tool wants and store it; what the block then says of it.

        ``files`` are the block's, ``archive`` is where the image lies, if it wants one.

        Raises:
            BadInput, NotFound, VerificationFailed, Unreachable, Full: it cannot be made; the message says why.
            Denied, ComityError: this machine cannot make it.
        """
        folder = await trio.to_thread.run_sync(self.begin)
        try:
            with self._telling() as told:
                digest, packages = await self._made(wanted, files, archive, folder, told)
                size = await trio.to_thread.run_sync(_size, folder / "tree" / ROOT)
                told(f"storing {size >> 20:,} MiB")
                cid = await blobs.add_path(folder / "tree")
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(discard, folder)
        return Reference(
            environment=str(cid),
            platform=platform_here(),
            bytes=size,
            lock=digest if wanted.lock else None,
            image=digest if wanted.image else None,
            packages=packages,
        )

    async def _made(
        self, wanted: Environment, files: Mapping[str, bytes], archive: Path | None, folder: Path, told: Told
    ) -> tuple[str, dict[str, str]]:
        """The digest of what it was made of, and the packages that are in it."""
        if wanted.lock:
            lock = read_lock(files[wanted.lock], wanted.lock)
            return lock.digest, await make_python(lock, self._base, folder, told)
        if archive is None:
            raise BadInput(f"the block runs in the image {wanted.image}: give its archive (docker save) with --image")
        told(f"unpacking {archive.name}")
        await trio.to_thread.run_sync(make_image, archive, wanted.image, folder)
        return wanted.image, {}

    def begin(self) -> Path:
        """A new folder to make something in; what an earlier node left there goes before the first. Blocking."""
        if not self._clean and self._folder.exists():
            discard(self._folder)
        self._clean = True
        folder = self._folder / token_hex(8)
        folder.mkdir(mode=0o700, parents=True)
        return folder

    @contextmanager
    def _telling(self) -> Iterator[Told]:
        key = object()

        def told(text: str) -> None:
            self._doing[key] = text

        try:
            yield told
        finally:
            self._doing.pop(key, None)


def _size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    walked = ((top, name) for top, _, names in os.walk(folder) for name in names)
    return sum(Path(top, name).lstat().st_size for top, name in walked)
