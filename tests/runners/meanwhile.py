"""Steps in a cluster to which something is done while they run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from catalog.error import Denied, Unreachable
from node.execute.kubernetes.runner import Kubernetes
from node.step import Exit, Job
from tests.runners.clusters import CLAIM, Ready
from tests.runners.subject import SMALL, SUCCEEDS, processes_with

WAIT_SECONDS = 90


def runner_of(there: Ready, **more: object) -> Kubernetes:
    """The node's, by the cluster's volume unless ``more`` settings say otherwise."""
    return Kubernetes(there.settings(**({"claim": CLAIM} | more)), there.volume, "faults")


def run(runner: Kubernetes, work: Path, script: str = "echo done > done") -> Exit:
    return trio.run(runner.run, Job(("sh", "-c", script), work, limits=SMALL, succeeds=SUCCEEDS))


def until_it_takes_steps(there: Ready, work: Path) -> None:
    """Wait until a step runs: an API server that was started takes a while to answer, and to know who may do what."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            assert run(runner_of(there), work).code == 0
        except (Unreachable, Denied):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def while_it_runs(runner: Kubernetes, work: Path, script: str, do: Callable[[], Awaitable[None]]) -> Exit | Unreachable:
    """How a step ends to which ``do`` is done once it runs."""
    marker = secrets.token_hex(8)
    ended: list[Exit | Unreachable] = []

    async def step() -> None:
        try:
            ended.append(await runner.run(Job(("sh", "-c", f"{script}; : {marker}"), work, limits=SMALL)))
        except Unreachable as error:
            ended.append(error)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step)
            with trio.fail_after(WAIT_SECONDS):
                while not processes_with(marker):
                    assert not ended, ended
                    await trio.sleep(0.02)
            await do()

    trio.run(main)
    assert processes_with(marker) == []
    return ended[0]
