"""What a log keeps beside its tiles, in SQLite: the bodies with their salts, and the cosigned checkpoints.

A body that is erased is overwritten in the database file and in its write-ahead log; the row stays, empty, so that
an erased body is never taken for one that is still to come. Of one that was pruned the places in its chains stay too,
under hashes: whoever asks after something is told how many rows there were.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.error import ComityError, Conflict, Damaged
from node.storage.rows import insert_rows

FILE: Final = "bodies.db"

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bodies (leaf INTEGER PRIMARY KEY, salt BLOB, body BLOB);
CREATE TABLE IF NOT EXISTS cosigned (size INTEGER PRIMARY KEY, note TEXT NOT NULL, cosigners INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS pruned (leaf INTEGER, subject BLOB, PRIMARY KEY (leaf, subject)) WITHOUT ROWID;
"""


MOST_COSIGNED: Final = 256
_UNCLEAN: Final = 1
"""The file's version while gaps in its pages may have what was erased."""

_DROP_COSIGNED: Final = """
DELETE FROM cosigned WHERE size < (SELECT size FROM cosigned ORDER BY size DESC LIMIT 1 OFFSET ?)
"""


class Bodies:
    """The database of one log. Every change is durable on return.

    One connection is used by one thread at a time, and another one only reads (:meth:`peek`).

    Raises:
        Damaged: from every method, when the file is not a database or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._closed = False
        # SQLite gives its write-ahead log the mode of the database: bodies are not for other users of the machine.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with self._using() as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
                database.execute("PRAGMA secure_delete = ON")
                database.executescript(SCHEMA)
        except ComityError:
            self._connection.close()
            raise
        self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._reader.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        """Close the file; nothing else may be called afterwards."""
        with self._lock:
            self._closed = True
            self._reader.close()
            self._connection.close()

    def append(self, first: int, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Keep (leaf, salt, body) of leaves from ``first`` on; whatever had these places before goes."""
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM bodies WHERE leaf >= ?", (first,))
            insert_rows(database, "INSERT INTO bodies", list(rows))
            database.execute("COMMIT")

    def get(self, leaf: int) -> tuple[bytes, bytes] | None:
        """(salt, body) of a leaf; none if they were erased or never came."""
        row = self._row("SELECT salt, body FROM bodies WHERE leaf = ?", leaf)
        if row is None or row == (None, None):
            return None
        salt, body = row
        if not isinstance(salt, bytes) or not isinstance(body, bytes):
            raise Damaged(f"{self._path}: the row of leaf {leaf} is damaged; restore it from a backup")
        return salt, body

    def peek(self, leaf: int) -> bytes | None:
        """The body of a leaf, read beside whatever else is under way: whoever asks does not wait for the disk."""
        if self._closed:
            raise Conflict(f"{self._path} was closed: its log is no longer in use by this process")
        try:
            row = self._reader.execute("SELECT body FROM bodies WHERE leaf = ?", (leaf,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise Damaged(f"{self._path} is damaged ({error}); restore it from a backup") from error
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def between(self, start: int, stop: int) -> dict[int, tuple[bytes, bytes]]:
        """(salt, body) of each leaf from ``start`` up to ``stop`` that has them."""
        with self._using() as database:
            rows = database.execute(
                "SELECT leaf, salt, body FROM bodies WHERE leaf >= ? AND leaf < ? AND body IS NOT NULL", (start, stop)
            )
            found = {leaf: (salt, body) for leaf, salt, body in rows}
        if not all(isinstance(part, bytes) for pair in found.values() for part in pair):
            raise Damaged(f"{self._path}: a row of the leaves {start} to {stop} is damaged; restore it from a backup")
        return found

    def among(self, leaves: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
        """(salt, body) of each of these leaves that has them."""
        found: dict[int, tuple[bytes, bytes]] = {}
        with self._using() as database:
            for start in range(0, len(leaves), 500):
                some = leaves[start : start + 500]
                marks = ",".join("?" * len(some))
                query = f"SELECT leaf, salt, body FROM bodies WHERE leaf IN ({marks}) AND body IS NOT NULL"  # noqa: S608
                found.update((leaf, (salt, body)) for leaf, salt, body in database.execute(query, some))
        return found

    def sizes(self, leaves: Sequence[int]) -> dict[int, int]:
        """How many bytes the body of each of these leaves has that has one."""
        found: dict[int, int] = {}
        with self._using() as database:
            for start in range(0, len(leaves), 500):
                some = leaves[start : start + 500]
                marks = ",".join("?" * len(some))
                query = f"SELECT leaf, length(body) FROM bodies WHERE leaf IN ({marks}) AND body IS NOT NULL"  # noqa: S608
                found.update(database.execute(query, some))
        return found

    def put(self, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Keep (leaf, salt, body) of leaves that came earlier. What is here, or was erased here, stays as it is."""
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            insert_rows(database, "INSERT OR IGNORE INTO bodies", list(rows))
            database.execute("COMMIT")

    def erase(self, *leaves: int) -> None:
        """Overwrite salt and body of leaves, in the write-ahead log too.

        Raises:
            Conflict: another process reads the file at this moment, so that old pages remain in the log.
        """
        self.prune(dict.fromkeys(leaves, ()))

    def prune(self, leaves: Mapping[int, Iterable[bytes]]) -> None:
        """Overwrite as :meth:`erase` does, and keep, under a hash, what each leaf was about: its place in its chains.

        Raises:
            Conflict: as for :meth:`erase`.
        """
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            places = ((leaf, subject) for leaf, subjects in leaves.items() for subject in subjects)
            database.executemany("INSERT OR IGNORE INTO pruned VALUES (?, ?)", places)
            rows = ((leaf,) for leaf in leaves)
            sql = "INSERT INTO bodies VALUES (?, NULL, NULL) ON CONFLICT DO UPDATE SET salt = NULL, body = NULL"
            erased = database.executemany(f"{sql} WHERE body IS NOT NULL", rows).rowcount
            if erased:
                database.execute(f"PRAGMA user_version = {_UNCLEAN}")
            database.execute("COMMIT")
            if database.execute("PRAGMA user_version").fetchone()[0] == _UNCLEAN:
                # What was moved within a page, when rows came out of order, left copies in its gaps.
                database.execute("VACUUM")
                database.execute("PRAGMA user_version = 0")
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            first = next(iter(leaves))
            raise Conflict(f"{self._path} is being read by another process; end that, then erase {first} again")

    def pruned(self, start: int, stop: int) -> dict[int, list[bytes]]:
        """The leaves from ``start`` up to ``stop`` that were pruned, with the hashes of what each was about."""
        found: dict[int, list[bytes]] = {}
        with self._using() as database:
            query = "SELECT leaf, subject FROM pruned WHERE leaf >= ? AND leaf < ? ORDER BY leaf"
            for leaf, subject in database.execute(query, (start, stop)):
                found.setdefault(leaf, []).append(subject)
        return found

    def standing(self, leaves: Iterable[int]) -> list[int]:
        """Those of ``leaves`` that were not erased: their bodies are here, or may still come."""
        with self._using() as database:
            query = "SELECT 1 FROM bodies WHERE leaf = ? AND body IS NULL"
            return [leaf for leaf in leaves if database.execute(query, (leaf,)).fetchone() is None]

    def mentioning(self, text: bytes) -> list[int]:
        """The leaves whose bodies contain ``text``, in their order."""
        with self._using() as database:
            rows = database.execute("SELECT leaf FROM bodies WHERE instr(body, ?) > 0 ORDER BY leaf", (text,))
            return [int(row[0]) for row in rows]

    def missing(self, start: int, stop: int, limit: int) -> list[int]:
        """The first ``limit`` leaves from ``start`` to ``stop`` whose body is neither here nor erased."""
        missing: list[int] = []
        with self._using() as database:
            rows = database.execute("SELECT leaf FROM bodies WHERE leaf >= ? AND leaf < ? ORDER BY leaf", (start, stop))
            for leaf in (*(row[0] for row in rows), stop):
                missing.extend(range(start, min(leaf, start + limit - len(missing))))
                start = leaf + 1
                if len(missing) >= limit:
                    break
        return missing

    def drop_beyond(self, size: int) -> int:
        """Remove the rows of leaves that a log of ``size`` does not have; return up to where there were any."""
        last = self._row("SELECT leaf FROM bodies WHERE leaf >= ? ORDER BY leaf DESC LIMIT 1", size)
        if last is None:
            return 0
        with self._using() as database:
            database.execute("DELETE FROM bodies WHERE leaf >= ?", (size,))
        return last[0] + 1 - size if isinstance(last[0], int) else 0

    def keep_cosigned(self, size: int, note: str, cosigners: int) -> None:
        """Keep the cosigned checkpoint of ``size``, in the place of an earlier one of the same size.

        Of all checkpoints the last :data:`MOST_COSIGNED` are kept: each covers what those before it did.
        """
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", (size, note, cosigners))
            database.execute(_DROP_COSIGNED, (MOST_COSIGNED - 1,))
            database.execute("COMMIT")

    def forget_cosigned(self) -> None:
        """Drop every cosigned checkpoint: the log goes on under another name.

        Raises:
            OSError: the disk refused.
        """
        with self._using() as database:
            database.execute("DELETE FROM cosigned")

    def cosigned(self, least: int, cosigners: int) -> str | None:
        """The smallest checkpoint of at least ``least`` leaves with at least that many cosigners."""
        row = self._row(
            "SELECT note FROM cosigned WHERE size >= ? AND cosigners >= ? ORDER BY size LIMIT 1", least, cosigners
        )
        return None if row is None else str(row[0])

    def cosigned_at(self, size: int) -> str | None:
        """The cosigned checkpoint of exactly ``size`` leaves."""
        row = self._row("SELECT note FROM cosigned WHERE size = ?", size)
        return None if row is None else str(row[0])

    def last_cosigned(self, cosigners: int = 1) -> str | None:
        """The largest checkpoint with at least that many cosigners."""
        row = self._row("SELECT note FROM cosigned WHERE cosigners >= ? ORDER BY size DESC LIMIT 1", cosigners)
        return None if row is None else str(row[0])

    def _row(self, query: str, *values: int) -> tuple[object, ...] | None:
        with self._using() as database:
            row: tuple[object, ...] | None = database.execute(query, values).fetchone()
            return row

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Conflict(f"{self._path} was closed: its log is no longer in use by this process")
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                raise ComityError(f"{self._path} could not be used ({error}); free space or check the disk") from error
            except sqlite3.DatabaseError as error:
                raise Damaged(f"{self._path} is damaged ({error}); restore it from a backup") from error
            finally:
                if not self._closed and self._connection.in_transaction:
                    self._connection.rollback()
