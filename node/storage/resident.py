"""Resident data: they stay where they are on this machine, named outside by a keyed CID.

Here lie each dataset's key, its path and its plain CID; none of the three ever leaves the site.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from catalog.cid import Cid
from node.storage.database import Database


@dataclass(frozen=True, slots=True, repr=False)
class Resident:
    """One resident dataset: its outside name, what its bytes hash to, and where they lie."""

    cid: Cid
    plain: Cid
    path: Path

    def __repr__(self) -> str:
        return f"Resident({self.cid})"


class Residents:
    """The resident datasets of this site."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, plain: Cid, key: bytes, path: Path) -> Resident:
        """Name the bytes at ``path`` under ``key`` (32 random bytes); the same bytes at the same path keep their name.

        Two datasets of the same bytes at different paths have different keys and so different names.
        """
        named = (bytes(plain), os.fsencode(path))

        def work(sql: sqlite3.Connection) -> Cid:
            row = sql.execute("SELECT cid FROM resident WHERE plain = ? AND path = ?", named).fetchone()
            if row is not None:
                return Cid.from_bytes(row[0])
            cid = plain.keyed(key)
            sql.execute("INSERT INTO resident (cid, key, plain, path) VALUES (?, ?, ?, ?)", (bytes(cid), key, *named))
            return cid

        return Resident(await self._database.run(work), plain, path)

    async def find(self, cid: Cid) -> Resident | None:
        """The resident dataset of that outside name, if it is this site's."""
        row = await self._database.run(
            lambda sql: sql.execute("SELECT plain, path FROM resident WHERE cid = ?", (bytes(cid),)).fetchone()
        )
        return None if row is None else Resident(cid, Cid.from_bytes(row[0]), Path(os.fsdecode(row[1])))

    async def forget(self, cid: Cid) -> None:
        """Forget the key and the path of a dataset; its bytes stay where they lie."""
        await self._database.erase(lambda sql: sql.execute("DELETE FROM resident WHERE cid = ?", (bytes(cid),)))
