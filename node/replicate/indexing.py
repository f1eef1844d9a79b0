"""Feeding the index of a site from its log: the one place where an entry begins to count.

Reading leaves and checking signatures is done aside, in chunks; only what depends on the leaves before is done in line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from catalog.error import VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.reading import Reading, read_leaves
from node.log import Log
from node.replication import Counting, Keeps, Reads

T = TypeVar("T")

CHUNK: Final = 1024
"""Leaves read at once: half a megabyte, 64 MiB if every body is as large as it may be."""


KEEP: Final = 16 * CHUNK
"""Leaves after which what was read of a long log is kept."""


async def at_once(work: Callable[[], T]) -> T:
    """Run ``work`` here and now: the port ``Aside`` where nobody else waits."""
    return work()


async def read_here(site: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
    """Read leaves here and now: the port ``Reads`` where nobody else waits."""
    return read_leaves(site, start, rows)


class Nowhere:
    """Leaves everything in memory: the port ``Keeps`` of whoever reads a log once."""

    async def look_ahead(self, index: SiteIndex, readings: Sequence[Reading]) -> None:
        """See the port."""

    async def spill(self, index: SiteIndex) -> None:
        """See the port."""

    async def keep(self, log: Log, index: SiteIndex) -> None:
        """See the port."""


NOWHERE: Final = Nowhere()


@dataclass(frozen=True, slots=True)
class Feeding:
    """What feeding an index works with: who reads leaves, where what was read goes, and who hears of what counts."""

    read: Reads = read_here
    keeps: Keeps = NOWHERE
    told: Counting | None = None


ALONE: Final = Feeding()
"""Here and now, for nobody else."""


async def index_log(log: Log, index: SiteIndex, feeding: Feeding = ALONE, stop: int | None = None) -> int:
    """Feed ``index`` what the log holds beyond it, up to leaf ``stop`` if given; the number of leaves taken.

    Whoever is told hears of the entries that count, chunk after chunk.
    """
    before = index.size
    end = log.size if stop is None else min(stop, log.size)
    while index.size < end:
        await _feed(log, index, feeding, min(index.size + KEEP, end))
        await feeding.keeps.keep(log, index)
    return index.size - before


async def index_anew(log: Log, indexes: Index, site: str, feeding: Feeding = ALONE) -> None:
    """Feed the index of ``site`` from its log's first leaf again, because what counts there changed backwards.

    It is filled beside the old one and then put in its place: an index on its way through the log says what counted
    once, and decisions are taken meanwhile. Until then the old one is what is kept.
    """
    current = anew = indexes.site(site)
    while anew is current or anew.due:  # a removal of a key that reaches back is known only once it was read
        anew = anew.anew()
        if feeding.told is not None:
            await feeding.told.begin(site)
        await _feed(log, anew, feeding, log.size)
    current.become(anew)
    await feeding.keeps.keep(log, current)


async def _feed(log: Log, index: SiteIndex, feeding: Feeding, end: int) -> None:
    while index.size < end:
        readings = await _read(log, index.root, index.size, min(index.size + CHUNK, end), feeding.read)
        await feeding.keeps.look_ahead(index, readings)
        entries = [entry for reading in readings if (entry := index.take(reading)) is not None]
        if feeding.told is not None and entries:
            await feeding.told.counted(index.root, entries)
        await feeding.keeps.spill(index)


async def _read(log: Log, site: str, start: int, stop: int, read: Reads) -> list[Reading]:
    try:
        rows = await log.read(start, stop)
    except VerificationFailed as error:
        if stop - start == 1:
            return [Reading(start, "", fault=str(error), unread=True)]
        # Something of it is damaged on our own disk: what is not is read all the same.
        return [reading for index in range(start, stop) for reading in await _read(log, site, index, index + 1, read)]
    return await read(site, start, [(leaf, stored and stored[1]) for leaf, stored in rows])
