"""Checking what is held for projects while no node uses it: every key, every memo, and every node against its name.

What is still arriving is not looked at: it is held against its names when it goes on. Blocking.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Damaged, VerificationFailed
from node.keyfile import OTHERS
from node.regular import read_regular
from node.storage.blobcheck import DamagedNode, Looked, examine, judge, remove_files, unread
from node.storage.dagpb import MAX_NODE
from node.storage.durable import sync_folders
from node.storage.memo import KIND
from node.storage.sealed import ARRIVING, KEY_BYTES, OVERHEAD, ProjectKey, read_key

_NO_TITLES: Final[Mapping[str, str]] = {}


class KeyState(StrEnum):
    """How the key of a project is. Without a good one, nothing that it sealed was looked at."""

    GOOD = "good"
    EXPOSED = "open to other users of this machine"
    LOST = "missing or damaged"
    ENDED = "destroyed with its project, as the next start will finish"


@dataclass(frozen=True, slots=True)
class HeldReport:
    """What is held for one project: ``folder`` is how its folder and its key are called, ``project`` its name.

    The name is empty where no catalog here has the project. ``memos`` are the files of those that do not open, each of
    which costs a run; ``strays`` are files that are nothing of the node's, by their paths below ``held``.
    """

    folder: str
    project: str
    key: KeyState
    nodes: int
    bytes: int
    damaged: tuple[DamagedNode, ...]
    memos: tuple[str, ...]
    strays: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        whole = self.key in (KeyState.GOOD, KeyState.ENDED)
        return whole and not (self.damaged or self.memos or self.strays)


def check_held(
    held: Path, keys: Path, titles: Mapping[str, str] = _NO_TITLES, tick: Callable[[int], None] = lambda _bytes: None
) -> tuple[HeldReport, ...]:
    """Check what lies in the folder ``held`` under the ``keys``, a report for each project.

    ``titles`` has the projects' names by their folders'; ``tick`` is told how many bytes of a project were read.

    Raises:
        ComityError: the disk refuses.
    """
    names = sorted({*_inside(held), *_inside(keys)})
    try:
        return tuple(_check(held / name, keys / name, titles.get(name, ""), tick) for name in names)
    except OSError as error:
        raise ComityError(f"{error.filename} could not be read: {error.strerror}; see to the disk") from error


def drop_held(held: Path, keys: Path, reports: Iterable[HeldReport]) -> None:
    """Remove damaged nodes and memos, and all that a key sealed which is lost, durably: it is made or fetched again.

    Raises:
        ComityError: the disk refuses.
    """
    for each in reports:
        folder = held / each.folder
        if each.key is not KeyState.LOST:
            nodes = (str(node.cid) for node in each.damaged if node.wrong)
            remove_files([folder / name for name in (*nodes, *each.memos)])
            continue
        try:
            if folder.exists():
                shutil.rmtree(folder)
            (keys / each.folder).unlink(missing_ok=True)
            sync_folders([held, keys])
        except OSError as error:
            raise ComityError(f"{error.filename} could not be removed: {error.strerror}; see to the disk") from error


def _inside(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()] if folder.exists() else []


def _check(folder: Path, key: Path, title: str, tick: Callable[[int], None]) -> HeldReport:
    nodes, memos, strays = _listed(folder)
    opened, state = _key(key)
    if state is not KeyState.GOOD:
        return HeldReport(folder.name, title, state, len(nodes), 0, (), (), strays)
    project = ProjectKey(folder, opened)
    size, damaged = examine(nodes, lambda cid: _look(project, cid), tick)
    spoiled = tuple(name for name in memos if not _opens(project, name))
    return HeldReport(folder.name, title, state, len(nodes), size, damaged, spoiled, strays)


def _key(path: Path) -> tuple[bytes, KeyState]:
    """A project's key, empty unless it is good."""
    try:
        if stat.S_IMODE(path.lstat().st_mode) & OTHERS:
            return b"", KeyState.EXPOSED
        key = read_key(path)
    except (FileNotFoundError, Damaged):
        return b"", KeyState.LOST
    return (b"", KeyState.ENDED) if key == bytes(KEY_BYTES) else (key, KeyState.GOOD)


def _listed(folder: Path) -> tuple[list[Cid], list[str], tuple[str, ...]]:
    """The nodes, the memos and the strays in a project's folder."""
    nodes: list[Cid] = []
    memos: list[str] = []
    strays: list[str] = []
    for name in sorted(_inside(folder)) if folder.is_dir() else ():
        if name.startswith(KIND):
            memos.append(name)
            continue
        try:
            nodes.append(Cid.parse(name))
        except BadInput:
            if name != ARRIVING:
                strays.append(f"{folder.name}/{name}")
    return nodes, memos, tuple(strays)


def _opens(key: ProjectKey, name: str) -> bool:
    try:
        key.open(name.encode(), read_regular(key.folder / name, MAX_NODE))
    except (Damaged, VerificationFailed):
        return False
    return True


def _look(key: ProjectKey, cid: Cid) -> Looked:
    try:
        sealed = read_regular(key.place(cid), MAX_NODE + OVERHEAD)
    except OSError as error:
        return unread(error)
    except Damaged:
        return 0, "it is no file of a node's size", ()
    try:
        return judge(cid, key.open(bytes(cid), sealed))
    except VerificationFailed:
        return len(sealed), "it does not open under the project's key", ()
