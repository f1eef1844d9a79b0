"""Environments checked out at this site: each once, for all steps of all blocks that name it, and read-only.

Files are shared between them by content. What lies here is a copy of what is stored: it is made anew after the machine
was restarted, since nothing here waits for the disk, and what was not used for the longest goes when there are many.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError
from node.execute.discard import discard
from node.execute.environment.description import FILE, MOST_BYTES, ROOT, Description, check_platform, read
from node.regular import read_regular
from node.step import Environment

MOST: Final = 32
"""Environments that lie here at most, unless more are used at once."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")

Write = Callable[[Cid, Path, Path, int], Awaitable[None]]
"""Writes a stored tree to a new folder, its files as links to those in a pool (the third), of so many bytes at most."""
Sweep = Callable[[Path], int]
"""Removes from a pool what nothing links to. Blocking."""


class Checkouts:
    """Keeps at most ``most`` in ``folder``, which is made where it lacks."""

    def __init__(self, folder: Path, write: Write, sweep: Sweep, most: int = MOST) -> None:
        self._folder, self._pool, self._trees = folder, folder / "pool", folder / "trees"
        self._write_tree, self._sweep, self._most = write, sweep, most
        self._known: dict[Cid, Environment] = {}  # the one used last comes last
        self._used: dict[Cid, int] = {}
        self._turns: dict[Cid, trio.Lock] = {}

    def start(self) -> None:
        """Take up what lies there since this machine was started, and remove all else. Blocking.

        Raises:
            ComityError: the disk refuses.
        """
        try:
            boot = _BOOT.read_text()
            mark = self._folder / "boot"
            if not mark.is_file() or mark.read_text() != boot:
                for place in (self._trees, self._pool):
                    if place.exists():
                        discard(place)
            for place in (self._folder, self._trees, self._pool):
                place.mkdir(mode=0o700, exist_ok=True)
            mark.write_text(boot)
            for place in sorted(self._trees.iterdir(), key=lambda each: each.stat().st_mtime):
                self._take_up(place)
        except OSError as error:
            raise ComityError(
                f"{self._folder}, where environments lie, cannot be used ({error}): remove it, it is made anew"
            ) from error

    def _take_up(self, place: Path) -> None:
        try:
            cid = Cid.parse(place.name)
            self._known[cid] = _taken(cid, place)
        except ComityError:  # it was being written, or removed, when the node stopped
            discard(place)

    @property
    def here(self) -> frozenset[Cid]:
        """The environments that are checked out."""
        return frozenset(self._known)

    def has(self, cid: Cid) -> bool:
        """Whether the environment ``cid`` is checked out."""
        return cid in self._known

    @asynccontextmanager
    async def using(self, cid: Cid, size: int) -> AsyncIterator[Environment]:
        """The environment ``cid``, which is stored here whole; it stays while the block lasts.

        ``size`` is what its files take, as the block says. A few small nodes that name one another can be a file of any
        size: more than that is not written, nor more than half of what is free.

        Raises:
            BadInput: it is for another kind of machine, or larger. VerificationFailed: it is no environment.
            NotFound: it is not stored here. ComityError: the disk refuses.
        """
        self._used[cid] = self._used.get(cid, 0) + 1
        try:
            yield await self._checked_out(cid, size)
        finally:
            self._used[cid] -= 1
            if not self._used[cid]:
                del self._used[cid]

    async def _checked_out(self, cid: Cid, size: int) -> Environment:
        async with self._turns.setdefault(cid, trio.Lock()):
            found = self._known.pop(cid, None)
            if found is None:
                found = await self._make(cid, size)
            self._known[cid] = found
        return found

    async def _make(self, cid: Cid, size: int) -> Environment:
        fresh, place = self._trees / f".{secrets.token_hex(8)}", self._trees / str(cid)
        try:
            most = min(size + MOST_BYTES, shutil.disk_usage(self._folder).free // 2)
            await self._write_tree(cid, fresh, self._pool, most)
            made = await trio.to_thread.run_sync(_taken, cid, fresh)
            await trio.to_thread.run_sync(_discarded, place)  # it is there if the disk failed when room was made
            await trio.to_thread.run_sync(os.rename, fresh, place)
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_discarded, fresh)
                await self._sweep_pool()
            raise
        await self._make_room()
        return Environment(cid, place / ROOT, made.links, made.variables)

    async def _make_room(self) -> None:
        """Remove what was not used for the longest, beyond the bound."""
        unused = [cid for cid in self._known if cid not in self._used]
        going = [self._aside(cid) for cid in unused[: max(0, len(self._known) + 1 - self._most)]]
        for place in going:
            await trio.to_thread.run_sync(discard, place)
        if going:
            await self._sweep_pool()

    async def _sweep_pool(self) -> None:
        """Remove files that no tree has. One that a tree takes meanwhile may go too, and is that tree's alone."""
        await trio.to_thread.run_sync(self._sweep, self._pool)

    def _aside(self, cid: Cid) -> Path:
        """Forget a tree, which lies under a name from then on that nobody takes it up by."""
        del self._known[cid]
        self._turns.pop(cid, None)
        aside = self._trees / f".{secrets.token_hex(8)}"
        os.rename(self._trees / str(cid), aside)
        return aside


def _taken(cid: Cid, place: Path) -> Environment:
    """The environment that lies in ``place``.

    Raises:
        VerificationFailed: it is none. BadInput: it is for another kind of machine.
    """
    try:
        described = read(Description, read_regular(place / FILE, MOST_BYTES))
    except FileNotFoundError as error:
        raise BadInput(f"{cid} is no environment: it has no «{FILE}»") from error
    check_platform(described.platform)
    root = place / ROOT
    if root.is_symlink() or not root.is_dir():
        raise BadInput(f"{cid} is no environment: it has no folder «{ROOT}»")
    os.utime(place)
    return Environment(cid, root, described.links, described.variables)


def _discarded(place: Path) -> None:
    if place.exists():
        discard(place)
