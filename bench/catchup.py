"""A new member catches up: 100,000 entries of 8 sites over real HTTPS, their bodies, the index over them, the search.

All four together are promised within 10 s, each site's one after the other and the sites side by side, as a node does
it. Then each part for all sites by itself, beside what it cannot be faster than on this machine with this interpreter:
the same bytes over one such TLS connection in one piece; the hashes of the leaves alone; decoding each body and
verifying its signature, one after the other, with nothing around them; the words alone in a full-text table. The
servers are processes of their own.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from bench.catalogs import keys_of
from bench.catalogserver import RAW
from bench.figure import Figure, Floor, Report, Series
from bench.process import python
from bench.workplace import workplace
from catalog.body import Body, message_in, read_body
from catalog.checkpoint import open_checkpoint
from catalog.index import Index
from catalog.key import PrivateKey, verify
from catalog.merkle import leaf_hash
from catalog.origin import LogName, origin_of
from node.network.bulk import BulkClient
from node.replicate.catchup import Sender, fetch_bodies, fetch_leaves
from node.replicate.indexing import Feeding, index_log
from node.site.finding import Finding
from node.site.keeping import Keeping
from node.site.provers import Provers
from node.site.together import aside, side_by_side
from node.storage.replica import ReplicaLog
from node.storage.search import SearchStore
from node.storage.versionstore import VersionStore
from node.system import SystemClock, SystemRandom

SITES = 8
ENTRIES = 100_000
KEYS = {root.did: node.did for root, node, _ in map(keys_of, range(SITES))}
"""The node key of each site, by its root key."""
RUNS = 3
FLOOR = 10_000


@dataclass(frozen=True, slots=True)
class Direct:
    """The ``Bulk`` port over addresses that are known."""

    client: BulkClient
    ports: Sequence[int]

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """Fetch from the server of ``site``."""
        port = self.ports[list(KEYS).index(site)]
        return await self.client.get(KEYS[site], f"https://127.0.0.1:{port}", path, limit=limit)


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of each step, one after the other, and bytes by which this process grew."""

    seconds: tuple[float, ...]
    grown: int


def measure() -> Report:
    """Measure the whole and the three parts, several times, each with its bound."""
    with workplace() as folder, _servers(folder, ENTRIES // SITES) as ports:
        whole = [trio.run(_catch_up, folder / f"whole{run}", ports, False) for run in range(RUNS)]
        parts = [trio.run(_catch_up, folder / f"parts{run}", ports, True) for run in range(RUNS)]
        leaves, bodies = _stored(folder / "whole0")
        size = sum(map(len, bodies)) + 32 * len(bodies)
        raw = [trio.run(_raw, ports, size) for _ in range(RUNS)]
    hashing = [_timed(lambda: [leaf_hash(leaf) for leaf in leaves]) for _ in range(RUNS)]
    reading = [_timed(lambda: [_verified(body) for body in bodies]) for _ in range(RUNS)]
    bare = [_bare(bodies) for _ in range(RUNS)]
    logs, brought, index, found = ([run.seconds[part] for run in parts] for part in range(4))
    bound = [sum(each) for each in zip(raw, hashing, reading, strict=True)]
    what = f"a new member: {ENTRIES:,} entries of {SITES} sites"
    ours = _series("logs, bodies, index, search", [run.seconds[0] for run in whole])
    grown = parts[0].grown
    return Report(
        (
            Figure(what, ours, _series("the three bounds on one processor", bound), Floor(FLOOR)),
            Figure("their logs", _series("tiles, verified and durable", logs), _series("hashing the leaves", hashing)),
            Figure("their bodies", _series("opened and durable", brought), _series("the same bytes, raw TLS", raw)),
            Figure("the index", _series("read, verified, counted, kept", index), _series("decode and verify", reading)),
            Figure("the search", _series("words and facets", found), _series("the words in a bare FTS5 table", bare)),
        ),
        (
            f"{size >> 20} MiB of bodies; this process grew by {grown >> 20} MiB, {grown // ENTRIES:,} bytes an entry "
            "(each of another dataset)",
        ),
    )


def _series(what: str, seconds: Sequence[float]) -> Series:
    return Series.of_seconds(what, seconds)


def _verified(data: bytes) -> Body:
    """Decode one body, and verify its signature."""
    body = read_body(data)
    verify(body.actor, message_in(data), body.sig)
    return body


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def _servers(folder: Path, count: int) -> Iterator[list[int]]:
    """``SITES`` servers, each of a catalog with ``count`` entries; their ports."""
    for first in range(0, SITES, 2):
        made = [
            subprocess.Popen(python("-m", "bench.catalogs", str(folder / str(number)), str(number), str(count)))
            for number in range(first, min(first + 2, SITES))
        ]
        codes = [process.wait() for process in made]
        if any(codes):
            raise RuntimeError("a catalog could not be written")
    serving = [
        subprocess.Popen(
            python("-m", "bench.catalogserver", str(folder / str(number)), str(number)),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(SITES)
    ]
    try:
        yield [int(process.stdout.readline()) for process in serving if process.stdout is not None]
    finally:
        for process in serving:
            process.terminate()
            process.wait()


class Newcomer:
    """A member's replicas and what it reads of them, in ``folder``; each step is for one site."""

    def __init__(self, folder: Path, bulk: Direct | None) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._bulk = folder, bulk
        self.replicas: dict[str, ReplicaLog] = {}
        versions, _ = VersionStore.open(folder / "versions.db", lambda site, place: self.replicas[site].peek(place))
        self.index = Index(KEYS, versions.begin)
        self._provers, self._keeping = Provers(), Keeping(versions)
        self._finding = Finding(self.index, SearchStore.open(folder / "search.db")[0], lambda _: None)

    async def open(self) -> None:
        """Open all replicas."""
        for number, (site, node) in enumerate(KEYS.items()):
            origin = origin_of(site, LogName.CATALOG)
            self.replicas[site] = await ReplicaLog.open(self._folder / str(number), origin, node)

    async def logs(self, site: str) -> None:
        """Fetch the leaves."""
        sender, replica = self._sender(site), self.replicas[site]
        note = await sender.note()
        await fetch_leaves(sender, replica, open_checkpoint(note, replica.origin, KEYS[site]), note)

    async def bodies(self, site: str) -> None:
        """Fetch the bodies."""
        came = await fetch_bodies(self._sender(site), self.replicas[site], 0, lambda _count, _size: None)
        if came.failure is not None:
            raise came.failure

    async def counted(self, site: str) -> None:
        """Index them."""
        await index_log(self.replicas[site], self.index.site(site), Feeding(self._provers, self._keeping))

    async def found(self, site: str) -> None:
        """Bring the search up to the index."""
        await self._finding.renew(site)

    async def everything(self, site: str) -> None:
        """All of it, as a node does."""
        await self.logs(site)
        await self.bodies(site)
        await self._read(site)

    async def started(self, site: str) -> None:
        """Take up what is here, as a start does, and read the rest of the log."""
        await self._keeping.take_up(self.replicas[site], self.index.site(site))
        await self._finding.renew(site)
        await self._read(site)

    async def _read(self, site: str) -> None:
        feeding = Feeding(self._provers, self._keeping, self._finding)
        await index_log(self.replicas[site], self.index.site(site), feeding)

    async def aclose(self) -> None:
        """Close everything."""
        for replica in self.replicas.values():
            await replica.aclose()
        await self._provers.aclose()
        await self._finding.aclose()
        self._keeping.close()

    def _sender(self, site: str) -> Sender:
        if self._bulk is None:
            raise RuntimeError("there is nobody to fetch from")
        return Sender(site, site, self._bulk, side_by_side, aside)


async def _catch_up(folder: Path, ports: Sequence[int], apart: bool) -> Run:
    """Catch up with all sites; each step for all sites before the next one if ``apart``."""
    seconds = []
    with BulkClient(PrivateKey(os.urandom(32)), SystemClock(), SystemRandom()) as client:
        newcomer = await trio.to_thread.run_sync(Newcomer, folder, Direct(client, ports))
        await newcomer.open()
        before = resident()
        steps = [newcomer.logs, newcomer.bodies, newcomer.counted, newcomer.found] if apart else [newcomer.everything]
        for step in steps:
            began = time.perf_counter()
            await side_by_side([partial(step, site) for site in KEYS])
            seconds.append(time.perf_counter() - began)
        grown = resident() - before
        for site in KEYS:
            if len(list(newcomer.index.site(site).entries("dataset"))) != ENTRIES // SITES - 2:
                raise RuntimeError("not every entry came and counts")
        await newcomer.aclose()
    return Run(tuple(seconds), grown)


async def _raw(ports: Sequence[int], size: int) -> float:
    """Seconds for ``size`` bytes over one connection of the same kind."""
    with BulkClient(PrivateKey(os.urandom(32)), SystemClock(), SystemRandom()) as client:
        site = keys_of(0)[0].did
        began = time.perf_counter()
        await Direct(client, ports).get(site, f"{RAW}{size}", size)
        return time.perf_counter() - began


def _stored(folder: Path) -> tuple[list[bytes], list[bytes]]:
    async def read() -> tuple[list[bytes], list[bytes]]:
        leaves, bodies = [], []
        for number in range(SITES):
            root, node, _ = keys_of(number)
            origin = origin_of(root.did, LogName.CATALOG)
            async with await ReplicaLog.open(folder / str(number), origin, node.did) as replica:
                for leaf, stored in await replica.read(0, replica.size):
                    leaves.append(leaf)
                    bodies.append(stored[1] if stored else b"")
        return leaves, bodies

    return trio.run(read)


def _bare(bodies: Sequence[bytes]) -> float:
    """Seconds to put the words of all datasets into a bare full-text table."""
    plain = (read_body(body).fields for body in bodies)
    rows = [(fields["name"], f"{fields['description']} {fields['media_type']}") for fields in plain if "cid" in fields]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5 (name, about, prefix = '1 2 3 4')")
        return _timed(lambda: connection.executemany("INSERT INTO words VALUES (?, ?)", rows))


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
