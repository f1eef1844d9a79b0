"""The site's small state in one SQLite file: every change is one transaction, durable when it returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import trio

from catalog.error import ComityError, Conflict, Damaged
from node.storage import eventschema

T = TypeVar("T")

SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS kept (what TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (what, name)) STRICT;
CREATE TABLE IF NOT EXISTS invite (secret BLOB PRIMARY KEY, not_after INTEGER NOT NULL, used_by TEXT) STRICT;
CREATE TABLE IF NOT EXISTS witnessed (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL,
  note TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fork (origin TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS heard (site TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS resident (cid BLOB PRIMARY KEY, plain BLOB NOT NULL, key BLOB NOT NULL, path BLOB NOT NULL)
  STRICT;
CREATE TABLE IF NOT EXISTS datakey (cid BLOB, owner TEXT, key BLOB NOT NULL, PRIMARY KEY (cid, owner)) STRICT;
CREATE TABLE IF NOT EXISTS submission (cid BLOB PRIMARY KEY, value BLOB NOT NULL, workflow TEXT NOT NULL,
  person TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, began INTEGER NOT NULL,
  ended INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS placement (submission BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (cid BLOB PRIMARY KEY, submission BLOB NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS receipt (orders BLOB PRIMARY KEY, submission BLOB NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cancellation (submission BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS brought (site TEXT, root BLOB, PRIMARY KEY (site, root)) STRICT;
CREATE TABLE IF NOT EXISTS record (cid BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS refusal (orders BLOB PRIMARY KEY, submission BLOB NOT NULL, kind TEXT NOT NULL,
  reason TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS refusals_of ON refusal (submission);
CREATE INDEX IF NOT EXISTS orders_of ON orders (submission);
CREATE INDEX IF NOT EXISTS receipts_of ON receipt (submission);
"""
    + eventschema.SCHEMA
)


class Database:
    """One connection, used from worker threads one at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = trio.Lock()

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open the file, whose mode becomes 0600; made if there is none. Blocks.

        Raises:
            Damaged: the file is damaged.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            os.fchmod(file, 0o600)  # keys of data and small counts of people lie in it; its journal gets the same mode
        finally:
            os.close(file)
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;")
            connection.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            connection.close()
            raise _damaged(path, error) from error
        return cls(connection, path)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction of its own, in a worker thread.

        Raises:
            ComityError: the disk refused; nothing of ``work`` was kept.
            Damaged: the file is damaged.
        """
        async with self._lock:
            return await trio.to_thread.run_sync(self._transact, work)

    async def erase(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, and leave nothing of what it deleted in the file or in its write-ahead log.

        Raises:
            Conflict: another process reads the file at this moment, so that old pages remain in the log.
            ComityError, Damaged: as for :meth:`run`.
        """
        done = await self.run(work)
        async with self._lock:
            await trio.to_thread.run_sync(self._empty_log)
        return done

    def _empty_log(self) -> None:
        try:
            self._connection.execute("VACUUM")  # gaps in pages may have copies of what was moved within them
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise _failure(self._path, error) from error
        if busy:
            raise Conflict(f"{self._path} is being read by another process; end that, then what was deleted goes")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return work(self._connection)
        except sqlite3.Error as error:
            raise _failure(self._path, error) from error


def _failure(path: Path, error: sqlite3.Error) -> ComityError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, error)
    return ComityError(f"{path} could not be written ({error}); see whether the disk is full")


def _damaged(path: Path, error: sqlite3.Error) -> Damaged:
    return Damaged(f"{path} is damaged ({error}); restore it from a backup")
