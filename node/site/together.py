"""Running coroutines side by side under trio, and what only computes in threads, for the core's ports."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

AT_ONCE = 64

COMPUTING = trio.CapacityLimiter(1)
"""One thread at a time only computes: two would not be faster, and whoever waits for bytes would wait for both."""

TURN_SECONDS = 0.005

T = TypeVar("T")


async def side_by_side(jobs: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The results of all jobs in their order; at most 64 run at once."""
    results: dict[int, T] = {}
    turns = trio.Semaphore(AT_ONCE)

    async def run(place: int, job: Callable[[], Awaitable[T]]) -> None:
        async with turns:
            results[place] = await job()

    async with trio.open_nursery() as nursery:
        for place, job in enumerate(jobs):
            nursery.start_soon(run, place, job)
    return [results[place] for place in range(len(jobs))]


async def aside(work: Callable[[], T]) -> T:
    """What ``work`` returns, computed in a thread."""
    return await trio.to_thread.run_sync(work, limiter=COMPUTING)


class Turns:
    """Gives the event loop back after some milliseconds (the port ``Turns``)."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether this turn has lasted for long enough."""
        return time.perf_counter() - self._began >= TURN_SECONDS

    async def next(self) -> None:
        """Let other tasks run, and begin another turn."""
        await trio.lowlevel.checkpoint()
        self._began = time.perf_counter()
