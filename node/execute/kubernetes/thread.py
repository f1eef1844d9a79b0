"""Threads that wait on the cluster for most of their time, and are left to themselves when nobody waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
_Given = TypeVarTuple("_Given")


async def in_thread(work: Callable[[*_Given], T], *given: *_Given) -> T:
    """``work`` in a thread of its own, beside those of which there are few; who is cancelled does not wait for it."""
    # trio-typing's stubs are older than this parameter.
    return await trio.to_thread.run_sync(work, *given, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1))  # type: ignore[call-arg]
