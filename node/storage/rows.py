"""Many rows in one statement: each statement gives up the interpreter, and waits for it beside whatever computes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

AT_ONCE: Final = 250
"""Rows in one statement."""


def insert_rows(connection: sqlite3.Connection, into: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, all as wide as the first; ``into`` is the statement up to «VALUES»."""
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        values = ", ".join([f"({', '.join('?' * len(some[0]))})"] * len(some))
        connection.execute(f"{into} VALUES {values}", [part for row in some for part in row])
