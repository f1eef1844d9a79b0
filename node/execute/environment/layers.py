"""The layers of an image flattened to one root (OCI Image Specification, «Image Layer Filesystem Changeset»).

Layers are applied to a tree in memory: only the bytes of files go to the disk, under numbers. So no name and no link of
a layer is ever followed on this machine; they are looked up in the tree as a container would. When all are applied, the
tree is written out: plain folders and files, and a list of links.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from tarfile import ReadError, TarFile
from typing import Final, Self

from catalog.error import BadInput, Full, VerificationFailed, shown
from node.execute.environment.description import MOST_LINKS

WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
LEFT_OUT: Final = frozenset(("dev", "proc", "sys", "tmp"))
"""Top folders that a runner makes itself."""
MOST_ENTRIES: Final = 1_000_000
MOST_BYTES: Final = 64 << 30
MOST_DEPTH: Final = 60
_MOST_NAME: Final = 4_095
"""Bytes of a path, as on Linux."""
_MOST_ANNOUNCED: Final = 1 << 20
_ANNOUNCE: Final = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_MOST_TURNS: Final = 40
"""Links on the way to one path."""


class Member(tarfile.TarInfo):
    """A member of an archive whose name is no longer than one may be: such are read into memory as a whole."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        """Read the next member.

        Raises:
            ReadError: what is said of it are no numbers where they should be, or is said in turn of what says it.
        """
        try:
            return super().fromtarfile(tarfile)
        except (ValueError, RecursionError) as error:
            raise ReadError(f"what is said of a file is malformed: {error}") from error

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header.

        Raises:
            ReadError: what it announces is longer.
        """
        found = super().frombuf(buf, encoding, errors)
        if found.type in _ANNOUNCE and found.size > _MOST_ANNOUNCED:
            raise ReadError(f"a name, or what else is said of a file, has {found.size:,} bytes")
        return found


@dataclass(slots=True)
class _File:
    number: int


@dataclass(slots=True)
class _Link:
    target: str


@dataclass(slots=True)
class _Folder:
    """``new`` are the names that the layer at hand has put here: what is opaque hides those of the layers below."""

    children: dict[str, _File | _Link | _Folder] = field(default_factory=dict)
    new: set[str] = field(default_factory=set)


class Flat:
    """The tree so far; the bytes of its files lie in ``contents``, a new folder.

    A few bytes of an archive can be a file of any size: of what is free on the disk, half is the most.
    """

    def __init__(self, contents: Path) -> None:
        self._contents = contents
        contents.mkdir()
        self._room = shutil.disk_usage(contents).free // 2
        self._root = _Folder()
        self._files = 0
        self._entries = 0
        self._bytes = 0
        self._touched: list[_Folder] = []

    def apply(self, layer: tarfile.TarFile) -> None:
        """Apply the next layer.

        Raises:
            VerificationFailed: a name that no file may have, or a hard link to nothing. BadInput: beyond the bounds.
            Full: the disk has no room for it. OSError: it refuses.
        """
        while (member := layer.next()) is not None:
            # They would be kept, each with all that is said of it; its list is not in the types of the library.
            layer.members.clear()  # type: ignore[attr-defined]
            self._count()
            parts = _plain(member.name)
            if parts and parts[0] not in LEFT_OUT:
                self._put(layer, member, parts)
        for folder in self._touched:
            folder.new.clear()
        self._touched.clear()

    def _count(self) -> None:
        """Count an entry, or a folder that was made on the way to one: it takes as much."""
        self._entries += 1
        if self._entries > MOST_ENTRIES:
            raise BadInput(f"the image was refused: more than {MOST_ENTRIES:,} files and folders")

    def write(self, root: Path) -> dict[str, str]:
        """Write the tree as ``root``, a new folder; its links by their path. What was applied is used up.

        Raises:
            BadInput: too many links. OSError: the disk refuses.
        """
        root.mkdir(parents=True, mode=0o755)
        links: dict[str, str] = {}
        self._write(self._root, root, "", links)
        if len(links) > MOST_LINKS:
            raise BadInput(f"the image was refused: more than {MOST_LINKS:,} links")
        return links

    def _write(self, folder: _Folder, place: Path, path: str, links: dict[str, str]) -> None:
        for name, child in sorted(folder.children.items()):
            if isinstance(child, _Link):
                links[f"{path}{name}"] = child.target
            elif isinstance(child, _Folder):
                (place / name).mkdir(mode=0o755)
                self._write(child, place / name, f"{path}{name}/", links)
            else:
                os.link(self._contents / str(child.number), place / name)

    def _put(self, layer: tarfile.TarFile, member: tarfile.TarInfo, parts: list[str]) -> None:
        *above, name = parts
        folder = self._folder(above)
        if name == OPAQUE:
            folder.children = {each: child for each, child in folder.children.items() if each in folder.new}
        elif name.startswith(WHITEOUT):
            hidden = name.removeprefix(WHITEOUT)
            if hidden not in folder.new:
                folder.children.pop(hidden, None)
        elif member.isdir():
            there = folder.children.get(name)
            self._add(folder, name, there if isinstance(there, _Folder) else _Folder())
        elif member.issym():
            if not member.linkname or len(member.linkname.encode(errors="replace")) > _MOST_NAME:
                raise VerificationFailed(f"the image was refused: «{shown(member.name, 80)}» is a link to nothing")
            self._add(folder, name, _Link(member.linkname))
        elif member.islnk():
            self._add(folder, name, self._linked(member))
        elif member.isreg():
            self._add(folder, name, self._stored(layer, member))
        # Devices and pipes are no content; a step has the devices that its runner gives it.

    def _add(self, folder: _Folder, name: str, child: _File | _Link | _Folder) -> None:
        folder.children[name] = child
        folder.new.add(name)
        self._touched.append(folder)

    def _linked(self, member: tarfile.TarInfo) -> _File | _Link:
        """What a hard link names: the same file once more."""
        *above, name = _plain(member.linkname) or [""]
        found = self._folder(above, make=False).children.get(name)
        if found is None or isinstance(found, _Folder):
            raise VerificationFailed(
                f"the image was refused: «{shown(member.name, 80)}» is a hard link to «{shown(member.linkname, 80)}», "
                "which is no file in it"
            )
        return found

    def _stored(self, layer: tarfile.TarFile, member: tarfile.TarInfo) -> _File:
        self._bytes += member.size
        if self._bytes > MOST_BYTES:
            raise BadInput(f"the image was refused: more than {MOST_BYTES:,} bytes")
        if self._bytes > self._room:
            raise Full(
                f"the image was refused: it has more than {self._room:,} bytes, half of what is free on this disk"
            )
        source = layer.extractfile(member)
        number = self._files
        self._files += 1
        with (self._contents / str(number)).open("xb") as target:
            if source is not None:
                shutil.copyfileobj(source, target, 1 << 20)
        return _File(number)

    def _folder(self, parts: list[str], *, make: bool = True) -> _Folder:
        """The folder at a path, its links followed within the tree, never above its root; made where it lacks."""
        way: list[_Folder] = [self._root]
        pending = parts[::-1]
        turns = 0
        while pending:
            part = pending.pop()
            if part == "..":
                way = way[:-1] or [self._root]
                continue
            child = way[-1].children.get(part)
            if isinstance(child, _Link):
                turns += 1
                if turns > _MOST_TURNS:
                    raise VerificationFailed(f"the image was refused: «{shown('/'.join(parts), 80)}» leads in circles")
                if child.target.startswith("/"):
                    way = [self._root]
                pending += [each for each in child.target.split("/")[::-1] if each not in ("", ".")]
                continue
            if not isinstance(child, _Folder):
                if not make:
                    raise VerificationFailed(f"the image was refused: there is no «{shown('/'.join(parts), 80)}» in it")
                self._count()
                child = _Folder()
                self._add(way[-1], part, child)
            way.append(child)
            if len(way) > MOST_DEPTH:
                raise BadInput(f"the image was refused: more than {MOST_DEPTH} folders in one another")
        return way[-1]


def _plain(name: str) -> list[str]:
    """The parts of a path in a layer, none for the root itself.

    Raises:
        VerificationFailed: it climbs, is too long, or a part of it is no name that a file may have.
    """
    if len(name) > _MOST_NAME:
        raise VerificationFailed(f"the image was refused: a name in it has more than {_MOST_NAME:,} bytes")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    for part in parts:
        try:
            length = len(part.encode())
        except UnicodeEncodeError as error:
            raise VerificationFailed(f"the image was refused: the name {name[:80]!a} in it is not UTF-8") from error
        if part == ".." or "\0" in part or length > 255:
            raise VerificationFailed(f"the image was refused: «{shown(name, 80)}» is no path below its root")
    return parts
