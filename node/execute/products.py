"""What a step delivered, stored: a plain file or folder as itself, any other value as JSON with its files beside it.

docs/protocol/values.md, «Stored values».
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import trio

from catalog.error import BadInput, VerificationFailed, shown
from catalog.project import ProjectRef
from node.execute.collect import Collected
from node.execute.cwl.links import WORK, is_within
from node.execute.cwl.message import Object
from node.execute.cwl.places import name_of
from node.execute.view import View
from node.ports import Blobs
from node.step import Product
from workflow.name import is_data_name, is_file_name
from workflow.receipt import Form
from workflow.value import FILES, VALUE, write_value

LITERAL: Final = "literal"
"""What a file is called that an expression wrote and gave no name."""

_KEPT: Final = ("class", "basename", "contents", "format")
"""What of a File or Directory is kept in a value; what else CWL has of it follows from these and its bytes."""


class Products:
    """Stores what one step delivered for ``project``: of what ``view`` shows, with the folder ``beside`` for copies."""

    def __init__(self, blobs: Blobs, project: ProjectRef, view: View, beside: Path) -> None:
        self._blobs = blobs
        self._project = project
        self._view = view
        self._beside = beside
        self._count = 0

    async def store(self, value: Any) -> Product:
        """Store one output, as the evaluator delivered it.

        Raises:
            ComityError: it is nothing that can be stored, or the disk refuses.
        """
        if _is_plain(value):
            return await self._plain(value)
        return await self._value(value)

    async def _plain(self, value: Object) -> Product:
        name, contents = name_of(value), value.get("contents")
        basename = value.get("basename") or (name.rpartition("/")[2] if name is not None else LITERAL)
        if not isinstance(basename, str) or not is_data_name(basename):
            raise VerificationFailed("the name of an output is too long, or not plain")
        if name is None:
            data = str(contents).encode()
            return Product(basename, await self._blobs.hold(data, self._project), len(data), Form.FILE)
        found, _ = await trio.to_thread.run_sync(self.found, name)
        cid = await self._blobs.hold_path(found.path, self._project)
        return Product(basename, cid, found.size, Form.FOLDER if found.is_dir else Form.FILE)

    async def _value(self, value: Any) -> Product:
        self._count += 1
        place = self._beside / f"value-{self._count}"
        value, size = await trio.to_thread.run_sync(self._written, value, place)
        text = write_value(value)
        if not place.exists():
            return Product(VALUE, await self._blobs.hold(text, self._project), len(text), Form.VALUE)
        await trio.to_thread.run_sync((place / VALUE).write_bytes, text)
        cid = await self._blobs.hold_path(place, self._project)
        return Product(VALUE, cid, size + len(text), Form.VALUE)

    def _written(self, value: Any, place: Path) -> tuple[Any, int]:
        writing = _Writing(self, place)
        return writing.value(value), writing.size

    def found(self, name: str) -> tuple[Collected, bool]:
        """What an output is that has this ``name`` inside, and whether the step made it. Blocking.

        Raises:
            ComityError: nothing that can be stored.
        """
        left = self._view.left
        led = name if left is None else left.led(name)
        if left is not None and led is not None and is_within(led, WORK):
            return left.taken(led), True
        path = self._view.path(led) if led is not None else None
        if path is None:
            raise VerificationFailed(f"the output «{shown(name)}» is nothing that the step has: write a file")
        return Collected(name, path, _weight(path), path.is_dir()), False


class _Writing:
    """One value on its way to the disk: its files are put below ``place``, which is made when there is one."""

    def __init__(self, products: Products, place: Path) -> None:
        self._products = products
        self._place = place
        self._folders = self.size = 0

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") in ("File", "Directory"):
            return self._file(value, None)
        return {name: self.value(each) for name, each in value.items()}

    def _file(self, value: Mapping[str, Any], folder: int | None) -> Object:
        """A File or Directory; what belongs to it lies in its ``folder``."""
        name = name_of(value)
        made = {key: value[key] for key in _KEPT if value.get(key) is not None and not (key == "contents" and name)}
        if name is not None:
            if folder is None:
                folder, self._folders = self._folders, self._folders + 1
            basename = made.setdefault("basename", name.rpartition("/")[2])
            if not isinstance(basename, str) or not is_file_name(basename):
                raise VerificationFailed("the name of a file in an output is too long, or not plain")
            made["location"] = f"{FILES}/{folder}/{basename}"
            self._put(name, self._place / FILES / str(folder) / basename)
        elif value.get("listing") is not None:
            made["listing"] = [self._file(each, None) for each in value["listing"]]
        if value.get("secondaryFiles"):
            made["secondaryFiles"] = [self._file(each, folder) for each in value["secondaryFiles"]]
        return made

    def _put(self, name: str, path: Path) -> None:
        found, made = self._products.found(name)
        self.size += found.size
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise VerificationFailed(f"two files of one output are called «{shown(path.name)}»")
        _repeat(found.path, path, os.link if made else shutil.copyfile)


def _is_plain(value: Any) -> bool:
    """Whether it is one file or folder with nothing that belongs to it, or a file whose text stands in it."""
    if not isinstance(value, dict) or value.get("class") not in ("File", "Directory"):
        return False
    if value.get("secondaryFiles") or value.get("format") is not None:
        return False
    return name_of(value) is not None or (value["class"] == "File" and isinstance(value.get("contents"), str))


def _repeat(source: Path, path: Path, file: Callable[[Path, Path], object]) -> None:
    """The same ``file``, or folder of them, at another path. What the step made is read once more, and then goes."""
    if source.is_dir():
        path.mkdir()
        for each in sorted(source.iterdir()):
            if not each.is_symlink():
                _repeat(each, path / each.name, file)
    else:
        file(source, path)


def _weight(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    if path.is_symlink():
        raise BadInput(f"«{shown(path.name)}» is a link: write a file in its place")
    if path.is_dir():
        return sum(_weight(each) for each in path.iterdir() if not each.is_symlink())
    return path.stat().st_size
