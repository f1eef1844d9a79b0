"""The folder of one log: who holds it, what is committed in it, and what a crash left beyond that.

It is laid out as C2SP tlog-tiles publishes a log (``checkpoint``, ``tile/…``), with the bodies and the cosigned
checkpoints in ``bodies.db`` and the newest of the latter in ``checkpoint.cosigned``. A change is written in this
order, each step flushed before the next: bodies, tiles, checkpoint. Renaming the checkpoint is the commit; what
lies beyond it was never part of the log, and opening drops it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog import tiles
from catalog.checkpoint import Checkpoint, open_checkpoint
from catalog.error import Conflict, Damaged, NotFound, VerificationFailed
from catalog.merkle import EMPTY_ROOT, leaf_hash
from catalog.note import MAX_NOTE, parse_note
from catalog.plural import counted
from catalog.tiles import ENTRIES, WIDTH, Edge, Tile, tile_at
from node.regular import read_regular
from node.storage.bodies import FILE, Bodies
from node.storage.durable import ASIDE, show_file
from node.storage.tilefolder import TileFolder

CHECKPOINT: Final = "checkpoint"
COSIGNED: Final = "checkpoint.cosigned"


@dataclass(frozen=True, slots=True)
class Growth:
    """What appending leaves would change: the tree's edge, the leaves of its last bundle, and the new tiles."""

    edge: Edge
    tail: tuple[bytes, ...]
    tiles: Mapping[Tile, bytes]


@dataclass(frozen=True, slots=True)
class State:
    """What is committed: the checkpoint, its note, the tree's edge, and the leaves of the last, partial bundle."""

    checkpoint: Checkpoint
    note: str
    edge: Edge
    tail: tuple[bytes, ...]

    def grow(self, leaves: Sequence[bytes]) -> Growth:
        """The same log with more leaves.

        Raises:
            BadInput: a leaf is larger than a bundle holds.
        """
        edge, written = self.edge.extend([leaf_hash(leaf) for leaf in leaves])
        row = [*self.tail, *leaves]
        first = self.edge.size // WIDTH
        for start in range(0, len(row), WIDTH):
            part = row[start : start + WIDTH]
            written[Tile(ENTRIES, first + start // WIDTH, len(part))] = tiles.encode_bundle(part)
        return Growth(edge, tuple(row[len(row) - len(row) % WIDTH :]), written)


@dataclass(frozen=True, slots=True)
class LogFolder:
    """A folder that this process holds: its lock, its files, what is committed, and what opening dropped."""

    path: Path
    did: str
    lock: int
    tiles: TileFolder
    bodies: Bodies
    state: State
    recovered: str | None
    earlier: tuple[str, ...] = ()

    @property
    def dids(self) -> tuple[str, ...]:
        """The log's key, and those that it had before."""
        return (self.did, *self.earlier)

    def close(self) -> None:
        """Let go of the folder."""
        self.bodies.close()
        os.close(self.lock)


def has_log(path: Path) -> bool:
    """Whether a log, or what is left of one, lies in this folder."""
    return (path / CHECKPOINT).exists() or (path / "tile").exists()


def open_folder(path: Path, origin: str, did: str, create: bool = False, earlier: tuple[str, ...] = ()) -> LogFolder:
    """Hold the folder of the log ``origin`` with the key ``did``, and bring it back to its checkpoint.

    Its checkpoint may have been signed by one of the ``earlier`` keys. With ``create``, a folder that has no
    checkpoint and no tiles is an empty log without a note.

    Raises:
        NotFound: there is no log.
        Conflict: another process, or this one, holds it.
        Damaged: a file is missing or damaged; the message names it.
    """
    lock = _hold(path)
    try:
        folder = TileFolder(path)
        state = _read_state(folder, origin, (did, *earlier))
        bodies = _open_bodies(path, bool(state.note), create)
    except BaseException:
        os.close(lock)
        raise
    held = LogFolder(path, did, lock, folder, bodies, state, None, earlier)
    try:
        return LogFolder(path, did, lock, folder, bodies, state, _drop_beyond(held), earlier)
    except BaseException:
        held.close()
        raise


def read_note(path: Path) -> str:
    """The text of a note in a file.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it is too large, no regular file, or not text.
    """
    data = read_regular(path, MAX_NOTE)
    try:
        note = data.decode()
        parse_note(note)
    except (UnicodeDecodeError, VerificationFailed) as error:
        raise Damaged(f"{path} is damaged: {error}") from error
    return note


def _no_log(path: Path) -> NotFound:
    return NotFound(f"there is no log in {path}; check the site's folder")


def _open_bodies(path: Path, committed: bool, create: bool) -> Bodies:
    if not committed and not create:
        raise _no_log(path)
    if committed and not (path / FILE).exists():
        raise Damaged(f"{path / FILE} is missing: restore it from a backup")
    return Bodies(path / FILE)


def _hold(path: Path) -> int:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _no_log(path) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise Conflict(f"the log in {path} is held by a running node; stop that node first") from error
    return lock


def _read_state(folder: TileFolder, origin: str, dids: tuple[str, ...]) -> State:
    try:
        note = read_note(folder.path / CHECKPOINT)
    except FileNotFoundError as error:
        if (folder.path / "tile").exists():
            raise Damaged(f"{folder.path / CHECKPOINT} is missing: restore it from a backup") from error
        return State(Checkpoint(origin, 0, EMPTY_ROOT), "", Edge(), ())
    try:
        checkpoint = open_checkpoint(note, origin, *dids)
    except VerificationFailed as error:
        raise Damaged(f"{folder.path / CHECKPOINT} is damaged: {error}") from error
    edge = Edge.read(checkpoint.size, folder.require)
    if edge.root != checkpoint.root:
        _blame(folder, checkpoint)
    return State(checkpoint, note, edge, _read_tail(folder, edge))


def _blame(folder: TileFolder, checkpoint: Checkpoint) -> None:
    """Say which tile is wrong; slower than opening, and only done when something is."""
    try:
        tiles.check_tiles(checkpoint.size, checkpoint.root, folder.require)
    except VerificationFailed as error:
        raise Damaged(f"{folder.path} is damaged: {error}; run «comity site fsck»") from error
    raise Damaged(f"{folder.path / CHECKPOINT} does not agree with the tiles beside it")


def _read_tail(folder: TileFolder, edge: Edge) -> tuple[bytes, ...]:
    bundle = tile_at(ENTRIES, edge.size // WIDTH, edge.size)
    if bundle is None:
        return ()
    leaves = folder.read_leaves(bundle)
    try:
        tiles.check_bundle(bundle, leaves, edge.levels[0])
    except VerificationFailed as error:
        raise Damaged(f"{folder.file(bundle)} is damaged: {error}") from error
    return tuple(leaves)


def _drop_beyond(held: LogFolder) -> str | None:
    """Drop what no checkpoint covers, unless a cosigned one shows that the checkpoint itself is too old."""
    size = held.state.checkpoint.size
    last = held.bodies.last_cosigned()
    if last is not None and Checkpoint.parse(parse_note(last).text).size > size:
        raise Damaged(
            f"{held.path / CHECKPOINT} is older than a checkpoint that members cosigned: it was restored alone;"
            " run «comity site restore» with the whole backup"
        )
    for name in (CHECKPOINT, COSIGNED):
        (held.path / (name + ASIDE)).unlink(missing_ok=True)
    if last is not None:
        show_file(held.path / COSIGNED, last.encode())  # it was not durable, and may be an older one
    dropped = max(held.tiles.drop_beyond(size), held.bodies.drop_beyond(size))
    if not dropped:
        return None
    origin = held.state.checkpoint.origin
    beyond = f"its checkpoint of {counted(size, 'leaf')}"
    return f"dropped {counted(dropped, 'entry')} of «{origin}» that a crash left beyond {beyond}"
