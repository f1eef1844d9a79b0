"""SQLite files that are only read, and that somebody else may have made to keep who reads them busy for ever.

A view, a computed column or the expression of an index runs what the file says. So a file is read only if it has no
other tables and indexes than its makers write; and what it says is long is believed up to a bound.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from catalog.error import Damaged, shown
from node.regular import require_regular

_BESIDE: Final = ("", "-wal", "-shm", "-journal")
MAX_ROW: Final = 16 << 20
"""Bytes: many times what the largest value of these databases has."""

_SCHEMA: Final = "SELECT CAST(type AS BLOB), CAST(name AS BLOB), CAST(sql AS BLOB) FROM sqlite_master"
_STEP: Final = 1 << 16
_SPARE: Final = 1 << 23
_PER_BYTE: Final = 4
"""Instructions of SQLite's machine for each byte of the file, beside some for all; a whole check takes at most one."""


def open_read_only(path: Path, schema: str) -> sqlite3.Connection:
    """Open a database that is only read, in a live folder or in a copy on a medium that cannot be written.

    ``schema`` are the statements by which its makers make it.

    Raises:
        Damaged: it is no regular file, or has what ``schema`` has not.
        sqlite3.DatabaseError: it is no database.
    """
    for beside in _BESIDE:
        require_regular(path.with_name(path.name + beside))
    log = path.with_name(path.name + "-wal")
    # Without a write-ahead log nobody writes.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    database = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)
    try:
        database.execute("PRAGMA trusted_schema = OFF")
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW)
        _check_schema(database, path, schema)
    except (sqlite3.DatabaseError, Damaged):
        database.close()
        raise
    return database


def _check_schema(database: sqlite3.Connection, path: Path, schema: str) -> None:
    expected = _made_by(schema)
    for kind, name, sql in database.execute(_SCHEMA):
        if (kind, name, sql) not in expected:
            told = shown(f"{_text(kind)} {_text(name)}", 60)
            raise Damaged(f"{path} is damaged: its «{told}» is none that this version of Comity makes")


def bound_work(database: sqlite3.Connection, path: Path) -> None:
    """Let ``database`` do no more from now on than reading all of its file a few times takes.

    Pages that refer to each other in rounds have endless rows; asked for more, it says that it was interrupted.
    """
    files = (path.with_name(path.name + beside) for beside in ("", "-wal"))
    left = (_SPARE + _PER_BYTE * sum(each.stat().st_size for each in files if each.exists())) // _STEP

    def spend() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    database.set_progress_handler(spend, _STEP)


def ascending(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows that come ordered by their first column, a number or text that no two of them share.

    Raises:
        sqlite3.DatabaseError: they do not, as the pages of a file that is whole would have it.
    """
    last: tuple[Any, ...] | None = None
    for row in rows:
        if not isinstance(row[0], int | str) or (last is not None and not _follows(last[0], row[0])):
            raise sqlite3.DatabaseError("its rows are not in their order")
        last = row
        yield row


def _follows(last: Any, key: Any) -> bool:
    return type(key) is type(last) and bool(key > last)


@lru_cache
def _made_by(schema: str) -> frozenset[tuple[object, object, object]]:
    with closing(sqlite3.connect(":memory:")) as made:
        made.executescript(schema)
        return frozenset(made.execute(_SCHEMA))


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
