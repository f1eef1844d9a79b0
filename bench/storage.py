"""Storing and moving bytes, beside a real Kubo on the same bytes, both durable.

- **Import**: 1 GiB as one file, and 10,000 files of 4 KiB, into the embedded store, against ``ipfs add -r
  --cid-version=1 --raw-leaves`` into a repository whose flatfs is synced. Bounds of the same run: SHA-256 on all
  cores, ``dd conv=fsync``. Promised: 1.2 times Kubo and 0.8 of the slower bound; 2 times Kubo for the small files. In
  place (nothing copied): 0.8 of SHA-256 on one core, and at least ``ipfs add --only-hash``.
- **Site to site**: from another process over TLS 1.3, verified and durable, against Kubo's bitswap between two daemons
  (``ipfs get`` of the file, ``ipfs pin add`` of the tree, its better ways). Promised: for the file 0.7 of the slowest
  of raw TLS, ``dd`` and SHA-256 or 4 times bitswap, whichever is lower, and never below 3 times bitswap; for the tree
  3 times Kubo. What is encrypted moves as it lies; its import promises 0.8 of the open one.
- **A cold range** of 1 MiB in the middle of a remote file of 10 GiB: at most 50 ms and 1.6 MiB.
- **Memory** that both sides grow by while 10 GiB move: at most 150 MB.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, TypeVar

import trio

from bench.blobserver import KEY, USAGE
from bench.figure import Figure, Floor, Report, Series
from bench.workplace import workplace
from catalog.cid import Cid
from catalog.key import PrivateKey
from node.network.bulk import BulkClient
from node.site.ranging import fetch_span
from node.site.transfer import Transfer
from node.storage.disk import DiskBlobs
from node.storage.shared import SharedData
from node.system import SystemClock, SystemRandom
from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, running

T = TypeVar("T")

GIB: Final = 1 << 30
FILES: Final = 10_000
SMALL: Final = 4096
RANGE: Final = 1 << 20
RANGES: Final = 9
_ASKER: Final = PrivateKey(bytes([9]) * 32)


@dataclass(frozen=True, slots=True)
class Asking:
    """The ``Holders`` port over one server."""

    client: BulkClient
    base: str

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        """See the port."""
        return await self.client.stream(site, self.base, path, take, limit=limit, query=query)

    async def usage(self) -> tuple[float, int, int]:
        """Of the server: processor seconds so far, most KiB of memory since this was asked, and KiB now."""
        seconds, most, now = (await self.client.get(KEY.did, self.base, USAGE, limit=100)).split()
        return float(seconds), int(most), int(now)


def measure() -> Report:
    """Measure everything, one after the other, on one disk."""
    with workplace() as folder:
        file, tree = _bytes(folder)
        program = ipfs()
        bounds = _bounds(folder)
        with (
            running(program, folder / "one", settings={"sync": True}) as one,
            running(program, folder / "two", settings={"sync": True}) as two,
        ):
            imports = trio.run(_imports, folder, file, tree, one, bounds)
            moves = trio.run(_moves, folder, one, two, file, tree, bounds)
        large = trio.run(_large, folder)
    figures = (*imports[0], *moves[0], *large[0])
    return Report(figures, (*imports[1], *moves[1], *large[1]))


def _bytes(folder: Path) -> tuple[Path, Path]:
    """1 GiB in a file and 10,000 small files, of which nothing compresses or repeats."""
    file, tree = folder / "file.bin", folder / "tree"
    tree.mkdir()
    with file.open("wb") as out:
        for _ in range(GIB >> 24):
            out.write(os.urandom(1 << 24))
    for number in range(FILES):
        (tree / f"{number:05}").write_bytes(os.urandom(SMALL))
    os.sync()
    return file, tree


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that 1 GiB takes: SHA-256 on one core and on all, ``dd`` to the disk, TLS between two processes."""

    sha: float
    sha_all: float
    disk: float
    tls: float

    @property
    def import_(self) -> float:
        """The slower of what an import cannot go round."""
        return max(self.sha_all, self.disk)

    @property
    def transfer(self) -> float:
        """The slowest of what a transfer cannot go round."""
        return max(self.sha_all, self.disk, self.tls)


def _bounds(folder: Path) -> Bounds:
    block = os.urandom(1 << 20)

    def hashed(count: int) -> None:
        for _ in range(count):
            hashlib.sha256(block).digest()

    one = _seconds(lambda: hashed(1024))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        cores = os.cpu_count() or 1
        every = _seconds(lambda: list(pool.map(hashed, [1024 // cores] * cores)))
    target = folder / "dd"
    command = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", "count=1024", "conv=fsync"]
    disk = _seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    target.unlink()
    tls = float(subprocess.run([sys.executable, "-m", "bench.tlsstream"], check=True, capture_output=True).stdout)
    return Bounds(one, every, disk, tls)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _timed(work: Callable[[], object]) -> float:
    return await trio.to_thread.run_sync(_seconds, work)


async def _imports(
    folder: Path, file: Path, tree: Path, kubo: Kubo, bounds: Bounds
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    store = DiskBlobs(folder / "source")
    began = time.perf_counter()
    root = await store.add_path(file)
    ours = time.perf_counter() - began
    theirs = await _timed(lambda: _added(kubo, file, root))
    began = time.perf_counter()
    await store.hash_path(file)
    in_place = time.perf_counter() - began
    only_hash = await _timed(lambda: kubo("add", "-Q", "--cid-version=1", "--raw-leaves", "--only-hash", file))
    began = time.perf_counter()
    await SharedData(store, SystemRandom().token).add_path(file, os.urandom(32))
    sealed = time.perf_counter() - began
    began = time.perf_counter()
    small = await store.add_path(tree)
    ours_small = time.perf_counter() - began
    theirs_small = await _timed(lambda: _added(kubo, tree, small))
    figures = (
        _ratio("import 1 GiB, durable", ours, "ipfs add, flatfs synced", theirs, 1 / 1.2),
        _ratio("import 1 GiB, durable", ours, "slower of SHA-256 and dd", bounds.import_, 1 / 0.8),
        _ratio("1 GiB in place, nothing copied", in_place, "SHA-256 on one core", bounds.sha, 1 / 0.8),
        _ratio("1 GiB in place, nothing copied", in_place, "ipfs add --only-hash", only_hash, 1.0),
        _ratio("import 1 GiB encrypted (shared)", sealed, "the same open", ours, 1 / 0.8),
        _ratio(
            f"import {FILES:,} files of 4 KiB, durable", ours_small, "ipfs add -r, flatfs synced", theirs_small, 0.5
        ),
    )
    return figures, (
        f"1 GiB a second: import {GIB / ours / 1e6:,.0f} MB/s, Kubo {GIB / theirs / 1e6:,.0f}, in place"
        f" {GIB / in_place / 1e6:,.0f}, --only-hash {GIB / only_hash / 1e6:,.0f}; SHA-256 {GIB / bounds.sha / 1e6:,.0f}"
        f" on a core, {GIB / bounds.sha_all / 1e6:,.0f} on all, dd {GIB / bounds.disk / 1e6:,.0f}, TLS"
        f" {GIB / bounds.tls / 1e6:,.0f}; small files: {FILES / ours_small:,.0f} a second, Kubo"
        f" {FILES / theirs_small:,.0f}",
    )


def _added(kubo: Kubo, path: Path, root: Cid) -> None:
    told = kubo("add", "-r", "-Q", "--cid-version=1", "--raw-leaves", path).decode().strip()
    if told != str(root):
        raise AssertionError(f"Kubo names {path.name} {told}, and we {root}")


def _ratio(what: str, ours: float, reference: str, seconds: float, most: float | None) -> Figure:
    """A figure in seconds that promises to take at most ``most`` times its reference."""
    floor = None if most is None else Floor(round(seconds * most, 3))
    return Figure(what, Series("seconds", (round(ours, 3),)), Series(reference, (round(seconds, 3),)), floor, "s")


@contextmanager
def _served(store: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.blobserver", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"https://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


async def fetched(asking: Asking, store: DiskBlobs, root: Cid) -> float:
    """Seconds until ``root`` is here, verified and durable."""
    began = time.perf_counter()
    with await store.arrive(root, KEY.did) as arrival:
        await Transfer(root, [KEY.did], asking, arrival, 1 << 40).run()
        await store.adopt(root, arrival)
    return time.perf_counter() - began


async def _moves(
    folder: Path, one: Kubo, two: Kubo, file: Path, tree: Path, bounds: Bounds
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    store, there = DiskBlobs(folder / "source"), DiskBlobs(folder / "there")
    roots = [await store.hash_path(each) for each in (file, tree)]
    with _served(folder / "source") as base, BulkClient(_ASKER, SystemClock(), SystemRandom()) as client:
        asking = Asking(client, base)
        ours = await fetched(asking, there, roots[0])
        ours_tree = await fetched(asking, there, roots[1])
        server, _, _ = await asking.usage()
    used = time.process_time()
    two("swarm", "connect", one.address)
    bitswap = await _timed(lambda: two("get", "-o", folder / "got", str(roots[0])))
    pinned = await _timed(lambda: two("pin", "add", str(roots[1])))
    lower = max(bounds.transfer / 0.7, bitswap / 4)
    figures = (
        _ratio("site to site, 1 GiB", ours, "ipfs get by bitswap", bitswap, 1 / 3),
        _ratio("site to site, 1 GiB", ours, "0.7 of the slowest bound, or 4 × bitswap", lower, 1.0),
        _ratio(f"site to site, {FILES:,} files of 4 KiB", ours_tree, "ipfs pin add by bitswap", pinned, 1 / 3),
    )
    return figures, (
        f"site to site {GIB / ours / 1e6:,.0f} MB/s, {FILES / ours_tree:,.0f} small files a second; bitswap"
        f" {GIB / bitswap / 1e6:,.0f} MB/s, {FILES / pinned:,.0f}; processor seconds for both: sender {server:.1f},"
        f" receiver and bench {used:.1f}",
    )


async def _large(folder: Path) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """10 GiB from a sender to a receiver of its own: a cold range first, then the memory that all of it takes."""
    large = folder / "large.bin"
    with large.open("wb") as out:
        for number in range(10 * GIB >> 18):
            out.write(number.to_bytes(8, "big") * (1 << 15))
    root = await DiskBlobs(folder / "source").add_path(large)
    large.unlink()
    with _served(folder / "source") as base, BulkClient(_ASKER, SystemClock(), SystemRandom()) as client:
        asking = Asking(client, base)
        await asking.usage()
        took = []
        for number in range(RANGES):
            first = 5 * GIB + number * 3 * RANGE + 12345
            began = time.perf_counter()
            got = await fetch_span(asking, KEY.did, root, "", first, first + RANGE - 1)
            took.append(time.perf_counter() - began)
            assert len(got) == RANGE
        _, _, before = await asking.usage()
        receiver = [sys.executable, "-m", "bench.blobclient", str(folder / "large"), base, str(root)]
        told = (await trio.run_process(receiver, capture_stdout=True)).stdout.split()
        _, after, _ = await asking.usage()
    seconds, ours, grown = float(told[0]), float(told[1]), int(told[2])
    sender = (after - before) / 1024
    memory = Series("MiB", (round(grown / 1024, 1),))
    return (
        Figure(
            "a cold MiB within 10 GiB of another site",
            Series.of_seconds("ms", took),
            Series("promised", (50.0,)),
            Floor(50),
        ),
        Figure("memory of the receiver of 10 GiB", memory, Series("promised", (150.0,)), Floor(150), "MiB"),
        Figure(
            "memory of the sender of 10 GiB",
            Series("MiB", (round(sender, 1),)),
            Series("promised", (150.0,)),
            Floor(150),
            "MiB",
        ),
    ), (f"10 GiB at {10 * GIB / seconds / 1e6:,.0f} MB/s; the receiver used {ours / 10:.2f} processor seconds a GiB",)
