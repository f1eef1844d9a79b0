"""Feeding the index of a site from its log: the one place where an entry begins to count.

Reading leaves and checking signatures is done aside, in chunks; only what depends on the leaves before is done in line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from catalog.error import VerificationFailed
from catalog.index import Index, SiteIndex
from catalog.reading import Proof, Reading, prove, read_leaves
from node.log import Log
from node.replication import Counting, Reads

T = TypeVar("T")

CHUNK: Final = 1024
"""Leaves read at once: half a megabyte, 64 MiB if every body is as large as it may be."""


async def at_once(work: Callable[[], T]) -> T:
    """Run ``work`` here and now: the port ``Aside`` where nobody else waits."""
    return work()


async def read_here(site: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
    """Read leaves here and now: the port ``Reads`` where nobody else waits."""
    proofs = [Proof() if body is None else prove(body) for _, body in rows]
    return read_leaves(site, start, rows, proofs)


async def index_log(
    log: Log, index: SiteIndex, told: Counting | None = None, read: Reads = read_here, stop: int | None = None
) -> int:
    """Feed ``index`` what the log holds beyond it, up to leaf ``stop`` if given; the number of leaves taken.

    ``told`` hears of the entries that count, chunk after chunk.
    """
    before = index.size
    end = log.size if stop is None else min(stop, log.size)
    while index.size < end:
        readings = await _read(log, index.root, index.size, min(index.size + CHUNK, end), read)
        entries = [entry for reading in readings if (entry := index.take(reading)) is not None]
        if told is not None and entries:
            await told.counted(index.root, entries)
    return index.size - before


async def index_anew(log: Log, indexes: Index, site: str, told: Counting | None, read: Reads) -> None:
    """Feed the index of ``site`` from its log's first leaf again, because what counts there changed backwards.

    It is filled beside the old one and then put in its place: an index on its way through the log says what counted
    once, and decisions are taken meanwhile.
    """
    current = anew = indexes.site(site)
    while anew is current or anew.due:  # a removal of a key that reaches back is known only once it was read
        anew = anew.anew()
        if told is not None:
            await told.begin(site)
        await index_log(log, anew, told, read)
    current.become(anew)


async def _read(log: Log, site: str, start: int, stop: int, read: Reads) -> list[Reading]:
    try:
        rows = await log.read(start, stop)
    except VerificationFailed as error:
        if stop - start == 1:
            return [Reading(start, "", fault=str(error), unread=True)]
        # Something of it is damaged on our own disk: what is not is read all the same.
        return [reading for index in range(start, stop) for reading in await _read(log, site, index, index + 1, read)]
    return await read(site, start, [(leaf, stored and stored[1]) for leaf, stored in rows])
