"""The records of disclosure control, in the site's state: they hold small counts, and are nobody's to fetch.

They stay when a project ends, for what is released later is held against them, and a backup has them.
"""

from __future__ import annotations

from catalog.cid import Cid
from catalog.error import Damaged, NotFound
from node.storage.database import Database


class Records:
    """The port ``Records`` over the site's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, data: bytes) -> Cid:
        """Keep the bytes of a record; durable when it returns."""
        cid = Cid.of(data)
        row = (bytes(cid), data)
        await self._database.run(lambda sql: sql.execute("INSERT OR IGNORE INTO record VALUES (?, ?)", row))
        return cid

    async def read(self, record: Cid) -> bytes:
        """The bytes of a record.

        Raises:
            NotFound: it is lost. Damaged: it is not what its name says.
        """
        query = "SELECT value FROM record WHERE cid = ?"
        row = await self._database.run(lambda sql: sql.execute(query, (bytes(record),)).fetchone())
        if row is None:
            raise NotFound(f"the record {record} of a release is lost: it is in no backup that came back")
        data = bytes(row[0])
        if not record.matches(data):
            raise Damaged(f"the record {record} of a release is damaged")
        return data
