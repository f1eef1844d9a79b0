"""Who the members of a site's consortium are, read from a copy of its folder: the founding and every epoch since."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from catalog.dagcbor import decode
from catalog.error import Damaged
from catalog.member import Epoch, consortium_cid
from catalog.reopening import Reopening
from node.admission import extended
from node.founding import Founding
from node.storage.facts import Fact, Kept


def read_only(path: Path) -> sqlite3.Connection:
    """A database that is only read, be it in a live folder or in a copy on a medium that cannot be written."""
    log = path.with_name(path.name + "-wal")
    # Without a write-ahead log nobody writes.
    mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
    return sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True)


def read_accepted(state: Path) -> tuple[Reopening, ...]:
    """The new epochs of other members' logs that the site has accepted, from its ``state.db``; not verified.

    Raises:
        Damaged: the file is damaged.
    """
    if not state.exists():
        return ()
    try:
        with closing(read_only(state)) as sql:
            rows = sql.execute("SELECT value FROM kept WHERE what = ?", (str(Kept.REOPENING),)).fetchall()
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{state} is damaged ({error}); restore it from a backup") from error
    return tuple(sorted((decode(Reopening, row[0]) for row in rows), key=lambda each: each.number))


def read_epochs(state: Path) -> tuple[Epoch, ...]:
    """The epoch documents in a site's ``state.db``, each checked against the one before; none where it has joined none.

    Raises:
        Damaged: the file is damaged, or the documents do not follow each other.
    """
    if not state.exists():
        return ()
    try:
        with closing(read_only(state)) as sql:
            founding = sql.execute("SELECT value FROM fact WHERE name = ?", (str(Fact.FOUNDING),)).fetchone()
            rows = sql.execute("SELECT value FROM kept WHERE what = ? ORDER BY name", (str(Kept.EPOCH),)).fetchall()
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{state} is damaged ({error}); restore it from a backup") from error
    first: tuple[Epoch, ...] = ()
    if founding is not None:
        begun = decode(Founding, founding[0])
        first = (begun.epoch(),) if begun.founded() is not None else ()
    later = [decode(Epoch, row[0]) for row in rows]
    if not first and later:
        first = (later[0],)
        extended((), first, consortium_cid(later[0]))
    return extended(first, (each for each in later if each.number), consortium_cid(first[0])) if first else ()
