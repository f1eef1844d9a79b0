"""A SQLite file that holds nothing that the logs do not: damaged, or of another version, it is made anew."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from catalog.error import ComityError, Conflict, Damaged


def connect(path: Path, version: int, settings: str, tables: str) -> sqlite3.Connection:
    """Open the file at ``path``, made if there is none, whose mode becomes 0600. Blocks.

    Raises:
        Damaged: it is damaged, or was written by another version than ``version``.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(file, 0o600)  # what is published for some members alone stands in it
    finally:
        os.close(file)
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA secure_delete=ON; {settings}")
        _check(connection, version)
        connection.executescript(f"{tables} PRAGMA user_version = {version};")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise Damaged(f"{path} is damaged ({error})") from error
    return connection


def remove(path: Path) -> None:
    """Delete the file, and what SQLite keeps beside it."""
    for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        each.unlink(missing_ok=True)


def failure(path: Path, error: sqlite3.Error) -> ComityError:
    """What an error of SQLite means: a disk that refuses, or a damaged file (:class:`Damaged`)."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return ComityError(f"{path} could not be written ({error}); see whether the disk is full")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Conflict(f"{path} is in use by another process; end that")
    return Damaged(f"{path} is damaged ({error})")


def _check(connection: sqlite3.Connection, version: int) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, version):
        raise sqlite3.DatabaseError(f"it is of version {found}")
    # Not the quick check: that an index lacks a row of its table is what it does not see.
    told = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if told != "ok":
        raise sqlite3.DatabaseError(told)
