"""Feeding the index of a site from its log: the one place where an entry begins to count.

Reading leaves and checking signatures is done aside, in chunks; only what depends on the leaves before is done in line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from catalog.entry import Entry
from catalog.error import Damaged
from catalog.index import Index, SiteIndex
from catalog.reading import Reading, read_leaves
from node.log import Log
from node.replication import Counting, Keeps, Reads, Turns

T = TypeVar("T")

CHUNK: Final = 1024
"""Leaves read at once: half a megabyte, 64 MiB if every body is as large as it may be."""


KEEP: Final = 16 * CHUNK
"""Leaves after which what was read of a long log is kept."""


async def at_once(work: Callable[[], T]) -> T:
    """Run ``work`` here and now: the port ``Aside`` where nobody else waits."""
    return work()


async def read_here(origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
    """Read leaves here and now: the port ``Reads`` where nobody else waits."""
    return read_leaves(origin, start, rows)


class Nowhere:
    """Leaves everything in memory: the port ``Keeps`` of whoever reads a log once."""

    async def look_ahead(self, index: SiteIndex, readings: Sequence[Reading]) -> None:
        """See the port."""

    async def spill(self, index: SiteIndex) -> None:
        """See the port."""

    async def keep(self, log: Log, index: SiteIndex) -> None:
        """See the port."""


NOWHERE: Final = Nowhere()


class OneTurn:
    """Takes all the time that it needs: the port ``Turns`` where nobody else waits."""

    @property
    def over(self) -> bool:
        """See the port."""
        return False

    async def next(self) -> None:
        """See the port."""


ONE_TURN: Final = OneTurn()


@dataclass(frozen=True, slots=True)
class Feeding:
    """What feeding an index works with: who reads leaves, where what was read goes, who hears of what counts.

    ``turns`` says when others are to have theirs.
    """

    read: Reads = read_here
    keeps: Keeps = NOWHERE
    told: Counting | None = None
    turns: Turns = ONE_TURN


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
    readings = [current.versions]
    try:
        while anew is current or anew.due:  # a removal of a key that reaches back is known only once it was read
            anew = anew.anew()
            readings.append(anew.versions)
            if feeding.told is not None:
                await feeding.told.begin(site)
            await _feed(log, anew, feeding, log.size)
        current.become(anew)
    finally:
        for reading in readings:
            if reading is not current.versions:
                reading.discard()
    await feeding.keeps.keep(log, current)


async def _feed(log: Log, index: SiteIndex, feeding: Feeding, end: int) -> None:
    while index.size < end:
        readings = await _read(log, index.size, min(index.size + CHUNK, end), feeding.read)
        await feeding.keeps.look_ahead(index, readings)
        left = deque(readings)
        entries: list[Entry] = []
        try:
            while left:
                await feeding.turns.next()
                _take(index, left, feeding.turns, entries)
        finally:
            # All at once, for keeping many small parts costs several times as much; and whatever stopped this reading,
            # for what counts is told once.
            if feeding.told is not None and entries:
                await feeding.told.counted(index.root, entries)
        await feeding.keeps.spill(index)


def _take(index: SiteIndex, left: deque[Reading], turns: Turns, entries: list[Entry]) -> None:
    """Take readings out of ``left`` until the turn is over, and put what counts into ``entries``."""
    while left:
        entry = index.take(left.popleft())
        if entry is not None:
            entries.append(entry)
        if turns.over:
            return


async def _read(log: Log, start: int, stop: int, read: Reads) -> list[Reading]:
    try:
        rows = await log.read(start, stop)
    except Damaged as error:
        if stop - start == 1:
            return [Reading(start, "", fault=str(error))]
        # Something of it is damaged on our own disk: what is not is read all the same.
        return [reading for index in range(start, stop) for reading in await _read(log, index, index + 1, read)]
    return await read(log.origin, start, [(leaf, stored and stored[1]) for leaf, stored in rows])
