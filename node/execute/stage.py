"""The inputs of a step, each brought to its place: read-only, and resident data where they lie."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import trio

from catalog.cid import Cid
from catalog.error import BadInput, shown
from catalog.project import ProjectRef
from node.execute.account import is_open_to_nobody, is_separate
from node.execute.collect import open_beneath
from node.execute.cwl.message import Object
from node.execute.cwl.places import located
from node.execute.view import View
from node.ports import Blobs
from workflow.argument import Argument, Data, Literal, Many
from workflow.name import is_file_name
from workflow.value import MOST_BYTES, VALUE, locations, pointed, read_value

DATA: Final = "/data"
"""Below it are the names of what is brought for a step, which sees each elsewhere (:mod:`node.execute.cwl.places`)."""


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
    """The inputs of one step. ``sources`` are their files and folders here, by what :meth:`bring` calls them."""

    def __init__(
        self, materials: Materials, blobs: Blobs, folder: Path, order: Cid, project: ProjectRef, most: int
    ) -> None:
        self.work = folder / "left" / "work"
        self.project = project
        self._most = most
        self._order = order
        self._materials = materials
        self._blobs = blobs
        self.folder = folder
        self._resident: list[Data] = []
        self._brought: dict[tuple[str, Cid], str] = {}
        self.sources: dict[str, Path] = {}

    async def fetch(self, argument: Argument) -> None:
        """Have what is another site's in the store here: that may take long, and is not to be done in a turn."""
        for item in argument.items if isinstance(argument, Many) else (argument,):
            if isinstance(item, Data) and not item.cid.is_keyed:
                await self._materials.stored(item, self.project)

    async def bring(self, inputs: Mapping[str, Argument]) -> Object:
        """The input object, as CWL has it, its data brought here: each file by a name that is no path of this machine.

        Raises:
            ComityError: data cannot be had, or are not what they should be.
        """
        return {name: await self._value(argument) for name, argument in inputs.items()}

    def path(self, name: str) -> Path | None:
        """Where lies what :meth:`bring` called so; none if nothing does, or it is behind a link. Blocking."""
        return View(self.sources).path(name)

    async def check_unchanged(self) -> None:
        """Hash resident data again: a result of bytes that changed meanwhile is a result of nothing known.

        Raises:
            VerificationFailed: some changed.
        """
        for data in self._resident:
            await self._materials.resident(data)

    async def _value(self, argument: Argument) -> object:
        match argument:
            case Many(items=items):
                return [await self._value(item) for item in items]
            case Literal():
                return argument.value()
            case Data(at=str(pointer)):
                return await self._stored(argument, pointer)
            case Data():
                if not is_file_name(argument.name):
                    raise BadInput(f"«{shown(argument.name)}» cannot be a file's name inside the runner")
                name = await self._source(argument)
                folder = await trio.to_thread.run_sync(self.sources[name].is_dir)
                kind = "Directory" if folder else "File"
                return {"class": kind, "location": located(name), "basename": argument.name}

    async def _stored(self, data: Data, pointer: str) -> object:
        """What stands at ``pointer`` in a stored value."""
        name = await self._source(data)
        value = pointed(await trio.to_thread.run_sync(_read, self.sources[name]), pointer)
        for each in locations(value):
            each["location"] = located(f"{name}/{each['location']}")
        return value

    async def _source(self, data: Data) -> str:
        """What is brought for ``data``, once, by its name."""
        known = (data.site, data.cid)
        if known not in self._brought:
            name = f"{DATA}/{len(self._brought)}"
            self.sources[name] = await self._found(data)
            self._brought[known] = name
        return self._brought[known]

    async def _found(self, data: Data) -> Path:
        source = await self._materials.resident(data)
        if source is not None:
            self._resident.append(data)
            return await trio.to_thread.run_sync(self._opened, source)
        place = self.folder / f"input-{len(self._brought)}"
        if not await self._materials.opened(data, self._order, place):
            # A few small nodes that name one another can be a file of any size.
            room = await trio.to_thread.run_sync(_room, self.folder)
            cid = await self._materials.stored(data, self.project)
            await self._blobs.checkout(cid, place, max_bytes=min(self._most, room))
        return place

    def _opened(self, source: Path) -> Path:
        """A path that the step may read: the data in place, or a copy where their modes close them to its account."""
        if not is_separate() or all(is_open_to_nobody(each) for each in (source, *source.rglob("*"))):
            return source
        copy = self.folder / f"input-{len(self._brought)}"
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


def _read(source: Path) -> object:
    """A stored value: the file itself, or what lies beside the files of it."""
    with open(source if source.is_file() else open_beneath(source, VALUE), "rb") as file:
        return read_value(file.read(MOST_BYTES + 1))
