"""What a node grows by when its members publish a million entries: read, verified, counted, kept, and searchable.

Eight sites, each dataset another one. Promised are at most 150 MiB more of resident memory than before the first entry;
the reference is all bodies, as if they were held. A start over the same files is measured too: what it takes until
everything counts and can be searched again.
"""

from __future__ import annotations

import subprocess
import time
from functools import partial
from pathlib import Path

import trio

from bench.catchup import KEYS, Newcomer, resident
from bench.figure import Figure, Floor, Report, Series
from bench.process import python
from bench.workplace import workplace
from catalog.error import ComityError
from catalog.origin import LogName, origin_of
from node.site.together import side_by_side
from node.storage.replica import ReplicaLog

ENTRIES = 1_000_000
MIB = 1 << 20


def measure() -> Report:
    """Measure growth and start."""
    each = ENTRIES // len(KEYS)
    with workplace() as folder:
        for first in range(0, len(KEYS), 2):
            made = [
                subprocess.Popen(python("-m", "bench.catalogs", str(folder / str(number)), str(number), str(each)))
                for number in (first, first + 1)
            ]
            if any(process.wait() for process in made):
                raise ComityError("a catalog could not be written")
        read, grown = trio.run(_read, folder)
        started, again = trio.run(_read, folder)
        held = sum(path.stat().st_size for path in folder.glob("*/bodies.db"))
    figures = (
        Figure(
            f"memory after {ENTRIES:,} entries, MiB",
            Series("grown by", (grown / MIB,)),
            Series("all bodies", (held / MIB,)),
            Floor(150),
            "MiB",
        ),
        Figure(
            "a start over them",
            Series.of_seconds("taken up", [started]),
            Series.of_seconds("reading them the first time", [read]),
        ),
    )
    return Report(figures, (f"after the start: {again / MIB:.0f} MiB more than before it",))


async def _read(folder: Path) -> tuple[float, int]:
    """Seconds until everything in ``folder`` counts and can be found, and bytes by which this process grew."""
    newcomer = await trio.to_thread.run_sync(Newcomer, folder, None)
    for number, (site, node) in enumerate(KEYS.items()):
        replica = await ReplicaLog.open(folder / str(number), origin_of(site, LogName.CATALOG), node)
        newcomer.replicas[site] = replica
    before, began = resident(), time.perf_counter()
    await side_by_side([partial(newcomer.started, site) for site in KEYS])
    seconds, grown = time.perf_counter() - began, resident() - before
    await newcomer.aclose()
    return seconds, grown
