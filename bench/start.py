"""A node's start: from before its process is made until its local interface answers ``/status``.

One alone is promised within 4 s, four at once within 8 s (from the first process to the last answer). Beside each:
as many processes at once that only import what a node cannot do without, libp2p and starlette.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bench.figure import Figure, Floor, Report, Series
from bench.process import python, run_seconds
from bench.workplace import workplace
from devnet.launch import await_node, make_sites, start_node
from devnet.process import end
from devnet.topology import Institution, Places, topology

RUNS = 5
ALL = 4
_IMPORTS = "import libp2p, starlette.applications"


def measure() -> Report:
    """Measure both; the first start is not counted, since it may compile bytecode."""
    with workplace() as folder:
        places, known = Places(folder), topology(ALL)
        make_sites(places, known)
        _start(places, known.sites[:1])
        return Report(
            (
                _figure("one node, start to answer", places, known.sites[:1], 4_000),
                _figure("five nodes at once, start to the last answer", places, known.sites, 8_000),
            )
        )


def _figure(what: str, places: Places, sites: tuple[Institution, ...], floor: float) -> Figure:
    pairs = [(_start(places, sites), run_seconds(*(python("-c", _IMPORTS) for _ in sites))) for _ in range(RUNS)]
    count = "" if len(sites) == 1 else f" by {len(sites)} at once"
    return Figure(
        what,
        Series.of_seconds("comity site run", [pair[0] for pair in pairs]),
        Series.of_seconds(f"import libp2p, starlette{count}", [pair[1] for pair in pairs]),
        Floor(floor),
    )


def _start(places: Places, sites: tuple[Institution, ...]) -> float:
    """Seconds until all answer; they are stopped again, which is not counted."""
    began = time.perf_counter()
    processes = [start_node(places, each) for each in sites]
    try:
        with ThreadPoolExecutor(len(sites)) as threads:
            list(threads.map(await_node, [places] * len(sites), sites, processes))
        return time.perf_counter() - began
    finally:
        end(processes)
