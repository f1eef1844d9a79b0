"""Running coroutines side by side under trio: what the bus's port ``Together`` is in a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from node.bus.dispatch import Reached

AT_ONCE = 64


async def side_by_side(jobs: Sequence[Callable[[], Awaitable[Reached]]]) -> list[Reached]:
    """The results of all jobs in their order; at most 64 run at once."""
    results: dict[int, Reached] = {}
    turns = trio.Semaphore(AT_ONCE)

    async def run(place: int, job: Callable[[], Awaitable[Reached]]) -> None:
        async with turns:
            results[place] = await job()

    async with trio.open_nursery() as nursery:
        for place, job in enumerate(jobs):
            nursery.start_soon(run, place, job)
    return [results[place] for place in range(len(jobs))]
