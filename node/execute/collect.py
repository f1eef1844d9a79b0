"""Collection: the outputs of a step out of its work folder, without ever following a link.

A work folder is whatever a stranger's program left. Everything is reached from the folder's own descriptor, name by
name, with O_NOFOLLOW; what is not a plain file or folder is refused by name. A pure function of a folder, so that it
can run in a sandbox of its own.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.error import BadInput, NotFound, VerificationFailed
from node.step import Limits

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_DEPTH: Final = 64
_MOST_GLOBS: Final = 256
_MOST_CHARACTERS: Final = 1024
_KINDS: Final = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


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


def collect(work: Path, globs: Sequence[str], limits: Limits) -> tuple[Collected, ...]:
    """What in ``work`` matches ``globs``, in their order, then by name; each entry once.

    Globs are those of glob(3), as CWL has them: «*», «?» and «[…]» within one name, never a leading dot unless it is
    written; «.» is the whole folder. The step must have ended. Blocking.

    Raises:
        BadInput: a glob that is absolute, climbs by «..», is too long, or holds control characters.
        VerificationFailed: a match, or what lies in a matched folder, or a folder on the way that is named, is a
            link, a device, a socket, a FIFO, a file with a second name, or has a name that is not plain text; or
            there is more of it than ``limits`` allow.
    """
    if len(globs) > _MOST_GLOBS:
        raise BadInput(f"{len(globs)} output patterns are more than the {_MOST_GLOBS} that a step may have")
    patterns = [_parts(glob) for glob in globs]
    found: dict[str, Collected] = {}
    top = os.open(work, _FOLDER)
    try:
        bounds = _Bounds(limits)
        for parts in patterns:
            for name, is_dir, size in sorted(_match(top, "", parts, bounds)):
                if name not in found:
                    found[name] = Collected(name, work if name == "." else work / name, size, is_dir)
    finally:
        os.close(top)
    return tuple(found.values())


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
    if len(name) > _MOST_CHARACTERS or len(parts) > _MOST_DEPTH or not _is_text(name):
        raise BadInput(f"the file name {name[:80]!a} is too long, or holds characters that cannot be printed")
    if any(part in {"", ".", ".."} for part in parts):
        raise BadInput(f"the file name «{name}» is not a plain path below the work folder: no «/» first, no «..»")
    return name


class _Bounds:
    """How much may still be looked at and taken; looking again at an entry counts again."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._looks = (limits.output_files + 1) * 8
        self._bytes = limits.output_bytes

    def look(self) -> None:
        self._looks -= 1
        if self._looks < 0:
            raise VerificationFailed(f"the outputs are more than {self._limits.output_files} files and folders")

    def take(self, size: int) -> None:
        self._bytes -= size
        if self._bytes < 0:
            raise VerificationFailed(f"the outputs are more than {self._limits.output_bytes} bytes")


def _match(fd: int, prefix: str, parts: Sequence[str], bounds: _Bounds) -> Iterator[tuple[str, bool, int]]:
    """Matches of ``parts`` in the folder ``fd``: (name, whether a folder, bytes)."""
    if not parts:
        yield ".", True, _weigh(fd, "", 0, bounds)
        return
    pattern, rest = re.compile(fnmatch.translate(parts[0])), parts[1:]
    for name in os.listdir(fd):
        bounds.look()
        if not pattern.match(name) or (name.startswith(".") and not parts[0].startswith(".")):
            continue
        path = prefix + name
        status = _plain(fd, name, path)
        is_dir = stat.S_ISDIR(status.st_mode)
        if is_dir:
            below = _open(name, _FOLDER, fd, path)
            try:
                if rest:
                    yield from _match(below, f"{path}/", rest, bounds)
                else:
                    yield path, True, _weigh(below, f"{path}/", 0, bounds)
            finally:
                os.close(below)
        elif not rest:
            bounds.take(status.st_size)
            yield path, False, status.st_size


def _weigh(fd: int, prefix: str, depth: int, bounds: _Bounds) -> int:
    """The bytes of all files below the folder ``fd``, each of them plain."""
    if depth > _MOST_DEPTH:
        raise VerificationFailed(f"the output «{prefix[:80]}…» has more than {_MOST_DEPTH} folders within each other")
    total = 0
    for name in os.listdir(fd):
        bounds.look()
        status = _plain(fd, name, prefix + name)
        if stat.S_ISDIR(status.st_mode):
            below = _open(name, _FOLDER, fd, prefix + name)
            try:
                total += _weigh(below, f"{prefix}{name}/", depth + 1, bounds)
            finally:
                os.close(below)
        else:
            bounds.take(status.st_size)
            total += status.st_size
    return total


def _plain(parent: int, name: str, path: str) -> os.stat_result:
    """The status of an entry that is a folder or a file of one name, itself and not what it leads to."""
    if not _is_text(name):
        raise VerificationFailed(f"the output {path!a} has a name that cannot be printed or is not UTF-8")
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    if kind not in {stat.S_IFREG, stat.S_IFDIR}:
        raise VerificationFailed(f"the output «{path}» is {_KINDS.get(kind, 'of an unknown kind')}: write a plain file")
    if kind == stat.S_IFREG and status.st_nlink != 1:
        raise VerificationFailed(f"the output «{path}» is a file with {status.st_nlink} names: write a copy")
    return status


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=parent)
    except FileNotFoundError:
        raise NotFound(f"there is no «{path}»") from None
    except OSError as error:
        raise VerificationFailed(f"«{path}» cannot be opened without following a link: {error.strerror}") from error


def _parts(glob: str) -> list[str]:
    if len(glob) > _MOST_CHARACTERS or not _is_text(glob):
        raise BadInput(f"the output pattern {glob[:80]!a} is too long, or holds characters that cannot be printed")
    parts = [part for part in glob.split("/") if part not in {"", "."}]
    if not glob or glob.startswith("/") or ".." in parts or len(parts) > _MOST_DEPTH:
        raise BadInput(f"the output pattern «{glob}» does not stay in the work folder: no «/» first, no «..»")
    return parts


def _is_text(name: str) -> bool:
    """Whether ``name`` has no control character, line break or byte that is not UTF-8."""
    return not any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name)
