"""Collection: the outputs of a step out of its work folder, without ever following a link.

A work folder is whatever a stranger's program left. It is looked through by find(1) in a sandbox of its own, which has
nothing but that folder, read-only; here its listing is read, and what is taken of it and is no plain file or folder is
refused by name.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from catalog.error import BadInput, NotFound, VerificationFailed
from node.step import Limits

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_DEPTH: Final = 64
_MOST_CHARACTERS: Final = 1024
_KINDS: Final = {b"l": "a link", b"p": "a FIFO", b"s": "a socket", b"c": "a device", b"b": "a device"}
_FORMAT: Final = "%y\\t%s\\t%n\\t%P\\0%l\\0"


@dataclass(frozen=True, slots=True)
class Collected:
    """One output: a plain file, or a folder of plain files and folders all the way down.

    ``name`` is its path below the work folder («.» for the whole of it); ``size`` is in bytes, a folder's being the
    sum of its files.
    """

    name: str
    path: Path
    size: int
    is_dir: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies at one name: its kind as find(1) has it, its bytes, how many names it has, and what lies below it."""

    kind: bytes
    size: int
    links: int
    below: dict[str, Entry] = field(default_factory=dict)
    says: str = ""


def listing_command(folder: str) -> tuple[str, ...]:
    """The command whose output :func:`read_listing` reads; it follows no link."""
    return ("find", "-P", folder, "-mindepth", "1", "-printf", _FORMAT)


def read_listing(listing: bytes) -> Entry:
    """The folder that was looked through.

    Raises:
        VerificationFailed: it is no such listing, or breaks off.
    """
    top = Entry(b"d", 0, 1)
    *rows, rest = listing.split(b"\0")
    if rest or len(rows) % 2:
        raise VerificationFailed("the listing of the outputs breaks off")
    for row, says in zip(rows[::2], rows[1::2], strict=True):
        try:
            kind, size, links, path = row.split(b"\t", 3)
            *parents, name = os.fsdecode(path).split("/")
            folder = top
            for parent in parents:
                folder = folder.below[parent]
            folder.below[name] = Entry(kind, int(size), int(links), says=os.fsdecode(says))
        except (ValueError, KeyError) as error:
            raise VerificationFailed("the listing of the outputs is not one of a folder") from error
    return top


def take(top: Entry, name: str, work: Path, bounds: Bounds) -> Collected:
    """What lies at ``name`` in ``top``, which was found in ``work``; «.» is all of it. The step must have ended.

    Raises:
        NotFound: nothing does.
        VerificationFailed: it, a folder on the way, or what lies in it, is a link, a device, a socket, a FIFO, a file
            with a second name, or has a name that is not plain text; or there is more of it than ``bounds`` allow.
    """
    if name == ".":
        return Collected(name, work, _weigh(top, "", 0, bounds), is_dir=True)
    parts = plain_name(name).split("/")
    entry, passed = top, ""
    for part in parts:
        bounds.look()
        below = entry.below.get(part)
        if below is None:
            raise NotFound(f"the step left no «{name}»")
        passed += f"/{part}" if passed else part
        entry, is_folder = below, is_plain_folder(below, part, passed)
    if is_folder:
        return Collected(name, work / name, _weigh(entry, f"{name}/", 0, bounds), is_dir=True)
    bounds.take(entry.size)
    return Collected(name, work / name, entry.size, is_dir=False)


def open_beneath(folder: Path, name: str) -> int:
    """A descriptor to read the file ``name`` below ``folder``, reached through no link; the caller closes it.

    Raises:
        BadInput: ``name`` is absolute, climbs by «..», or holds control characters.
        NotFound: no such file.
        VerificationFailed: a link lies on the way, or it is not a regular file.
    """
    *parents, last = plain_name(name).split("/")
    at = os.open(folder, _FOLDER)
    try:
        for depth, part in enumerate(parents):
            below = _open(part, _FOLDER, at, "/".join(parents[: depth + 1]))
            os.close(at)
            at = below
        fd = _open(last, _FILE, at, name)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise VerificationFailed(f"«{name}» is not a regular file")
    return fd


def plain_name(name: str) -> str:
    """``name``, if it is a plain relative path.

    Raises:
        BadInput: it is empty, absolute, too long or deep, has «.» or «..» in it, or control characters.
    """
    parts = name.split("/")
    if len(name) > _MOST_CHARACTERS or len(parts) > _MOST_DEPTH or not is_text(name):
        raise BadInput(f"the file name {name[:80]!a} is too long, or holds characters that cannot be printed")
    if any(part in {"", ".", ".."} for part in parts):
        raise BadInput(f"the file name «{name}» is not a plain path below the work folder: no «/» first, no «..»")
    return name


class Bounds:
    """How much may still be looked at and taken; looking again at an entry counts again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._looks = (limits.output_files + 1) * 8
        self._bytes = limits.output_bytes

    def look(self) -> None:
        """One more entry is looked at.

        Raises:
            VerificationFailed: too many were.
        """
        self._looks -= 1
        if self._looks < 0:
            raise VerificationFailed(f"the outputs are more than {self._limits.output_files} files and folders")

    def take(self, size: int) -> None:
        """A file of ``size`` bytes is taken.

        Raises:
            VerificationFailed: that is too much.
        """
        self._bytes -= size
        if self._bytes < 0:
            raise VerificationFailed(f"the outputs are more than {self._limits.output_bytes} bytes")


def _weigh(folder: Entry, prefix: str, depth: int, bounds: Bounds) -> int:
    """The bytes of all files below ``folder``, each of them plain."""
    if depth > _MOST_DEPTH:
        raise VerificationFailed(f"the output «{prefix[:80]}…» has more than {_MOST_DEPTH} folders within each other")
    total = 0
    for name, entry in folder.below.items():
        bounds.look()
        if is_plain_folder(entry, name, prefix + name):
            total += _weigh(entry, f"{prefix}{name}/", depth + 1, bounds)
        else:
            bounds.take(entry.size)
            total += entry.size
    return total


def is_plain_folder(entry: Entry, name: str, path: str) -> bool:
    """Whether an entry is a folder; it is that or a file of one name, itself and not what it leads to."""
    if not is_text(name):
        raise VerificationFailed(f"the output {path!a} has a name that cannot be printed or is not UTF-8")
    if entry.kind not in {b"f", b"d"}:
        kind = _KINDS.get(entry.kind, "of an unknown kind")
        raise VerificationFailed(f"the output «{path}» is {kind}: write a plain file")
    if entry.kind == b"f" and entry.links != 1:
        raise VerificationFailed(f"the output «{path}» is a file with {entry.links} names: write a copy")
    return entry.kind == b"d"


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        raise NotFound(f"there is no «{path}»") from None
    except OSError as error:
        raise VerificationFailed(f"«{path}» cannot be opened without following a link: {error.strerror}") from error


def is_text(name: str) -> bool:
    """Whether ``name`` has no control character, line break or byte that is not UTF-8."""
    return not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name)
