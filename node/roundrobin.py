"""Whoever waits with many requests gets no more than who waits with one: turns go round by who asks, not by request."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class RoundRobin(Generic[T]):
    """What waits, by who asks; each one's oldest first. Not safe for several threads by itself."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def put(self, asker: str, item: T) -> None:
        """Have ``item`` of ``asker`` wait."""
        self._waiting.setdefault(asker, deque()).append(item)

    def next(self) -> T | None:
        """Whose turn it is, which waits no longer; none if nobody waits."""
        if not self._waiting:
            return None
        asker, queue = self._waiting.popitem(last=False)
        item = queue.popleft()
        if queue:
            self._waiting[asker] = queue
        return item

    def remove(self, asker: str, item: T) -> None:
        """Have ``item``, which waits, wait no longer."""
        queue = self._waiting[asker]
        queue.remove(item)
        if not queue:
            del self._waiting[asker]

    def count(self, asker: str) -> int:
        """How many of ``asker`` wait."""
        return len(self._waiting.get(asker, ()))
