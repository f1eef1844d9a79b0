"""From whom this site had what: each root with the site that handed over every byte below it.

What lies here already may be another owner's, and a CID is no proof of having the bytes. So a root that a site names
counts as that site's only once the site itself has delivered it whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from catalog.cid import Cid
from node.storage.database import Database


class Brought:
    """The roots that each site delivered whole, over the site's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def had_from(self, site: str, root: Cid) -> bool:
        """Whether ``site`` delivered ``root`` whole before."""
        row = await self._database.run(
            lambda sql: sql.execute("SELECT 1 FROM brought WHERE site = ? AND root = ?", (site, bytes(root))).fetchone()
        )
        return row is not None

    async def keep(self, site: str, root: Cid) -> None:
        """Keep that ``site`` delivered ``root`` whole; durable on return."""
        await self._database.run(
            lambda sql: sql.execute("INSERT OR IGNORE INTO brought VALUES (?, ?)", (site, bytes(root)))
        )

    async def forget(self, roots: Iterable[Cid]) -> None:
        """Forget who delivered these roots: they were destroyed here."""
        rows = [(bytes(root),) for root in roots]
        await self._database.run(lambda sql: sql.executemany("DELETE FROM brought WHERE root = ?", rows))
