"""Keeping what was read of the members' catalogs between two runs (the port ``Keeps``), and taking it up again.

What is taken up was read of the very log that lies here: the same name, and at that size the same root. All else,
and what came since it was kept, is read from the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from catalog.index import SiteIndex
from catalog.reading import Reading
from node.log import Log
from node.storage.stored import StoredLog
from node.storage.versions import Mark, Past, StoredVersions, VersionStore

LEAST: Final = 256
"""Leaves after which what was read is kept: a start reads as many again in some 20 ms."""


FEW: Final = 16
"""Entries that are looked up one by one."""


class Keeping:
    """Keeps in ``store``."""

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._turn = trio.Lock()
        self._kept: dict[str, tuple[str, int]] = {}

    async def look_ahead(self, index: SiteIndex, readings: Sequence[Reading]) -> None:
        """See the port.

        Raises:
            VerificationFailed: the file is damaged.
        """
        entries = [reading.entry for reading in readings if reading.entry is not None]
        if isinstance(index.versions, StoredVersions) and len(entries) >= FEW:
            await trio.to_thread.run_sync(index.versions.look_ahead, entries)

    async def spill(self, index: SiteIndex) -> None:
        """See the port.

        Raises:
            ComityError: the disk refused. VerificationFailed: the file is damaged.
        """
        if isinstance(index.versions, StoredVersions) and index.versions.taken >= LEAST:
            async with self._turn:
                await trio.to_thread.run_sync(index.versions.spill)

    async def keep(self, log: Log, index: SiteIndex) -> None:
        """Keep what ``index`` read of ``log``, once there is enough of it or it was read anew.

        Raises:
            ComityError: the disk refused. VerificationFailed: the file, or a tile of the log, is damaged.
        """
        versions = index.versions
        if not isinstance(versions, StoredVersions):
            return
        name, size = self._kept.get(index.root, ("", 0))
        if versions.name == name and index.size - size < LEAST:
            return
        kept = index.kept()
        mark = Mark(origin=log.origin, root=await log.root_at(kept.size))
        async with self._turn:
            await trio.to_thread.run_sync(self._store.keep, mark, kept, versions)
        self._kept[index.root] = versions.name, kept.size

    async def take_up(self, log: StoredLog, index: SiteIndex) -> None:
        """Let ``index``, which is empty, go on where an earlier run kept it, if that was of this log.

        Raises:
            VerificationFailed: a tile of the log is damaged.
        """
        past = await trio.to_thread.run_sync(self._store.past, index.root)
        if past is not None and await self._fits(log, past):
            index.reload(past.index, past.versions)
            self._kept[index.root] = past.versions.name, past.index.size

    async def _fits(self, log: StoredLog, past: Past) -> bool:
        size = past.index.size
        if log.origin != past.mark.origin or size > log.size or await log.root_at(size) != past.mark.root:
            return False
        unread = await trio.to_thread.run_sync(past.versions.unread)
        return not await log.any_body(unread)  # one that came late changes what counts after it

    async def expunge(self, index: SiteIndex) -> None:
        """Leave nothing on the disk of what ``index`` forgot.

        Raises:
            Conflict: another process reads the file. ComityError: the disk refused.
        """
        async with self._turn:
            await trio.to_thread.run_sync(self._store.expunge, index.root, index.keys.stolen)
        self._kept.pop(index.root, None)  # what was kept may be gone with it

    def close(self) -> None:
        """Close the file."""
        self._store.close()
