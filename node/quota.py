"""How much of something is taken from one member or person: what somebody floods, they flood for themselves.

Each has a store of what may still come, which fills again with time. A node that restarts begins with full stores,
which nobody but its operator can make it do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from catalog.error import Denied

DAY: Final = 86_400_000
_HOUR: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Bound:
    """At most ``most`` at once, and ``a_day`` more with each day.

    ``told`` is what is said of more: a line with ``{a_day}``, and ``{wait}`` for how long no more is taken.
    """

    most: int
    a_day: int
    told: str


class Quota:
    """What may still come from each. ``now`` gives Unix milliseconds; a clock set back adds nothing."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._left: dict[tuple[str, Bound], tuple[float, int]] = {}

    def take(self, whom: str, bound: Bound, count: int = 1) -> None:
        """Count what comes from ``whom``: a member or a person that was verified, so that there are not endless ones.

        Raises:
            Denied: it is more than may come, with how long to wait; nothing was counted.
        """
        self.check(whom, bound, count)
        left, now = self._fill(whom, bound)
        self._left[whom, bound] = (left - count, now)

    def check(self, whom: str, bound: Bound, count: int = 1) -> None:
        """Count nothing yet: what is taken from two stores is taken from both or neither.

        Raises:
            Denied: it is more than may come, with how long to wait.
        """
        left, _ = self._fill(whom, bound)
        if count > left:
            wait = (count - left) * DAY / bound.a_day
            raise Denied(bound.told.format(a_day=f"{bound.a_day:,}", wait=_span(wait)))

    def _fill(self, whom: str, bound: Bound) -> tuple[float, int]:
        now = self._now()
        left, since = self._left.get((whom, bound), (float(bound.most), now))
        grown = max(0, now - since) * bound.a_day / DAY
        return min(float(bound.most), left + grown), max(now, since)


def _span(millis: float) -> str:
    """A wait in words, never shorter than it is."""
    return f"{int(millis // 60_000) + 1} min" if millis < _HOUR else f"{millis / _HOUR + 0.05:,.1f} h"
