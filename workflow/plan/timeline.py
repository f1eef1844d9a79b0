"""When a site has room: its slots, and the gaps that earlier tasks left between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

MOST_GAPS: Final = 256
"""Gaps that are remembered at a site; of more the earliest are forgotten, so that 20,000 tasks take seconds."""


class Timeline:
    """The slots of one site. A task takes one of them from its start to its finish."""

    __slots__ = ("_ends", "_gaps", "_unused")

    def __init__(self, at_once: int) -> None:
        self._unused = at_once
        self._ends: list[int] = []
        """When each slot that was used is free again, ascending."""
        self._gaps: list[tuple[int, int]] = []
        """(end, start) of each gap, ascending."""

    def earliest(self, ready: int, millis: int) -> int:
        """When a task that is ready then can begin."""
        best = ready if self._unused or self._ends[0] <= ready else self._ends[0]
        if best == ready:
            return ready
        for at in range(bisect_left(self._gaps, (ready + millis, -1)), len(self._gaps)):
            end, start = self._gaps[at]
            start = max(start, ready)
            if start < best and start + millis <= end:
                best = start
        return best

    def take(self, start: int, millis: int) -> None:
        """Use the room that :meth:`earliest` named."""
        for at in range(bisect_left(self._gaps, (start + millis, -1)), len(self._gaps)):
            end, begin = self._gaps[at]
            if begin <= start:
                del self._gaps[at]
                self._gap(begin, start)
                self._gap(start + millis, end)
                return
        at = bisect_right(self._ends, start) - 1
        if at >= 0:
            self._gap(self._ends.pop(at), start)
        else:
            self._unused -= 1
            self._gap(0, start)
        insort(self._ends, start + millis)

    def _gap(self, start: int, end: int) -> None:
        if end > start:
            insort(self._gaps, (end, start))
            if len(self._gaps) > MOST_GAPS:
                del self._gaps[0]
