"""Single values that a site must not forget: the founding, the invitation it took up, invitations it gave."""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import TypeVar

from catalog.dagcbor import Value, decode, encode
from catalog.error import Denied
from node.storage.database import Database

V = TypeVar("V", bound=Value)


class Fact(StrEnum):
    """What is kept under which name."""

    FOUNDING = "founding"
    INVITE = "invite"


class Facts:
    """Named values over the site's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, fact: Fact, kind: type[V]) -> V | None:
        """The value of a fact, if it is known."""
        row = await self._database.run(
            lambda sql: sql.execute("SELECT value FROM fact WHERE name = ?", (str(fact),)).fetchone()
        )
        return None if row is None else decode(kind, row[0])

    async def set(self, fact: Fact, value: Value) -> None:
        """Keep a value; durable on return."""
        data = encode(value)
        await self._database.run(lambda sql: sql.execute("REPLACE INTO fact VALUES (?, ?)", (str(fact), data)))

    async def invited(self, secret: bytes, not_after: int) -> None:
        """Keep an invitation's secret."""
        await self._database.run(lambda sql: sql.execute("INSERT INTO invite VALUES (?, ?, NULL)", (secret, not_after)))

    async def admit(self, secret: bytes, site: str, now: int) -> None:
        """Use an invitation for ``site``; the same site may come again with it.

        Raises:
            Denied: unknown, expired, or used by another site.
        """

        def work(sql: sqlite3.Connection) -> str:
            row = sql.execute("SELECT not_after, used_by FROM invite WHERE secret = ?", (secret,)).fetchone()
            if row is None:
                return "this invitation was not given here; ask for a new one"
            not_after, used_by = row
            if used_by not in (None, site):
                return "this invitation was used by another site; ask for a new one"
            if used_by is None and now > not_after:
                return "this invitation has expired; ask for a new one"
            sql.execute("UPDATE invite SET used_by = ? WHERE secret = ?", (site, secret))
            return ""

        refusal = await self._database.run(work)
        if refusal:
            raise Denied(refusal)
