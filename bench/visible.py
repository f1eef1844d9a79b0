"""How soon an entry that one of eight sites publishes is seen by all, and what it costs each node; real processes.

- **Seen by all**: from the steward's call at one site until the local interfaces of all the others show the entry.
  Promised within 300 ms for 95 of 100 entries, on loopback. What is between: signing, the append with its flushes,
  gossip, and at each node a round with the author: checkpoint, tiles, body, index. The reference is the steward's
  call alone, which returns once the entry is durable at home. The other sites are asked only after the files of their
  replicas have changed, so that asking does not slow what is measured.
- **A hundred at once**: the processor time of a node for each entry beyond what it uses idle, promised at most 3 ms.
- **A lone entry**: the same for entries that come one by one.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figure import Figure, Floor, Report, Series
from bench.workplace import workplace
from catalog.error import ComityError, Unreachable
from devnet.founding import found
from devnet.launch import make_sites, start_nodes
from devnet.process import Process, end
from devnet.publication import as_steward
from devnet.state import read_state
from devnet.topology import Institution, Places, Topology, topology
from node.api.client import Node

SITES = 8
ENTRIES = 60
AT_ONCE = 100
WARM_UP = 5
_PATIENCE_SECONDS = 30.0
_SETTLING_SECONDS = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


def measure() -> Report:
    """Measure all three."""
    with workplace() as folder:
        places, known = Places(folder), topology(SITES)
        make_sites(places, known)
        try:
            state = start_nodes(places, known)
            found(places, known)
            return _measure(places, known, state.processes)
        finally:
            # As recorded: a node that did not start leaves the others running.
            stubborn = end(read_state(places).processes.values())
            if stubborn:
                raise ComityError(f"{len(stubborn)} nodes had to be killed; see their logs")


def _measure(places: Places, known: Topology, processes: Mapping[str, Process]) -> Report:
    author, others = known.hospitals[0], [each for each in known.sites if each is not known.hospitals[0]]
    witnesses = {each.handle: processes[each.handle] for each in others}
    with ThreadPoolExecutor(len(others)) as threads, as_steward(places, author) as steward:
        watchers = [_Watcher(places, each, steward.site) for each in others]
        for number in range(WARM_UP):
            _publish(steward, number)
        list(threads.map(lambda each: each.until(steward.status().logs[0].size), watchers))
        idle = _idle(witnesses)
        before, began = _used(witnesses), time.monotonic()
        seen, written = [], []
        for number in range(ENTRIES):
            start = time.perf_counter()
            size = 1 + _publish(steward, WARM_UP + number)
            written.append(time.perf_counter() - start)
            arrived = list(threads.map(lambda each, size=size: each.until(size), watchers))
            seen.append(max(arrived) - start)
        lone = _beyond(before, _used(witnesses), idle, time.monotonic() - began, ENTRIES)
        together = _together(places, author, watchers, witnesses, idle, threads)
        for watcher in watchers:
            watcher.close()
    slowest = sorted(seen)[int(0.95 * len(seen))]
    return Report(
        (
            Figure(
                "one entry, published until 7 sites see it",
                Series.of_seconds("seen by all", seen),
                Series.of_seconds("the call alone", written),
            ),
            Figure(
                "of 100, the 95th",
                Series.of_seconds("95th of 100", [slowest]),
                Series.of_seconds("the call alone", [sorted(written)[int(0.95 * len(written))]]),
                Floor(300),
            ),
            Figure(
                "processor time of a node for an entry of 100 at once",
                Series.of_seconds("each node", list(together.values())),
                Series.of_seconds("for a lone one", list(lone.values())),
                Floor(3),
            ),
        ),
        (
            f"idle, a node uses {statistics.median(idle.values()) * 100:.1f} % of a processor, with"
            f" {SITES - 1} others to follow",
        ),
    )


def _publish(steward: Node, number: int) -> int:
    """One small entry: a new version of the site's offer. Its place."""
    return steward.set_offer(f"0.{number % 90 + 10}")


def _together(
    places: Places,
    author: Institution,
    watchers: Iterable[_Watcher],
    witnesses: Mapping[str, Process],
    idle: Mapping[str, float],
    threads: ThreadPoolExecutor,
) -> dict[str, float]:
    """Seconds of processor for each entry and node when many are published side by side."""
    people = ThreadPoolExecutor(16)
    before, began = _used(witnesses), time.monotonic()

    def one(number: int) -> None:
        with as_steward(places, author) as steward:
            steward.new_project(f"project {number}", [steward.person], "DUO:0000042", until="30d")

    with people:
        list(people.map(one, range(AT_ONCE)))
    with as_steward(places, author) as steward:
        size = steward.status().logs[0].size
    list(threads.map(lambda each: each.until(size), watchers))
    return _beyond(before, _used(witnesses), idle, time.monotonic() - began, AT_ONCE)


class _Watcher:
    """Waits until a site shows ``author``'s log at a size; it asks only once the files of its replica have changed."""

    def __init__(self, places: Places, institution: Institution, author: str) -> None:
        self._node = Node.at(places.site(institution).path)
        self._replica = places.site(institution).replicas
        self._name = institution.name
        self._author = author

    def until(self, size: int) -> float:
        """The moment at which this site shows ``size`` entries.

        Raises:
            Unreachable: it does not within half a minute.
        """
        limit = time.perf_counter() + _PATIENCE_SECONDS
        state, changed = self._state(), time.perf_counter()
        while time.perf_counter() < limit:
            if (now := self._state()) != state:
                state, changed = now, time.perf_counter()
            # The index follows the last of the files by a moment.
            if time.perf_counter() - changed < _SETTLING_SECONDS and self._shows() >= size:
                return time.perf_counter()
            time.sleep(0.002)
        raise Unreachable(f"{self._name} does not show the entry within {_PATIENCE_SECONDS:.0f} s")

    def close(self) -> None:
        """Give the connection back."""
        self._node.close()

    def _shows(self) -> int:
        return next((each.entries for each in self._node.members() if each.site == self._author), 0)

    def _state(self) -> tuple[int, ...]:
        return tuple(sorted(_modified(path) for path in self._replica.glob("*/*")))


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _used(processes: Mapping[str, Process]) -> dict[str, float]:
    """Seconds of processor that each process has used."""
    return {name: _cpu(process) for name, process in processes.items()}


def _cpu(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _idle(processes: Mapping[str, Process], seconds: float = 8.0) -> dict[str, float]:
    """The share of a processor that each uses when nothing is published."""
    before = _used(processes)
    time.sleep(seconds)
    return {name: (used - before[name]) / seconds for name, used in _used(processes).items()}


def _beyond(
    before: Mapping[str, float], after: Mapping[str, float], idle: Mapping[str, float], seconds: float, entries: int
) -> dict[str, float]:
    return {name: max(0.0, after[name] - before[name] - idle[name] * seconds) / entries for name in before}
