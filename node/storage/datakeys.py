"""The data keys of shared datasets: of this site's own, and of those that it keeps for their owners.

They lie in the site's state, mode 0600, and leave it only sealed for a reader (:mod:`catalog.crypt4gh`).
"""

from __future__ import annotations

import sqlite3

from catalog.cid import Cid
from node.storage.database import Database


class DataKeys:
    """The data keys that this site has, by the root of their dataset."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, root: Cid, owner: str, key: bytes) -> None:
        """Keep the key of a dataset of the site ``owner``; durable when it returns."""
        row = (bytes(root), owner, key)
        await self._database.run(lambda sql: sql.execute("INSERT OR REPLACE INTO datakey VALUES (?, ?, ?)", row))

    async def find(self, root: Cid, owner: str) -> bytes | None:
        """The key of a dataset of ``owner``; none if it is not here."""

        def work(sql: sqlite3.Connection) -> bytes | None:
            row = sql.execute("SELECT key FROM datakey WHERE cid = ? AND owner = ?", (bytes(root), owner)).fetchone()
            return None if row is None else bytes(row[0])

        return await self._database.run(work)

    async def all(self) -> tuple[tuple[Cid, str], ...]:
        """Each dataset whose key is here, with its owner."""
        rows = await self._database.run(lambda sql: sql.execute("SELECT cid, owner FROM datakey").fetchall())
        return tuple((Cid.from_bytes(cid), owner) for cid, owner in rows)

    async def destroy(self, root: Cid, owner: str) -> None:
        """Leave nothing of a key, in the file's gaps neither: whoever has no header has nothing any more."""
        if await self.find(root, owner) is not None:
            row = (bytes(root), owner)
            await self._database.erase(lambda sql: sql.execute("DELETE FROM datakey WHERE cid = ? AND owner = ?", row))
