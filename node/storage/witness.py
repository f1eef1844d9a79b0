"""What this site has cosigned of each log, and the evidence against those that contradicted themselves."""

from __future__ import annotations

from node.ports import Seen
from node.storage.database import Database


class WitnessMemory:
    """The ``Memory`` port of the witness over the site's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, origin: str) -> Seen | None:
        """What was cosigned last of a log, if anything."""
        row = await self._database.run(
            lambda sql: sql.execute("SELECT size, root, note FROM seen WHERE origin = ?", (origin,)).fetchone()
        )
        return None if row is None else Seen(*row)

    async def remember(self, origin: str, seen: Seen, note: str) -> None:
        """Record what is about to be cosigned; durable on return."""
        await self._database.run(
            lambda sql: sql.execute("REPLACE INTO seen VALUES (?, ?, ?, ?)", (origin, seen.size, seen.root, note))
        )

    async def accuse(self, origin: str, ours: str, theirs: str, reason: str) -> None:
        """Keep two histories that contradict each other; the same evidence is kept once."""
        await self._database.run(
            lambda sql: sql.execute(
                "INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", (origin, ours, theirs, reason)
            )
        )

    async def evidence(self) -> list[tuple[str, str]]:
        """Every accusation: the log's origin and the reason."""
        return await self._database.run(lambda sql: sql.execute("SELECT origin, reason FROM evidence").fetchall())
