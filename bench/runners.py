"""What a step costs in each runner beyond its command, beside the same by the runner's own means.

- **Sandbox**, promised within 15 ms beyond the bare tool: ``true`` and the listing of what it left, beside ``true``
  started by Python.
- **Docker**, promised within 1.2 times ``docker run --rm`` of the same image: ours makes the container, has it wait at
  its gate, lets it go, reads its report, settles and lists what it left, and removes the container. The reference is
  Docker's own command, without network as ours. Where no daemon answers it is not measured.

- **Kubernetes and Argo**: see :mod:`bench.clusters`.

Each run of ours is followed by one of the reference.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import trio

from bench import clusters
from bench.figure import Figure, Floor, Report, Series
from bench.workplace import workplace
from catalog.error import ComityError, Denied
from node.execute.docker.runner import Docker
from node.execute.sandbox import Sandbox
from node.runnersettings import DockerSettings
from node.step import Job, Runner

RUNS: Final = 20
WARM_UP: Final = 3
TOGETHER: Final = 8


def measure() -> Report:
    """Measure the runners that are there."""
    with workplace() as folder:
        return trio.run(_measure, folder)


async def _measure(folder: Path) -> Report:
    figures = [await _beside("a step in the sandbox", Sandbox(), folder, ("true",), Floor(15, beyond=True))]
    docker, notes = Docker(DockerSettings()), []
    try:
        await docker.probe()
    except Denied as error:
        notes.append(f"Docker was not measured: {error}")
    else:
        image = await docker.image(None)
        command = ("docker", "run", "--rm", "--network", "none", image, "/opt/bin/true")
        figures.append(await _beside("a step in Docker", docker, folder, command, 1.2))
        figures.append(await _together("in Docker", docker, folder, command))
    in_clusters, lacking = await clusters.measured()
    figures += in_clusters
    notes += lacking
    return Report(tuple(figures), tuple(notes))


async def _beside(what: str, runner: Runner, folder: Path, command: Sequence[str], floor: Floor | float) -> Figure:
    """One step at a time, each followed by the reference; ``floor`` is a promise, or how many times the reference."""
    took, bare = [], []
    for _ in range(WARM_UP + RUNS):
        took.append(await _step(runner, folder))
        bare.append(await trio.to_thread.run_sync(partial(_command, command)))
    ours, reference = Series.of_seconds("step", took[WARM_UP:]), Series.of_seconds(command[0], bare[WARM_UP:])
    promise = floor if isinstance(floor, Floor) else Floor(round(floor * reference.median, 1))
    return Figure(what, ours, reference, promise)


async def _together(what: str, runner: Runner, folder: Path, command: Sequence[str]) -> Figure:
    """As many at once as there are processors, each beside as many of the reference."""
    took, bare = [], []
    for _ in range(3):
        begun = perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(TOGETHER):
                nursery.start_soon(_step, runner, folder)
        took.append((perf_counter() - begun) / TOGETHER)
        begun = perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(TOGETHER):
                nursery.start_soon(trio.to_thread.run_sync, partial(_command, command))
        bare.append((perf_counter() - begun) / TOGETHER)
    ours, reference = Series.of_seconds("step", took), Series.of_seconds(command[0], bare)
    return Figure(f"{TOGETHER} steps at once {what}, each", ours, reference)


async def _step(runner: Runner, folder: Path) -> float:
    place = folder / os.urandom(8).hex()
    (place / "left" / "work").mkdir(parents=True)
    job = Job(("true",), place / "left" / "work", succeeds=frozenset({0}))
    begun = perf_counter()
    ended = await runner.run(job)
    took = perf_counter() - begun
    if ended.left is None:
        raise ComityError(f"the benchmark's step came to nothing: {ended}")
    shutil.rmtree(place)
    return took


def _command(command: Sequence[str]) -> float:
    begun = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - begun
