"""Small values that a site must not forget: its founding and epochs, invitations, where members are reached."""

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
    MEMBER = "member"
    KUBO = "kubo"


class Kept(StrEnum):
    """What there are several of: epochs by their padded number, candidates and members' nodes by their root keys.

    Releases that wait, and what other owners are asked about them, stand there by their orders.
    """

    EPOCH = "epoch"
    CANDIDATE = "candidate"
    PLACE = "place"
    REOPENING = "reopening"
    RELEASE = "release"
    PENDING = "pending"


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

    async def all(self, kept: Kept, kind: type[V]) -> list[V]:
        """All values of a kind, in the order of their names."""
        query = "SELECT value FROM kept WHERE what = ? ORDER BY name"
        rows = await self._database.run(lambda sql: sql.execute(query, (str(kept),)).fetchall())
        return [decode(kind, row[0]) for row in rows]

    async def keep(self, kept: Kept, name: str, value: Value) -> None:
        """Keep a value in the place of the one of that name; durable on return."""
        row = (str(kept), name, encode(value))
        await self._database.run(lambda sql: sql.execute("REPLACE INTO kept VALUES (?, ?, ?)", row))

    async def drop(self, kept: Kept, *names: str) -> None:
        """Forget values; durable on return."""
        rows = [(str(kept), name) for name in names]
        await self._database.run(lambda sql: sql.executemany("DELETE FROM kept WHERE what = ? AND name = ?", rows))

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
