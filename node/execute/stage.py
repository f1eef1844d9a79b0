"""The inputs of a step, each brought to its place: read-only, and resident data where they lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

import trio

from catalog.cid import Cid
from catalog.project import ProjectRef
from node.execute.account import is_open_to_nobody, is_separate
from node.ports import Blobs
from node.step import Mount
from workflow.argument import Argument, Data, Literal, Many
from workflow.command import stage_path


class Materials(Protocol):
    """Where blocks and data come from: this site's disk, or a site that holds them for us."""

    async def block(self, cid: Cid) -> None:
        """See to it that the block is stored here whole.

        Raises:
            NotFound, Unreachable, VerificationFailed: it cannot be had.
        """

    async def environment(self, cid: Cid, block: Cid) -> None:
        """See to it that the environment of a block is stored here whole.

        Raises:
            NotFound, Unreachable, VerificationFailed: it cannot be had. Infeasible: it is larger than the block says.
        """

    async def resident(self, data: Data) -> Path | None:
        """The path of resident data of this site, hashed just now; ``None`` if ``data`` is not resident here.

        Raises:
            VerificationFailed: the bytes are no longer what was published.
        """

    async def opened(self, data: Data, order: Cid, target: Path) -> bool:
        """Whether ``data`` are a shared dataset; then they lie decrypted at ``target``, a new file or folder.

        Raises:
            Denied, Unreachable: the key is not given for ``order``, or nobody who has it answers.
        """

    async def stored(self, data: Data, project: ProjectRef) -> Cid:
        """See to it that ``data`` are stored here whole, fetched from their holder for ``project`` if need be."""


class Stage:
    """The inputs of one step, each at its place inside."""

    def __init__(
        self, materials: Materials, blobs: Blobs, folder: Path, order: Cid, project: ProjectRef, most: int
    ) -> None:
        self.work = folder / "left" / "work"
        self.project = project
        self._most = most
        self._order = order
        self._materials = materials
        self._blobs = blobs
        self._folder = folder
        self._resident: list[Data] = []
        self.mounts: list[Mount] = []

    async def fetch(self, argument: Argument) -> None:
        """Have what is another site's in the store here: that may take long, and is not to be done in a turn."""
        for item in argument.items if isinstance(argument, Many) else (argument,):
            if isinstance(item, Data) and not item.cid.is_keyed:
                await self._materials.stored(item, self.project)

    async def place(self, name: str, argument: Argument) -> object:
        """The value of an input as the command line takes it, its data mounted."""
        if isinstance(argument, Many):
            return tuple([await self._item(name, item, index) for index, item in enumerate(argument.items)])
        return await self._item(name, argument, None)

    async def check_unchanged(self) -> None:
        """Hash resident data again: a result of bytes that changed meanwhile is a result of nothing known.

        Raises:
            VerificationFailed: some changed.
        """
        for data in self._resident:
            await self._materials.resident(data)

    async def _item(self, name: str, item: Data | Literal, index: int | None) -> object:
        if isinstance(item, Literal):
            return item.value()
        staged = stage_path(name, item.name, index)
        source = await self._materials.resident(item)
        if source is None:
            source = self._folder / f"input-{len(self.mounts)}"
            if not await self._materials.opened(item, self._order, source):
                # A few small nodes that name one another can be a file of any size.
                room = await trio.to_thread.run_sync(_room, self._folder)
                cid = await self._materials.stored(item, self.project)
                await self._blobs.checkout(cid, source, max_bytes=min(self._most, room))
        else:
            self._resident.append(item)
            source = await trio.to_thread.run_sync(self._opened, source)
        self.mounts.append(Mount(source, staged.path))
        return staged

    def _opened(self, source: Path) -> Path:
        """A path that the step may read: the data in place, or a copy where their modes close them to its account."""
        if not is_separate() or all(is_open_to_nobody(each) for each in (source, *source.rglob("*"))):
            return source
        copy = self._folder / f"input-{len(self.mounts)}"
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(source, copy)
        for each in (copy, *copy.rglob("*")):
            each.chmod(0o755 if each.is_dir() else 0o444)
        return copy


def _room(folder: Path) -> int:
    """What one input may take of the disk: half of what is free, in bytes."""
    return shutil.disk_usage(folder).free // 2
