"""What a log keeps beside its tiles, in SQLite: the bodies with their salts, and the cosigned checkpoints.

A body that is erased is overwritten in the database file and in its write-ahead log; the row stays, empty, so that
an erased body is never taken for one that is still to come.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.error import ComityError, Conflict, VerificationFailed

FILE: Final = "bodies.db"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bodies (leaf INTEGER PRIMARY KEY, salt BLOB, body BLOB);
CREATE TABLE IF NOT EXISTS cosigned (size INTEGER PRIMARY KEY, note TEXT NOT NULL, cosigners INTEGER NOT NULL);
"""


class Bodies:
    """The database of one log, one connection used by one thread at a time. Every change is durable on return.

    Raises:
        VerificationFailed: from every method, when the file is not a database or is damaged.
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
                database.executescript(_SCHEMA)
        except ComityError:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file; nothing else may be called afterwards."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def append(self, first: int, rows: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep (salt, body) of the leaves from ``first`` on; whatever had these places before goes."""
        with self._using() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM bodies WHERE leaf >= ?", (first,))
            numbered = ((first + offset, salt, body) for offset, (salt, body) in enumerate(rows))
            database.executemany("INSERT INTO bodies VALUES (?, ?, ?)", numbered)
            database.execute("COMMIT")

    def get(self, leaf: int) -> tuple[bytes, bytes] | None:
        """(salt, body) of a leaf; none if they were erased or never came."""
        row = self._row("SELECT salt, body FROM bodies WHERE leaf = ?", leaf)
        if row is None or row == (None, None):
            return None
        salt, body = row
        if not isinstance(salt, bytes) or not isinstance(body, bytes):
            raise VerificationFailed(f"{self._path}: the row of leaf {leaf} is damaged; restore it from a backup")
        return salt, body

    def put(self, leaf: int, salt: bytes, body: bytes) -> None:
        """Keep one body that came later than its leaf; the same one again changes nothing.

        Raises:
            Conflict: it was erased.
        """
        with self._using() as database:
            database.execute("INSERT OR IGNORE INTO bodies VALUES (?, ?, ?)", (leaf, salt, body))
        if self._row("SELECT body FROM bodies WHERE leaf = ?", leaf) == (None,):
            raise Conflict(f"the body of leaf {leaf} was erased here and is not taken again")

    def erase(self, leaf: int) -> None:
        """Overwrite salt and body of a leaf, in the write-ahead log too.

        Raises:
            Conflict: another process reads the file at this moment, so that old pages remain in the log.
        """
        with self._using() as database:
            database.execute("INSERT OR REPLACE INTO bodies VALUES (?, NULL, NULL)", (leaf,))
            busy = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise Conflict(f"{self._path} is being read by another process; end that, then erase leaf {leaf} again")

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
        """Keep the cosigned checkpoint of ``size``, in the place of an earlier one of the same size."""
        with self._using() as database:
            database.execute("INSERT OR REPLACE INTO cosigned VALUES (?, ?, ?)", (size, note, cosigners))

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

    def last_cosigned(self) -> str | None:
        """The largest cosigned checkpoint."""
        row = self._row("SELECT note FROM cosigned ORDER BY size DESC LIMIT 1")
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
                raise VerificationFailed(f"{self._path} is damaged ({error}); restore it from a backup") from error
            finally:
                if not self._closed and self._connection.in_transaction:
                    self._connection.rollback()
