"""What this site has cosigned of each log, the forks that were proven, and when each site was last heard."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from catalog.dagcbor import decode, encode
from catalog.fork import Fork
from node.replication import Seen
from node.storage.database import Database

_INSERT = "INSERT OR IGNORE INTO witnessed VALUES (?, ?, ?, ?, ?)"
_UPDATE = "UPDATE witnessed SET size = ?, root = ?, note = ?, at = ? WHERE origin = ? AND size = ? AND root = ?"


class WitnessMemory:
    """The ports ``Memory`` and ``HeardMemory`` over the site's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, Seen | None] = {}

    async def seen(self, origin: str) -> Seen | None:
        """What was cosigned last of a log, if anything."""
        if origin not in self._seen:
            row = await self._database.run(
                lambda sql: sql.execute(
                    "SELECT size, root, note, at FROM witnessed WHERE origin = ?", (origin,)
                ).fetchone()
            )
            # What was recorded meanwhile is newer than what was read.
            self._seen.setdefault(origin, None if row is None else Seen(*row))
        return self._seen[origin]

    async def remember(self, origin: str, seen: Seen, after: Seen | None) -> bool:
        """Record what is about to be cosigned, in the place of ``after``; durable on return.

        False, and nothing recorded, if something else than ``after`` stands there by now.
        """

        def put(sql: sqlite3.Connection) -> bool:
            if after is None:
                done = sql.execute(_INSERT, (origin, seen.size, seen.root, seen.note, seen.at))
            else:
                done = sql.execute(_UPDATE, (seen.size, seen.root, seen.note, seen.at, origin, after.size, after.root))
            return done.rowcount == 1

        done = await self._database.run(put)
        if done:
            self._seen[origin] = seen
        return done

    async def accuse(self, fork: Fork) -> None:
        """Keep the proof of a fork; of each log the first that came, which proves all."""
        await self._database.run(
            lambda sql: sql.execute("INSERT OR IGNORE INTO fork VALUES (?, ?)", (fork.origin, encode(fork)))
        )

    async def forks(self) -> list[Fork]:
        """Every fork that was proven."""
        rows = await self._database.run(lambda sql: sql.execute("SELECT value FROM fork ORDER BY origin").fetchall())
        return [decode(Fork, value) for (value,) in rows]

    async def heard(self) -> Mapping[str, int]:
        """When each site was last heard, Unix milliseconds."""
        return dict(await self._database.run(lambda sql: sql.execute("SELECT site, at FROM heard").fetchall()))

    async def keep_heard(self, site: str, at: int) -> None:
        """Record when a site was heard; durable on return."""
        await self._database.run(lambda sql: sql.execute("REPLACE INTO heard VALUES (?, ?)", (site, at)))
