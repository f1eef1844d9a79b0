"""How much of one member's catalog is taken: what a member floods, it floods for itself.

Each member has a store of what may still come, which fills again with time up to what a long-lived log needs at once
when a newcomer fetches it. A node that restarts begins with full stores, which nobody but its operator can make it do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from catalog.error import Denied

DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Bound:
    """At most ``most`` at once, and ``a_day`` more with each day. ``what`` is counted."""

    what: str
    most: int
    a_day: int


LEAVES: Final = Bound("entries", 16_000_000, 1_000_000)
"""A leaf is 152 bytes on disk: 2.4 GB when a newcomer fetches years of a busy site, 150 MB a day from then on."""

BODIES: Final = Bound("bodies", LEAVES.most, LEAVES.a_day)
"""No more than there are leaves; each is a row that is decoded and whose signature is checked, about 0.1 ms of work."""

BODY_BYTES: Final = Bound("bytes of bodies", 16 << 30, 1 << 30)
"""A body is 500 bytes as a rule and 64 KiB at most: 16 M of the largest would be a terabyte."""


class Quota:
    """What may still come from each member. ``now`` gives Unix milliseconds; a clock set back adds nothing."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._left: dict[tuple[str, Bound], tuple[float, int]] = {}

    def take(self, site: str, bound: Bound, count: int) -> None:
        """Count what comes from ``site``.

        Raises:
            Denied: it is more than may come; nothing was counted.
        """
        left, now = self._fill(site, bound)
        if count > left:
            hours = (count - left) * 24 / bound.a_day
            raise Denied(
                f"its catalog grows by more than {bound.a_day:,} {bound.what} a day, and no more is taken for "
                f"{hours:,.1f} h; ask that site what it publishes"
            )
        self._left[site, bound] = (left - count, now)

    def _fill(self, site: str, bound: Bound) -> tuple[float, int]:
        now = self._now()
        left, since = self._left.get((site, bound), (float(bound.most), now))
        grown = max(0, now - since) * bound.a_day / DAY
        return min(float(bound.most), left + grown), max(now, since)
