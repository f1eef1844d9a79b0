"""Work in a worker thread that ends when whoever waits for it is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import trio

T = TypeVar("T")


def tick(progress: Callable[[int], None] | None) -> Callable[[int], None]:
    """What is called with the bytes done so far: it tells ``progress``, and raises once that was cancelled."""

    def count(done: int) -> None:
        trio.from_thread.check_cancelled()
        if progress is not None:
            progress(done)

    return count


def cancellable(items: Iterator[T]) -> Iterator[T]:
    """``items``, until that is cancelled."""
    for item in items:
        trio.from_thread.check_cancelled()
        yield item
