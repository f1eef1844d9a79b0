"""What an environment of a block's own costs a step, warm and cold.

The environment has the base of this machine and 300 MB of files beside it, in the sizes that scientific packages have:
small modules by the thousand, and libraries of megabytes.

- **Warm**, promised within 5 ms beyond the site's own environment: the same command in the sandbox, in turn.
- **Cold**, promised at 0.7 of the rate at which it comes: from the first question until it is checked out and shown,
  beside the transfer alone (verified, durable) into another store, each from a server in a process of its own.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Final

import trio

from bench.figure import Figure, Floor, Report, Series
from bench.moving import Asking, asking, fetched
from bench.workplace import workplace
from catalog.cid import Cid
from catalog.error import ComityError
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.description import FILE, ROOT, Description, write
from node.execute.environment.python import LINKS, VARIABLES, Base
from node.execute.environment.trees import link_tree
from node.execute.machine import platform_here
from node.execute.sandbox import Sandbox
from node.step import Environment, Job
from node.storage.disk import DiskBlobs
from node.storage.pooled import checkout_pooled, drop_unused

RUNS: Final = 30
LARGE: Final = 1 << 30
COLD_RUNS: Final = 3
_WARM_UP: Final = 3
_MODULES, _MODULE_BYTES = 8_000, 10_000
_LIBRARIES, _LIBRARY_BYTES = 110, 2_000_000
_DIGEST: Final = f"sha256:{'0' * 64}"


def measure() -> Report:
    """Measure both."""
    with workplace() as place:
        source = DiskBlobs(place / "author")
        root = trio.run(_author, source, place)
        (place / "warm").mkdir()
        warm, own = trio.run(_warm, source, root, place / "warm")
        with asking(place / "author") as holder:
            cold, alone = trio.run(_cold, holder, root, place)
    return Report(
        (
            Figure("a command in a warm environment of 300 MB", warm, own, Floor(5, beyond=True)),
            Figure("a cold one, fetched and checked out", cold, alone, Floor(round(alone.median / 0.7, 3))),
        ),
        (f"a cold one is there at {alone.median / cold.median:.2f} of the transfer's rate",),
    )


async def _author(source: DiskBlobs, place: Path) -> Cid:
    """An environment in the store ``source``."""
    tree = place / "tree"
    base = await Base(place / "base").root()
    await trio.to_thread.run_sync(link_tree, base, tree / ROOT)
    await trio.to_thread.run_sync(_fill, tree / ROOT / "opt/packages")
    described = Description(platform=platform_here(), variables=VARIABLES, links=LINKS, lock=_DIGEST)
    (tree / FILE).write_bytes(write(described))
    return await source.add_path(tree)


def _fill(packages: Path) -> None:
    for number in range(_MODULES):
        place = packages / f"package{number % 80}" / f"module{number}.py"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(_MODULE_BYTES))
    for number in range(_LIBRARIES):
        (packages / f"library{number}.so").write_bytes(os.urandom(_LIBRARY_BYTES))


def _checkouts(store: DiskBlobs, folder: Path) -> Checkouts:
    made = Checkouts(folder, partial(checkout_pooled, store.get), drop_unused)
    made.start()
    return made


async def _warm(store: DiskBlobs, root: Cid, place: Path) -> tuple[Series, Series]:
    checkouts, sandbox = _checkouts(store, place / "there"), Sandbox()
    ours, own = [], []
    for number in range(_WARM_UP + RUNS):
        began = time.perf_counter()
        async with checkouts.using(root, LARGE) as environment:
            await _run(sandbox, place / f"{number}", environment)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        await _run(sandbox, place / f"{number}-own", None)
        own.append(time.perf_counter() - began)
    return (
        Series.of_seconds("ms", ours[_WARM_UP:]),
        Series.of_seconds("the same in the site's own", own[_WARM_UP:]),
    )


async def _run(sandbox: Sandbox, folder: Path, environment: Environment | None) -> None:
    (folder / "work").mkdir(parents=True)
    ended = await sandbox.run(Job(("true",), folder / "work", environment=environment))
    if ended.code:
        raise ComityError(f"the command ended with code {ended.code}: {ended.errors.decode(errors='replace')}")


async def _cold(holder: Asking, root: Cid, place: Path) -> tuple[Series, Series]:
    cold, alone = [], []
    for number in range(COLD_RUNS):
        alone.append(await fetched(holder, DiskBlobs(place / f"alone-{number}"), root))
        store = DiskBlobs(place / f"cold-{number}")
        began = time.perf_counter()
        await fetched(holder, store, root)
        checkouts = _checkouts(store, place / f"there-{number}")
        async with checkouts.using(root, LARGE):
            cold.append(time.perf_counter() - began)
    return Series.of_seconds("ms", cold), Series.of_seconds("its transfer alone", alone)
