"""How recent what is known of an issuer must be before it is relied on (PROTOCOL.md, Freshness).

What a site says can be taken back in its log. Whoever has not heard that log for long may not know: after these
bounds nothing is allowed on its word, whatever policy says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from privacy.decision import Action

HOUR: Final = 60 * 60 * 1000
DAY: Final = 24 * HOUR

BOUNDS: Final[Mapping[Action, int]] = {
    "see": 7 * DAY,
    "fetch": DAY,
    "compute": DAY,
    "release": 2 * HOUR,
    "report": 2 * HOUR,
}
"""Milliseconds for each action."""


def overdue(action: Action, ages: Mapping[str, int | None], bounds: Mapping[Action, int] = BOUNDS) -> str:
    """Why ``action`` may not rely on what is known; empty if it may.

    ``ages`` says of each issuer, by its name for people, how many milliseconds old what was heard of it is; none if
    nothing was.
    """
    never = sorted(name for name, age in ages.items() if age is None)
    if never:
        return f"nothing fresh was heard from {never[0]} yet; {action} needs it: see whether its node runs"
    known = {name: age for name, age in ages.items() if age is not None}
    oldest = max(known, key=lambda name: (known[name], name), default="")
    if not oldest or known[oldest] <= bounds[action]:
        return ""
    return (
        f"nothing fresh was heard from {oldest} for {duration(known[oldest])}; {action} needs"
        f" {duration(bounds[action])}: see whether its node runs"
    )


def duration(millis: int) -> str:
    """A time for people, in whole days, hours or minutes."""
    minutes = millis // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 72 * 60 else f"{minutes // (24 * 60)} d"
