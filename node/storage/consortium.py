"""Who the members of a site's consortium are, read from a copy of its folder: the founding and every epoch since."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from catalog.dagcbor import decode
from catalog.error import Damaged
from catalog.member import Epoch, consortium_cid
from catalog.reopening import Reopening
from node.admission import extended
from node.founding import Founding
from node.storage.database import SCHEMA
from node.storage.facts import Fact, Kept
from node.storage.readonly import ascending, open_read_only

_KEPT: Final = "SELECT name, value FROM kept WHERE what = ? ORDER BY name"


def read_accepted(state: Path) -> tuple[Reopening, ...]:
    """The new epochs of other members' logs that the site has accepted, from its ``state.db``; not verified.

    Raises:
        Damaged: the file is damaged.
    """
    if not state.exists():
        return ()
    try:
        with closing(open_read_only(state, SCHEMA)) as sql:
            found = [decode(Reopening, value) for _, value in ascending(sql.execute(_KEPT, (str(Kept.REOPENING),)))]
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{state} is damaged ({error}); restore it from a backup") from error
    return tuple(sorted(found, key=lambda each: each.number))


def read_epochs(state: Path) -> tuple[Epoch, ...]:
    """The epoch documents in a site's ``state.db``, each checked against the one before; none where it has joined none.

    Raises:
        Damaged: the file is damaged, or the documents do not follow each other.
    """
    if not state.exists():
        return ()
    try:
        with closing(open_read_only(state, SCHEMA)) as sql:
            founding = sql.execute("SELECT value FROM fact WHERE name = ?", (str(Fact.FOUNDING),)).fetchone()
            later = [decode(Epoch, value) for _, value in ascending(sql.execute(_KEPT, (str(Kept.EPOCH),)))]
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{state} is damaged ({error}); restore it from a backup") from error
    first: tuple[Epoch, ...] = ()
    if founding is not None:
        begun = decode(Founding, founding[0])
        first = (begun.epoch(),) if begun.founded() is not None else ()
    if not first and later:
        first = (later[0],)
        extended((), first, consortium_cid(later[0]))
    return extended(first, (each for each in later if each.number), consortium_cid(first[0])) if first else ()
