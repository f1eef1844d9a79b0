"""The part of an offline check that reads the database: bodies against their leaves, cosigned checkpoints."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from catalog.checkpoint import Checkpoint, cosignatures, open_checkpoint
from catalog.error import ComityError, Damaged, NotFound, VerificationFailed
from catalog.leaf import decode_leaf, log_id, opens
from catalog.merkle import leaf_hash, root_of
from catalog.note import MAX_NOTE, parse_note
from catalog.origin import earlier
from catalog.tiles import ENTRIES, WIDTH, Tile, bundles, subtree_of
from node.storage.bodies import FILE, SCHEMA
from node.storage.logfolder import COSIGNED, read_note
from node.storage.readonly import ascending, bound_work, open_read_only
from node.storage.tilefolder import TileFolder

Blame = Callable[[str, int | None, str], None]
"""Called with the file, the leaf's index if there is one, and what is wrong."""

_ROW: Final = "SELECT leaf, salt, body FROM bodies ORDER BY leaf"
_NOTES: Final = "SELECT size, note, cosigners FROM cosigned ORDER BY size"

MOST_BEYOND: Final = 256
"""Rows behind the end of the log that are listed."""


@dataclass(slots=True)
class Kept:
    """What the database held, in counts."""

    bodies: int = 0
    erased: int = 0
    absent: int = 0
    cosignatures: int = 0
    unchecked: int = 0
    leftovers: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Account:
    """What the check of the tiles established, for the database to be checked against.

    ``rows`` are the right hashes of each level from 1 up, none if no account of the leaves leads to the root. The
    leaves of ``suspect`` are known to be damaged: their bodies cannot be judged.
    """

    files: TileFolder
    checkpoint: Checkpoint
    from_bundles: bool
    rows: list[list[bytes]] | None
    suspect: frozenset[int]

    def read_tile(self, level: int, index: int, width: int) -> bytes:
        """The right content of a hash tile, whatever its file holds (:data:`catalog.tiles.ReadTile`)."""
        if level and self.rows:
            return b"".join(self.rows[level - 1][index * WIDTH : index * WIDTH + width])
        if self.from_bundles:
            return b"".join(leaf_hash(leaf) for leaf in self.files.read_leaves(Tile(ENTRIES, index, width)))
        return self.files.require(level, index, width)

    def is_root(self, size: int, root: bytes) -> bool:
        """Whether the first ``size`` leaves hash to ``root``; taken as given where that cannot be known."""
        if size == self.checkpoint.size:
            return root == self.checkpoint.root
        return self.rows is None or root_of(size, subtree_of(size, self.read_tile)) == root


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose signatures count: the log's key ``did``, its ``earlier`` ones with the leaves up to which each may have
    signed, and those of the ``witnesses`` by their names.
    """

    did: str
    earlier: Mapping[str, int]
    witnesses: Mapping[str, Iterable[str]]

    def at(self, size: int) -> tuple[str, ...]:
        """The keys that may have signed a checkpoint of ``size`` leaves."""
        return (self.did, *(did for did, most in self.earlier.items() if size <= most))


def check_database(folder: Path, account: Account, keys: Keys, blame: Blame) -> Kept:
    """Check every body and every cosigned checkpoint in the database of the log's ``folder``.

    Raises:
        NotFound: there is no such folder.
    """
    kept = Kept()
    if not folder.is_dir():
        raise NotFound(f"there is no log in {folder}; check the path")
    if not (folder / FILE).exists():
        blame(FILE, None, "it is missing")
        return kept
    try:
        with closing(open_read_only(folder / FILE, SCHEMA)) as database:
            bound_work(database, folder / FILE)
            # A damaged text must be a fault of its row, not of the whole file.
            database.text_factory = bytes
            for (problem,) in database.execute("PRAGMA integrity_check"):
                if problem != b"ok":
                    blame(FILE, None, " ".join(problem.decode(errors="replace").split()))
            _check_bodies(database, account, blame, kept)
            last = _check_cosigned(database, account, keys, blame, kept)
        _check_published(folder, last, blame)
    except (sqlite3.DatabaseError, OverflowError) as error:
        blame(FILE, None, f"it is damaged: {error}")
    except Damaged as error:
        blame(FILE, None, str(error).replace(f"{folder / FILE} is damaged: ", "").replace(str(folder / FILE), "it"))
    return kept


def _check_bodies(database: sqlite3.Connection, account: Account, blame: Blame, kept: Kept) -> None:
    checkpoint = account.checkpoint
    leaves, logs = _Leaves(account), frozenset(map(log_id, earlier(checkpoint.origin)))
    seen = beyond = 0
    for index, salt, body in ascending(database.execute(_ROW)):
        if index < 0:
            blame(FILE, None, f"a row for leaf {index}, which cannot be")
        elif index >= checkpoint.size:
            beyond += 1
            if beyond <= MOST_BEYOND:
                kept.leftovers.append(f"{FILE}: leaf {index}")
        else:
            seen += 1
            if salt is None and body is None:
                kept.erased += 1
            else:
                kept.bodies += 1
                _check_body(leaves, index, salt, body, logs, blame)
    kept.absent = checkpoint.size - seen


def _check_body(leaves: _Leaves, index: int, salt: object, body: object, logs: frozenset[bytes], blame: Blame) -> None:
    data = leaves.get(index)
    if data is None:
        return  # the leaf is damaged and was named already
    if not isinstance(salt, bytes) or not isinstance(body, bytes):
        blame(FILE, index, "salt or body is not bytes")
        return
    try:
        leaf = decode_leaf(data)
    except VerificationFailed as error:
        blame(FILE, index, f"there is a body, but {error}")
        return
    if not opens(leaf, body, salt):
        blame(FILE, index, "the body is not what the leaf committed to")
    elif leaf.log not in logs:
        blame(FILE, index, "the leaf was written for another log")


class _Leaves:
    """The leaves in ascending order, a bundle in memory at a time."""

    def __init__(self, account: Account) -> None:
        self._files, self._size, self._suspect = account.files, account.checkpoint.size, account.suspect
        self._number, self._held = -1, list[bytes]()

    def get(self, index: int) -> bytes | None:
        if index // WIDTH != self._number:
            self._number, self._held = index // WIDTH, []
            [bundle] = bundles(index - index % WIDTH, min(index - index % WIDTH + WIDTH, self._size))
            try:
                self._held = self._files.read_leaves(bundle)
            except Damaged:
                return None
        return self._held[index % WIDTH] if self._held and index not in self._suspect else None


def _check_cosigned(
    database: sqlite3.Connection,
    account: Account,
    keys: Keys,
    blame: Blame,
    kept: Kept,
) -> str | None:
    """Check each cosigned checkpoint; return the last that is one."""
    checkpoint = account.checkpoint
    last = None
    for size, note, count in ascending(database.execute(_NOTES)):
        try:
            last = _text(note)
            opened = open_checkpoint(last, checkpoint.origin, *keys.at(size))
            lines = len(parse_note(last).signatures) - 1
            if (opened.size, lines) != (size, count):
                raise VerificationFailed("it is not the checkpoint that its row names")
            if size > checkpoint.size:
                raise VerificationFailed(f"it has {size} leaves, and the log here has {checkpoint.size}")
            if not account.is_root(size, opened.root):
                raise VerificationFailed("its root is not that of the leaves here")
            verified = len(cosignatures(last, keys.witnesses))
            kept.cosignatures += verified
            kept.unchecked += lines - verified
        except ComityError as error:
            blame(FILE, None, f"the cosigned checkpoint of {size} leaves: {error}")
    return last


def _text(note: object) -> str:
    if not isinstance(note, bytes) or len(note) > MAX_NOTE:
        raise VerificationFailed("it is no text of a note")
    try:
        return note.decode()
    except UnicodeDecodeError as error:
        raise VerificationFailed("it is no text of a note") from error


def _check_published(folder: Path, last: str | None, blame: Blame) -> None:
    """The file for others must be the database's newest: it is what they see of the cosignatures."""
    try:
        published: str | None = read_note(folder / COSIGNED)
    except FileNotFoundError:
        published = None
    except Damaged as error:
        blame(COSIGNED, None, str(error))
        return
    if published != last:
        blame(COSIGNED, None, f"it is not the newest cosigned checkpoint in {FILE}")
