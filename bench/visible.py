"""How soon an entry that one of eight sites publishes is seen by all, and what it costs each node; real processes.

The eight sites publish; a ninth only witnesses, and sees what they publish as the others do.

- **Seen by all**: from the steward's call at one site until the local interfaces of all the others show the entry.
  Promised within 300 ms for 95 of 100 entries, on loopback. What is between: signing, the append with its flushes,
  the checkpoint put before each member with the entry, what the member verifies and keeps of it. The reference is the
  steward's call alone, which returns once the entry is durable at home. A site is asked as soon as the checkpoint file
  of its replica covers the entry, and not before, so that asking does not slow what is measured.
- **A hundred at once**: the processor time of a node for each entry beyond what it uses idle, promised at most 3 ms.
- **A lone entry**: the same for entries that come one by one, with its parts, from samples of the nodes' stacks.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.figure import Figure, Floor, Report, Series
from bench.parts import by_part
from bench.sampled import read_samples, sampled
from bench.workplace import workplace
from catalog.error import ComityError, Unreachable
from devnet.founding import found
from devnet.launch import make_sites, start_nodes
from devnet.process import Process, end, start
from devnet.publication import as_steward
from devnet.state import read_state
from devnet.topology import Institution, Places, Topology, topology
from node.api.client import Node

SITES = 8
ENTRIES = 100
AT_ONCE = 100
STEWARDS = 16
WARM_UP = 5
IDLE_SECONDS = 8.0
APART_SECONDS = 0.25
"""Between two lone entries: what the one before still causes, such as its cosignatures, is over by then."""

_PATIENCE_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def measure() -> Report:
    """Measure all three."""
    with workplace() as folder:
        places, known = Places(folder), topology(SITES)
        make_sites(places, known)
        try:
            state = start_nodes(places, known, _start)
            found(places, known)
            return _Bench(places, known, state.processes).measure()
        finally:
            # As recorded: a node that did not start leaves the others running.
            stubborn = end(read_state(places).processes.values())
            if stubborn:
                raise ComityError(f"{len(stubborn)} nodes had to be killed; see their logs")


def _start(places: Places, institution: Institution) -> Process:
    site = str(places.site(institution).path)
    return start(sampled(_samples(places, institution.handle), "site", "run", site), places.log(institution))


def _samples(places: Places, handle: str) -> Path:
    return places.path / f"{handle}.samples"


@dataclass(frozen=True, slots=True)
class _Used:
    """What each node has used by a moment, by handle: seconds of processor, and microseconds by part."""

    at: float
    seconds: Mapping[str, float]
    parts: Mapping[str, Counter[str]]


class _Bench:
    """Eight sites and a witness that run; the first of them publishes."""

    def __init__(self, places: Places, known: Topology, processes: Mapping[str, Process]) -> None:
        self._places = places
        self._processes = processes
        self._author = known.hospitals[0]
        self._others = [each for each in known.sites if each is not self._author]

    def measure(self) -> Report:
        """Publish one by one, then many at once."""
        with ExitStack() as stack:
            steward = stack.enter_context(as_steward(self._places, self._author))
            threads = stack.enter_context(ThreadPoolExecutor(max(len(self._others), STEWARDS)))
            nodes = {each.handle: stack.enter_context(Node.at(self._places.site(each).path)) for each in self._others}
            watchers = _Watchers(self._files(steward.site), nodes, steward.site, threads)
            for number in range(WARM_UP):
                _publish(steward, number)
            watchers.until(steward.status().logs[0].size)
            began = self._used()
            time.sleep(IDLE_SECONDS)
            idle = self._used()
            seen, written = self._one_by_one(steward, watchers)
            lone = self._used()
            self._at_once(stack, threads)
            watchers.until(steward.status().logs[0].size)
            time.sleep(APART_SECONDS)
            return self._report(seen, written, (began, idle, lone, self._used()))

    def _one_by_one(self, steward: Node, watchers: _Watchers) -> tuple[list[float], list[float]]:
        seen, written = [], []
        for number in range(ENTRIES):
            start = time.perf_counter()
            size = 1 + _publish(steward, WARM_UP + number)
            written.append(time.perf_counter() - start)
            seen.append(watchers.until(size) - start)
            time.sleep(APART_SECONDS)
        return seen, written

    def _at_once(self, stack: ExitStack, threads: ThreadPoolExecutor) -> None:
        """Many entries by several clients side by side."""
        stewards = [stack.enter_context(as_steward(self._places, self._author)) for _ in range(STEWARDS)]

        def some(place: int) -> None:
            for number in range(place, AT_ONCE, STEWARDS):
                steward = stewards[place]
                steward.new_project(f"project {number}", [steward.person], "DUO:0000042", until="30d")

        list(threads.map(some, range(STEWARDS)))

    def _files(self, author: str) -> Mapping[str, Path]:
        """Where each of the others keeps the checkpoint of its replica of the author's catalog."""
        name = author.rpartition(":")[2]
        return {each.handle: self._places.site(each).replicas / name / "checkpoint" for each in self._others}

    def _used(self) -> _Used:
        stacks = {name: read_samples(each, _samples(self._places, name)) for name, each in self._processes.items()}
        seconds = {name: _cpu(process) for name, process in self._processes.items()}
        return _Used(time.monotonic(), seconds, {name: by_part(each) for name, each in stacks.items()})

    def _report(
        self, seen: Sequence[float], written: Sequence[float], used: tuple[_Used, _Used, _Used, _Used]
    ) -> Report:
        began, idle, lone, together = used
        rest = (began, idle)
        others = [each.handle for each in self._others]
        author = self._author.handle
        each_lone = {name: _beyond(name, idle, lone, rest, ENTRIES) for name in self._processes}
        each_together = {name: _beyond(name, lone, together, rest, AT_ONCE) for name in self._processes}
        shares = [_share(name, began, idle) for name in self._processes]
        return Report(
            (
                Figure(
                    f"one entry, published until {len(others)} others show it",
                    Series.of_seconds("seen by all", seen),
                    Series.of_seconds("the call alone", written),
                ),
                Figure(
                    "of 100, the 95th",
                    Series.of_seconds("95th of 100", [_of_100(95, seen)]),
                    Series.of_seconds("the call alone", [_of_100(95, written)]),
                    Floor(300),
                ),
                Figure(
                    "processor time of a node for an entry of 100 at once",
                    Series.of_seconds("each node", [each_together[name] for name in others]),
                    Series.of_seconds("for a lone one", [each_lone[name] for name in others]),
                    Floor(3),
                ),
                Figure(
                    "the same of the node that publishes them",
                    Series.of_seconds("the author", [each_together[author]]),
                    Series.of_seconds("for a lone one", [each_lone[author]]),
                ),
            ),
            (
                f"idle, a node uses {statistics.median(shares) * 100:.1f} % of a processor, with"
                f" {len(others)} others to follow",
                f"a lone entry, in ms of each of the others: {_parts(others, idle, lone, rest)}",
                f"and of the author: {_parts([author], idle, lone, rest)}",
            ),
        )


class _Watchers:
    """Waits until sites show ``author``'s log at a size. ``files`` are the checkpoints of their replicas, by handle."""

    def __init__(
        self, files: Mapping[str, Path], nodes: Mapping[str, Node], author: str, threads: ThreadPoolExecutor
    ) -> None:
        self._files = files
        self._nodes = nodes
        self._author = author
        self._threads = threads

    def until(self, size: int) -> float:
        """The moment at which the last of the sites shows ``size`` entries.

        Raises:
            Unreachable: one does not within half a minute.
        """
        limit = time.perf_counter() + _PATIENCE_SECONDS
        waiting, asked = dict(self._files), list[Future[float]]()
        while waiting:
            if time.perf_counter() > limit:
                raise Unreachable(f"{', '.join(waiting)} did not get the entry within {_PATIENCE_SECONDS:.0f} s")
            for name in [name for name, file in waiting.items() if _size(file) >= size]:
                del waiting[name]
                asked.append(self._threads.submit(self._shown, name, size, limit))
            time.sleep(0.001)
        return max(each.result() for each in asked)

    def _shown(self, name: str, size: int, limit: float) -> float:
        """The moment at which a site shows the entry that its replica has: the index follows the files by a moment."""
        while time.perf_counter() < limit:
            members = self._nodes[name].members()
            if next((each.entries for each in members if each.site == self._author), 0) >= size:
                return time.perf_counter()
            time.sleep(0.002)
        raise Unreachable(f"{name} does not show the entry within {_PATIENCE_SECONDS:.0f} s")


def _publish(steward: Node, number: int) -> int:
    """One small entry: a new version of the site's offer. Its place."""
    return steward.set_offer(f"0.{number % 90 + 10}")


def _size(checkpoint: Path) -> int:
    """How many entries a checkpoint file covers; it is replaced whole."""
    try:
        return int(checkpoint.read_text().split("\n", 2)[1])
    except FileNotFoundError:
        return 0


def _cpu(process: Process) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _of_100(place: int, seconds: Sequence[float]) -> float:
    return sorted(seconds)[max(0, place * len(seconds) // 100 - 1)]


def _share(name: str, before: _Used, after: _Used) -> float:
    """The share of a processor that a node used between two moments."""
    return (after.seconds[name] - before.seconds[name]) / (after.at - before.at)


def _beyond(name: str, before: _Used, after: _Used, rest: tuple[_Used, _Used], entries: int) -> float:
    """Seconds of processor of a node for each entry, beyond what it uses at rest."""
    used = after.seconds[name] - before.seconds[name]
    return max(0.0, used - _share(name, *rest) * (after.at - before.at)) / entries


def _parts(names: Sequence[str], before: _Used, after: _Used, rest: tuple[_Used, _Used]) -> str:
    """What a lone entry costs each of these nodes in each part, beyond what that uses at rest, in words."""
    scale = (after.at - before.at) / (rest[1].at - rest[0].at)
    micros: Counter[str] = Counter()
    for name in names:
        for part in after.parts[name]:
            used = after.parts[name][part] - before.parts[name][part]
            micros[part] += round(used - scale * (rest[1].parts[name][part] - rest[0].parts[name][part]))
    millis = {part: used / 1000 / ENTRIES / len(names) for part, used in micros.most_common()}
    named = ", ".join(f"{part} {used:.1f}" for part, used in millis.items() if abs(used) >= 0.05)
    return f"{sum(millis.values()):.1f}: {named}"
