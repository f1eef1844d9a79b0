"""A Python environment from a lock: the base, and the wheels of the lock where its Python finds them.

The same lock on the same base is the same bytes, whoever makes it and whatever else they made before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import trio

from catalog.error import ComityError
from node.execute.discard import discard
from node.execute.environment.base import BIN, INSIDE, base_sources, fill_base
from node.execute.environment.description import FILE, ROOT, Description, write
from node.execute.environment.lock import Lock, Requirement
from node.execute.environment.resolving import fetch_wheels
from node.execute.environment.trees import check_apart, link_tree, merge, on_disk
from node.execute.environment.wheels import PREFIX, compile_below, unpack
from node.execute.machine import platform_here

Told = Callable[[str], None]
"""Told in a few words what is being done now."""

_OPT: Final = INSIDE.removeprefix("/")
LINKS: Final = {"bin": f"{_OPT}/bin", "lib": f"{_OPT}/lib", "lib64": f"{_OPT}/lib", "usr": _OPT}
"""Those of every Python environment: the loader and scripts look for these places."""
VARIABLES: Final = {"PATH": f"{PREFIX}/bin:{BIN}"}
_AT_ONCE: Final = os.cpu_count() or 1
_FINGERPRINT: Final = "fingerprint"


class Base:
    """The base of this site, made in ``folder`` when it is first needed, and anew when the machine's Python changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._making = trio.Lock()

    async def root(self) -> Path:
        """The folder that holds it, laid out as it is inside.

        Raises:
            Denied: this machine does not tell which libraries its Python needs. Full, ComityError: the disk refuses.
        """
        async with self._making:
            sources = await trio.to_thread.run_sync(base_sources)
            now = await trio.to_thread.run_sync(_fingerprint, sources)
            if await trio.to_thread.run_sync(self._made) != now:
                await self._make(sources, now)
            return self._folder / ROOT

    def _made(self) -> str:
        try:
            return (self._folder / _FINGERPRINT).read_text()
        except FileNotFoundError:
            return ""

    async def _make(self, sources: Mapping[str, Path], now: str) -> None:
        root = self._folder / ROOT
        with on_disk("the base of environments could not be made"):
            await trio.to_thread.run_sync(self._fill, root, sources)
            await compile_below(root / _OPT / "python" / "lib", root)
            (self._folder / _FINGERPRINT).write_text(now)

    def _fill(self, root: Path, sources: Mapping[str, Path]) -> None:
        if self._folder.exists():
            discard(self._folder)
        root.mkdir(parents=True, mode=0o755)
        fill_base(root, sources)


def _fingerprint(sources: Mapping[str, Path]) -> str:
    """What tells whether the files that a base is made of are other ones by now."""
    told = sha256()
    for name, path in sources.items():
        status = path.stat()
        told.update(f"{name}\0{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return told.hexdigest()


async def make_python(lock: Lock, base: Base, folder: Path, told: Told) -> dict[str, str]:
    """Make the environment of ``lock`` in ``folder``, which is empty: ``folder/tree`` is what is to be stored.

    Gives the packages that are in it by name, with their versions.

    Raises:
        BadInput, VerificationFailed, Unreachable, Full: the lock cannot be had as it is written; the message says why.
        Denied, ComityError: this machine cannot make it.
    """
    told(f"fetching what the lock names for this machine, of {len(lock.requirements)}")
    fetching = folder / "fetching"
    await trio.to_thread.run_sync(fetching.mkdir)
    wheels = await fetch_wheels(lock, fetching)
    told("preparing Python")
    root = folder / "tree" / ROOT
    begun = await base.root()
    with on_disk("the environment could not be put together"):
        await trio.to_thread.run_sync(link_tree, begun, root)
        await _unpack_all(wheels, folder, root, begun, told)
        made = Description(platform=platform_here(), variables=VARIABLES, links=LINKS, lock=lock.digest)
        await trio.to_thread.run_sync((folder / "tree" / FILE).write_bytes, write(made))
    return {each.name: each.version for each in wheels.values()}


async def _unpack_all(wheels: Mapping[Path, Requirement], folder: Path, root: Path, base: Path, told: Told) -> None:
    """Unpack and compile each wheel by itself, several at once, and put them together in one order.

    What a wheel puts in the place of a file of the ``base`` is refused: it would be another Python, or another shell.
    """
    turns = trio.CapacityLimiter(_AT_ONCE)
    trees = {wheel: folder / f"wheel-{number}" for number, wheel in enumerate(wheels)}
    failures: list[ComityError | OSError] = []

    async def one(wheel: Path, requirement: Requirement) -> None:
        async with turns:
            if failures:
                return
            told(f"unpacking {requirement.name} {requirement.version}")
            tree = trees[wheel]
            try:
                await trio.to_thread.run_sync(tree.mkdir)
                await trio.to_thread.run_sync(unpack, wheel, requirement.name, tree)
                await trio.to_thread.run_sync(check_apart, tree, base, f"the wheel of «{requirement.name}» was refused")
                await compile_below(tree / _OPT / "python" / "lib", tree)
            except (ComityError, OSError) as error:
                failures.append(error)  # raised below, by itself and not in a group

    async with trio.open_nursery() as nursery:
        for wheel, requirement in wheels.items():
            nursery.start_soon(one, wheel, requirement)
    if failures:
        raise failures[0]
    for tree in trees.values():
        await trio.to_thread.run_sync(merge, tree, root)
