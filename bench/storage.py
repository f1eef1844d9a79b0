"""Storing and moving bytes, beside a real Kubo on the same bytes, both durable; medians of three rounds.

- **Import**: 1 GiB as one file, and 10,000 files of 4 KiB, into the embedded store, against ``ipfs add -r
  --cid-version=1 --raw-leaves`` into a repository whose flatfs is synced. Bounds of the same round: SHA-256 on all
  cores, ``dd conv=fsync``. Promised: 1.2 times Kubo and 0.8 of the slower bound; 2 times Kubo for the small files. In
  place (nothing copied): 0.8 of SHA-256 on one core, and at least ``ipfs add --only-hash``.
- **Site to site**: from another process over TLS 1.3, verified and durable, against Kubo's bitswap between two daemons
  (``ipfs get`` of the file, ``ipfs pin add`` of the tree, its better ways). Promised: for the file 0.7 of the slowest
  of raw TLS, ``dd`` and SHA-256 or 4 times bitswap, whichever is lower, and never below 3 times bitswap; for the tree
  3 times Kubo; for an encrypted file 0.8 of the open one.
- **A cold range** of 1 MiB in the middle of a remote file of 10 GiB: at most 50 ms and 1.6 MiB.
- **Memory** that both sides grow by while 10 GiB move: at most 150 MB.

Every round has stores and repositories of its own, and nothing is deleted before the end: a filesystem without a
journal is slow to make files after many were deleted, ours and Kubo's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from bench.bounds import Bounds, measure_bounds, seconds
from bench.figure import Figure, Floor, Report, Series
from bench.largefile import measure_large
from bench.moving import asking, fetched
from bench.workplace import workplace
from catalog.cid import Cid
from node.storage.disk import DiskBlobs
from node.storage.shared import SharedData
from node.system import SystemRandom
from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, Started, running

GIB: Final = 1 << 30
FILES: Final = 10_000
SMALL: Final = 4096
ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """Seconds that it took to store the file and the tree, ours and Kubo's, and the roots."""

    ours: float
    kubo: float
    in_place: float
    only_hash: float
    sealed: float
    ours_tree: float
    kubo_tree: float
    roots: tuple[Cid, Cid, Cid]


@dataclass(frozen=True, slots=True)
class Moved:
    """Seconds that it took to move file, tree and encrypted file; processor seconds of the file on both sides."""

    ours: float
    ours_tree: float
    sealed: float
    bitswap: float
    pinned: float
    used: float
    kubo_used: float


@dataclass(frozen=True, slots=True)
class Round:
    """All of it once."""

    bounds: Bounds
    stored: Stored
    moved: Moved

    @property
    def promised(self) -> float:
        """Seconds that the file may take from site to site."""
        return max(self.bounds.move / 0.7, self.moved.bitswap / 4)


def measure() -> Report:
    """Measure everything, one after the other, on one disk."""
    with workplace() as folder:
        file, tree = _bytes(folder)
        program = ipfs()
        rounds = [_round(program, folder / f"round-{number}", file, tree) for number in range(ROUNDS)]
        large = trio.run(measure_large, folder)
    return Report((*_stored(rounds), *_moved(rounds), *large.figures), (*_notes(rounds), *large.notes))


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


def _round(program: Path, folder: Path, file: Path, tree: Path) -> Round:
    folder.mkdir()
    bounds = measure_bounds(folder / "dd")
    with (
        running(program, folder / "one", settings={"sync": True}) as one,
        running(program, folder / "two", settings={"sync": True}) as two,
    ):
        stored = trio.run(_store, folder, file, tree, one)
        moved = trio.run(_move, folder, one, two, stored.roots)
    return Round(bounds, stored, moved)


async def _store(folder: Path, file: Path, tree: Path, kubo: Kubo) -> Stored:
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
    sealed_root = await SharedData(store, SystemRandom().token).add_path(file, os.urandom(32))
    sealed = time.perf_counter() - began
    began = time.perf_counter()
    tree_root = await store.add_path(tree)
    ours_tree = time.perf_counter() - began
    theirs_tree = await _timed(lambda: _added(kubo, tree, tree_root))
    return Stored(ours, theirs, in_place, only_hash, sealed, ours_tree, theirs_tree, (root, tree_root, sealed_root))


async def _move(folder: Path, one: Started, two: Started, roots: tuple[Cid, Cid, Cid]) -> Moved:
    there = DiskBlobs(folder / "there")
    file, tree, sealed_file = roots
    with asking(folder / "source") as holder:
        before = (await holder.usage())[0] + time.process_time()
        ours = await fetched(holder, there, file)
        used = (await holder.usage())[0] + time.process_time() - before
        ours_tree = await fetched(holder, there, tree)
        sealed = await fetched(holder, there, sealed_file)
    two("swarm", "connect", one.address)
    before = one.processor_seconds + two.processor_seconds
    bitswap = await _timed(lambda: two("get", "-o", folder / "got", str(file)))
    kubo_used = one.processor_seconds + two.processor_seconds - before
    pinned = await _timed(lambda: two("pin", "add", str(tree)))
    return Moved(ours, ours_tree, sealed, bitswap, pinned, used, kubo_used)


async def _timed(work: Callable[[], object]) -> float:
    return await trio.to_thread.run_sync(seconds, work)


def _added(kubo: Kubo, path: Path, root: Cid) -> None:
    told = kubo("add", "-r", "-Q", "--cid-version=1", "--raw-leaves", path).decode().strip()
    if told != str(root):
        raise AssertionError(f"Kubo names {path.name} {told}, and we {root}")


Of = Callable[[Round], float]
"""Seconds of a round."""


def _stored(rounds: Sequence[Round]) -> tuple[Figure, ...]:
    def ours(each: Round) -> float:
        return each.stored.ours

    def in_place(each: Round) -> float:
        return each.stored.in_place

    only_hash, synced = "ipfs add --only-hash", "flatfs synced"
    return (
        _figure(rounds, "import 1 GiB, durable", ours, f"ipfs add, {synced}", lambda r: r.stored.kubo, 1 / 1.2),
        _figure(rounds, "import 1 GiB, durable", ours, "slower of SHA-256 and dd", lambda r: r.bounds.store, 1 / 0.8),
        _figure(
            rounds, "1 GiB in place, nothing copied", in_place, "SHA-256 on one core", lambda r: r.bounds.sha, 1 / 0.8
        ),
        _figure(rounds, "1 GiB in place, nothing copied", in_place, only_hash, lambda r: r.stored.only_hash, 1.0),
        _figure(rounds, "import 1 GiB encrypted (shared)", lambda r: r.stored.sealed, "the same open", ours, None),
        _figure(
            rounds,
            f"import {FILES:,} files of 4 KiB, durable",
            lambda r: r.stored.ours_tree,
            f"ipfs add -r, {synced}",
            lambda r: r.stored.kubo_tree,
            1 / 2,
        ),
    )


def _moved(rounds: Sequence[Round]) -> tuple[Figure, ...]:
    def ours(each: Round) -> float:
        return each.moved.ours

    either = "0.7 of the slowest bound, or 4 × bitswap"
    return (
        _figure(rounds, "site to site, 1 GiB", ours, "ipfs get by bitswap", lambda r: r.moved.bitswap, 1 / 3),
        _figure(rounds, "site to site, 1 GiB", ours, either, lambda r: r.promised, 1.0),
        _figure(rounds, "site to site, 1 GiB encrypted", lambda r: r.moved.sealed, "the same open", ours, 1 / 0.8),
        _figure(
            rounds,
            f"site to site, {FILES:,} files of 4 KiB",
            lambda r: r.moved.ours_tree,
            "ipfs pin add by bitswap",
            lambda r: r.moved.pinned,
            1 / 3,
        ),
        _figure(
            rounds,
            "processor seconds of both sides, 1 GiB",
            lambda r: r.moved.used,
            "of both Kubos",
            lambda r: r.moved.kubo_used,
            None,
        ),
    )


def _figure(rounds: Sequence[Round], what: str, ours: Of, reference: str, theirs: Of, most: float | None) -> Figure:
    """A figure in seconds that promises to take at most ``most`` times its reference."""
    series = Series("seconds", tuple(round(ours(each), 3) for each in rounds))
    held_against = Series(reference, tuple(round(theirs(each), 3) for each in rounds))
    floor = None if most is None else Floor(round(held_against.median * most, 3))
    return Figure(what, series, held_against, floor, "s")


def _notes(rounds: Sequence[Round]) -> tuple[str, ...]:
    def rate(of: Of) -> str:
        return f"{GIB / Series('', tuple(map(of, rounds))).median / 1e6:,.0f}"

    return (
        f"MB/s with 1 GiB: import {rate(lambda r: r.stored.ours)}, Kubo {rate(lambda r: r.stored.kubo)}, in place"
        f" {rate(lambda r: r.stored.in_place)}, --only-hash {rate(lambda r: r.stored.only_hash)}; site to site"
        f" {rate(lambda r: r.moved.ours)}, bitswap {rate(lambda r: r.moved.bitswap)}; SHA-256"
        f" {rate(lambda r: r.bounds.sha)} on a core, {rate(lambda r: r.bounds.sha_all)} on all, dd"
        f" {rate(lambda r: r.bounds.disk)}, TLS {rate(lambda r: r.bounds.tls)}",
    )
