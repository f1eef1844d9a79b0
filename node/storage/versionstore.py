"""What was read of the members' catalogs, kept in one SQLite file, so that neither memory nor a start grows with it.

It is a projection of the logs: a file that is damaged, or of another log than the one that lies here, is read anew
from there. It holds places, kinds and digests, and no name of anything or anybody: a subject stands in it as a hash,
and what an entry says is read from the log's own bodies, whose digest must be the one that was read and counted.

Everything happens at once, in the thread of whoever asks: each is one look-up in pages that are in memory. Only
:meth:`VersionStore.keep`, which makes it last, and :meth:`VersionStore.expunge` block; what was read since is read
again after a crash. Threads take turns, a statement at a time.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from catalog.body import MAX_BODY, Body
from catalog.dagcbor import Value, convert, decode, encode, glance
from catalog.entry import Entry, read_entry
from catalog.error import ComityError, Conflict, Damaged, VerificationFailed
from catalog.index import RULES, KeptIndex
from catalog.reading import digest_of
from node.storage.projection import connect, failure, remove
from node.storage.versions import StoredVersions

T = TypeVar("T")

REMEMBERED: Final = 4096
"""Entries that are kept as they were read, those that were asked for last."""

_VERSION: Final = 4
# NORMAL: what a crash of the machine leaves is what some ``keep`` wrote, or a later one.
_SETTINGS: Final = (
    "PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-8192; PRAGMA busy_timeout=0;"
)
_NAME_BYTES: Final = 8
_SLICE: Final = 2000
"""Rows that are dropped by one statement."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS reading (id INTEGER PRIMARY KEY, site TEXT UNIQUE NOT NULL, name TEXT NOT NULL,
  kept BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS counted (reading INTEGER, place INTEGER, kind TEXT NOT NULL, subject BLOB NOT NULL,
  bound INTEGER NOT NULL, of_grant TEXT, signer TEXT, digest BLOB NOT NULL,
  PRIMARY KEY (reading, place)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS of_subject ON counted (reading, kind, subject, place);
CREATE INDEX IF NOT EXISTS of_signer ON counted (reading, signer) WHERE signer IS NOT NULL;
CREATE TABLE IF NOT EXISTS refused (reading INTEGER, place INTEGER, kind TEXT NOT NULL, subject TEXT,
  signer TEXT NOT NULL, PRIMARY KEY (reading, place)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS refused_of_subject ON refused (reading, kind, subject, place) WHERE subject IS NOT NULL;
CREATE INDEX IF NOT EXISTS refused_of_signer ON refused (reading, signer);
CREATE TABLE IF NOT EXISTS lacking (reading INTEGER, place INTEGER, owed INTEGER NOT NULL,
  PRIMARY KEY (reading, place)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lacking_owed ON lacking (reading, place) WHERE owed;
CREATE TABLE IF NOT EXISTS bound (reading INTEGER, place INTEGER, PRIMARY KEY (reading, place)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fault (reading INTEGER, place INTEGER, reason TEXT NOT NULL,
  PRIMARY KEY (reading, place)) STRICT, WITHOUT ROWID;
"""
_OF_READING: Final = ("counted", "refused", "lacking", "bound", "fault")

log = logging.getLogger("comity.storage")

ReadBody = Callable[[str, int], bytes | None]
"""The body of a leaf of a site's catalog, if it is here."""


class Mark(Value, frozen=True, kw_only=True):
    """Of which log something was read, and how far: its origin, and its root at that size."""

    origin: str
    root: bytes


class _Kept(Value, frozen=True, kw_only=True):
    rules: str
    mark: Mark
    index: KeptIndex


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier run read of a site's catalog."""

    mark: Mark
    index: KeptIndex
    versions: StoredVersions


class VersionStore:
    """The file; one for all members. ``body`` reads what their logs hold."""

    def __init__(self, path: Path, body: ReadBody) -> None:
        self._path = path
        self._body = body
        self._connection = connect(path, _VERSION, _SETTINGS, _TABLES)
        self._recent: OrderedDict[tuple[int, str, str], Entry] = OrderedDict()
        # A turn ends with its last row: an answer that another thread has half read would keep a checkpoint waiting.
        self._turn = threading.RLock()
        self._discarded: set[int] = set()
        self._connection.execute("BEGIN")
        self._next = self._swept()

    @classmethod
    def open(cls, path: Path, body: ReadBody) -> tuple[VersionStore, str]:
        """Open the file, whose mode becomes 0600, and say why it had to be made anew; empty if it had not. Blocks.

        Raises:
            ComityError: the disk refuses.
        """
        try:
            return cls(path, body), ""
        except Damaged as error:
            remove(path)
            return cls(path, body), str(error)

    def begin(self, site: str) -> StoredVersions:
        """A reading of the catalog of ``site`` from its first leaf."""
        reading, self._next = self._next, self._next + 1
        return StoredVersions(self, site, reading, os.urandom(_NAME_BYTES).hex())

    def past(self, site: str) -> Past | None:
        """What an earlier run of this version kept of the catalog of ``site``, if anything. Blocks.

        Raises:
            Damaged: the file is damaged.
        """
        row = self.row("SELECT id, name, kept FROM reading WHERE site = ?", site)
        if row is None:
            return None
        try:
            kept = decode(_Kept, row[2])
        except VerificationFailed:
            return None  # a damaged row is as good as none
        if kept.rules != RULES:
            return None  # another version of this program read it, by other rules
        for table in _OF_READING:  # what was read, and not kept, when that run ended
            self.write(f"DELETE FROM {table} WHERE reading = ? AND place >= ?", row[0], kept.index.size)  # noqa: S608
        faulty = self.row("SELECT count(*) FROM fault WHERE reading = ?", row[0])
        return Past(kept.mark, kept.index, StoredVersions(self, site, row[0], row[1], faulty[0] if faulty else 0))

    def keep(self, mark: Mark, index: KeptIndex, versions: StoredVersions) -> None:
        """Make last what was read of a site, in the place of any other reading of its catalog. Blocks.

        Raises:
            ComityError: the disk refused; what was kept before stays. Damaged: the file is damaged.
        """
        versions.spill()
        kept = encode(_Kept(rules=RULES, mark=mark, index=index))
        others = self.rows("SELECT id FROM reading WHERE site = ? AND id != ?", versions.site, versions.reading)
        self._discarded |= {row[0] for row in others}
        self.write("DELETE FROM reading WHERE site = ?", versions.site)
        sql = "INSERT INTO reading (id, site, name, kept) VALUES (?, ?, ?, ?)"
        self.write(sql, versions.reading, versions.site, versions.name, kept)
        self._commit()
        self._drop_discarded()
        try:
            # By another connection: whoever looks something up meanwhile does not wait for the disk.
            with closing(sqlite3.connect(self._path, timeout=0)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.Error as error:
            log.warning("%s: what was kept stays beside it for now (%s)", self._path, error)

    def expunge(self, site: str, stolen: frozenset[str]) -> None:
        """Leave nothing in the file, or beside it, of what was forgotten of the catalog of ``site``. Blocks.

        ``stolen`` are the keys that its index knows as taken back. Where another was kept as such, its owner was
        forgotten since, and what was kept goes: the next start reads that catalog from its first leaf.

        Raises:
            Conflict: another process reads the file. ComityError: the disk refused.
            Damaged: the file is damaged.
        """
        row = self.row("SELECT kept FROM reading WHERE site = ?", site)
        if row is not None and not _stolen(row[0]) <= stolen:
            self.write("DELETE FROM reading WHERE site = ?", site)
        self._drop_discarded()
        busy = self._commit("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy is not None and busy[0]:
            raise Conflict(f"{self._path} is being read by another process; end that, then what was erased goes")

    def discard(self, reading: int) -> None:
        """What was read goes from the file when something is kept, or expunged, the next time."""
        self._discarded.add(reading)

    def _drop_discarded(self) -> None:
        for reading in sorted(self._discarded):
            self._drop(reading)
            self._discarded.discard(reading)
            self._commit()

    def _drop(self, reading: int) -> None:
        """Forget all of a reading, a part at a time: whoever looks something up meanwhile waits for one alone."""
        for table in _OF_READING:
            some = f"SELECT place FROM {table} WHERE reading = ?1 LIMIT {_SLICE}"  # noqa: S608
            while self.row(f"{some}", reading) is not None:
                self.write(f"DELETE FROM {table} WHERE reading = ?1 AND place IN ({some})", reading)  # noqa: S608

    def close(self) -> None:
        """Close the file; what was not kept is read again by the next run."""
        self._connection.close()

    # --- for the readings --------------------------------------------------------------------------------------------

    def entry(self, versions: StoredVersions, kind: str, place: int, digest: bytes) -> Entry:
        """The entry of ``kind`` that counted at ``place``.

        Raises:
            Damaged: its body is not the one that was read, or is not here any more.
        """
        data = self._body(versions.site, place)
        if data is None or digest_of(data) != digest:
            raise Damaged(
                f"the body of entry {place} of …{versions.site[-8:]} is not here as it was read; run «comity site fsck»"
            )
        return read_entry(versions.site, place, kind, convert(Body, glance(data, MAX_BODY)))

    def recall(self, reading: int, kind: str, subject: str) -> Entry | None:
        """An entry that was asked for of late."""
        found = self._recent.get((reading, kind, subject))
        if found is not None:
            self._recent.move_to_end((reading, kind, subject))
        return found

    def remember(self, reading: int, entry: Entry) -> None:
        """Keep an entry at hand."""
        self._recent[reading, entry.body.kind, entry.subject] = entry
        self._recent.move_to_end((reading, entry.body.kind, entry.subject))
        if len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)

    def forget(self, reading: int, places: frozenset[int]) -> None:
        """Keep nothing at hand of what stands at ``places``."""
        gone = [key for key, entry in self._recent.items() if key[0] == reading and entry.index in places]
        for key in gone:
            del self._recent[key]

    def row(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row that ``sql`` finds."""
        found: tuple[Any, ...] | None = self._do(lambda connection: connection.execute(sql, values).fetchone())
        return found

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows that ``sql`` finds."""
        return self._do(lambda connection: connection.execute(sql, values).fetchall())

    def places(self, sql: str, *values: object) -> array[int]:
        """The first column of all rows that ``sql`` finds, in eight bytes each."""
        return self._do(lambda connection: array("q", (row[0] for row in connection.execute(sql, values))))

    def write(self, sql: str, *values: object) -> None:
        """Change something."""
        self._do(lambda connection: connection.execute(sql, values))

    def _commit(self, then: str = "SELECT 0") -> tuple[Any, ...] | None:
        """Make last what was written, and do ``then`` before anything else is; its first row."""
        with self._turn:
            self.write("COMMIT")
            try:
                found: tuple[Any, ...] | None = self._connection.execute(then).fetchone()
            except sqlite3.Error as error:
                raise failure(self._path, error) from error
            finally:
                self._connection.execute("BEGIN")
        return found

    def _swept(self) -> int:
        """Drop what was read and never kept; the first number that no reading has had."""
        known, last = {row[0] for row in self.rows("SELECT id FROM reading")}, 0
        for table in _OF_READING:
            at = 0
            while row := self.row(f"SELECT reading FROM {table} WHERE reading > ? ORDER BY reading LIMIT 1", at):  # noqa: S608
                at = row[0]
                last = max(last, at)
                if at not in known:
                    self.write(f"DELETE FROM {table} WHERE reading = ?", at)  # noqa: S608
        return int(max([last, *known])) + 1

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._turn:
            if not self._connection.in_transaction:
                # SQLite took back what was written and is in memory no more: a revocation may be among it.
                raise ComityError(
                    f"{self._path} was not written when its disk was full; free space and restart the node"
                )
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                raise failure(self._path, error) from error


def _stolen(kept: bytes) -> frozenset[str]:
    """The keys that were taken back by what was kept; none of what cannot be read and so is not taken up."""
    try:
        keys = decode(_Kept, kept).index.keys
        return frozenset((*keys.given, *keys.own, *keys.found))
    except VerificationFailed:
        return frozenset()
