"""News: the newest entries of a catalog, as they go to each witness with the checkpoint that it is to cosign.

They are what the witness would fetch next as one that follows the catalog: every leaf, and the bodies that it may see.
It verifies them as if it had fetched them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from catalog.body import is_visible
from node.log import OwnLog
from node.message import MAX_ROWS, Row

MOST_BYTES: Final = 128 << 10
"""Bytes of rows that go with a checkpoint; what is more is fetched over HTTPS, which is faster from there on."""

News = Callable[[int, int], Awaitable[tuple[Row, ...]]]
"""The rows of a log from one size up to another that may go with its checkpoint, as its own site sees them."""


async def no_news(_old: int, _new: int) -> tuple[Row, ...]:
    """Nothing goes with the checkpoints of an audit log."""
    return ()


async def news_of(catalog: OwnLog, old: int, new: int) -> tuple[Row, ...]:
    """All rows from ``old`` up to ``new``; none at all if they are too many, or too large.

    Raises:
        Damaged: what is stored of them.
    """
    if not 0 < new - old <= MAX_ROWS:
        return ()
    read = await catalog.read(old, new)
    rows = tuple(_row(index, leaf, kept) for index, (leaf, kept) in enumerate(read, old))
    return rows if sum(len(row.leaf) + len(row.body or b"") for row in rows) <= MOST_BYTES else ()


def shown_to(reader: str, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows as the site ``reader`` may see them."""
    return tuple(row if row.body is None or is_visible(row.body, reader) else _row(row.index, row.leaf) for row in rows)


def going_on(rows: Sequence[Row], held: int, size: int) -> Sequence[Row]:
    """Those of ``rows`` that who holds ``held`` leaves lacks up to a checkpoint of ``size``; none if there is a gap."""
    if not rows or not rows[0].index <= held < size:
        return ()
    whole = [row.index for row in rows] == list(range(rows[0].index, size))
    return rows[held - rows[0].index :] if whole else ()


def _row(index: int, leaf: bytes, kept: tuple[bytes, bytes] | None = None) -> Row:
    salt, body = kept or (None, None)
    return Row(index=index, leaf=leaf, salt=salt, body=body)
