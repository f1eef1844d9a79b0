"""A new member catches up: 100,000 entries of 8 sites over real HTTPS, their bodies, and the index over them.

All three together are promised within 10 s, each site's one after the other and the sites side by side, as a node does
it. Then each part for all sites by itself, beside what it cannot be faster than on this machine with this interpreter:
the same bytes over one such TLS connection in one piece; the hashes of the leaves alone; decoding each body and
verifying its signature, one after the other, with nothing around them. The servers are processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from bench.catalogs import keys_of
from bench.catalogserver import RAW
from bench.figure import Figure, Floor, Report, Series
from bench.process import python
from bench.workplace import workplace
from catalog.checkpoint import open_checkpoint
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.merkle import leaf_hash
from catalog.origin import LogName, origin_of
from catalog.reading import prove
from node.network.bulk import BulkClient
from node.replicate.catchup import Sender, fetch_bodies, fetch_leaves
from node.replicate.indexing import index_log
from node.site.provers import Provers
from node.site.together import aside, side_by_side
from node.storage.replica import ReplicaLog
from node.system import SystemClock, SystemRandom

SITES = 8
ENTRIES = 100_000
RUNS = 3
FLOOR = 10_000


@dataclass(frozen=True, slots=True)
class Direct:
    """The ``Bulk`` port over addresses that are known."""

    client: BulkClient
    ports: Sequence[int]

    async def get(self, site: str, path: str, limit: int) -> bytes:
        """Fetch from the server of ``site``."""
        number = next(each for each in range(SITES) if keys_of(each)[0].did == site)
        return await self.client.get(
            keys_of(number)[1].did, f"https://127.0.0.1:{self.ports[number]}", path, limit=limit
        )


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
    reading = [_timed(lambda: [prove(body) for body in bodies]) for _ in range(RUNS)]
    logs, brought, index = ([run.seconds[part] for run in parts] for part in range(3))
    bound = [sum(each) for each in zip(raw, hashing, reading, strict=True)]
    what = f"a new member: {ENTRIES:,} entries of {SITES} sites"
    ours = _series("logs, bodies, index", [run.seconds[0] for run in whole])
    grown = parts[0].grown
    return Report(
        (
            Figure(what, ours, _series("the three bounds on one processor", bound), Floor(FLOOR)),
            Figure("their logs", _series("tiles, verified and durable", logs), _series("hashing the leaves", hashing)),
            Figure("their bodies", _series("opened and durable", brought), _series("the same bytes, raw TLS", raw)),
            Figure("the index", _series("read, verified, counted", index), _series("decode and verify", reading)),
        ),
        (
            f"{size >> 20} MiB of bodies; this process grew by {grown >> 20} MiB, {grown // ENTRIES:,} bytes an entry "
            "(each of another dataset)",
        ),
    )


def _series(what: str, seconds: Sequence[float]) -> Series:
    return Series.of_seconds(what, seconds)


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


async def _catch_up(folder: Path, ports: Sequence[int], apart: bool) -> Run:
    """Catch up with all sites; each step for all sites before the next one if ``apart``."""
    sites = [keys_of(number)[0].did for number in range(SITES)]
    index, provers = Index(sites), Provers()
    before = _resident()
    with BulkClient(PrivateKey(os.urandom(32)), SystemClock(), SystemRandom()) as client:
        bulk = Direct(client, ports)
        replicas = {
            site: await ReplicaLog.open(folder / str(number), origin_of(site, LogName.CATALOG), keys_of(number)[1].did)
            for number, site in enumerate(sites)
        }

        async def logs(site: str) -> None:
            sender = Sender(site, site, bulk, side_by_side, aside)
            replica, note = replicas[site], await sender.note()
            checkpoint = open_checkpoint(note, replica.origin, keys_of(sites.index(site))[1].did)
            await fetch_leaves(sender, replica, checkpoint, note)

        async def bodies(site: str) -> None:
            sender = Sender(site, site, bulk, side_by_side, aside)
            came = await fetch_bodies(sender, replicas[site], 0, lambda _count, _size: None)
            if came.failure is not None:
                raise came.failure

        async def counted(site: str) -> None:
            await index_log(replicas[site], index.site(site), None, provers)

        async def everything(site: str) -> None:
            for step in (logs, bodies, counted):
                await step(site)

        steps: list[Callable[[str], Awaitable[None]]] = [logs, bodies, counted] if apart else [everything]
        seconds = []
        for step in steps:
            began = time.perf_counter()
            await side_by_side([partial(step, site) for site in sites])
            seconds.append(time.perf_counter() - began)
    grown = _resident() - before
    for site, replica in replicas.items():
        if len(list(index.site(site).entries("dataset"))) != ENTRIES // SITES - 2:
            raise RuntimeError("not every entry came and counts")
        await replica.aclose()
    await provers.aclose()
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


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
