"""How old what a person signed may be when it is brought: it is good then, not for whoever finds it later."""

from __future__ import annotations

from typing import Final

FRESH_MILLIS: Final = 10 * 60_000
"""Ten minutes; as far apart may the clocks of two sites be."""


def is_fresh(at: int, now: int) -> bool:
    """Whether what was signed at ``at`` may count at ``now`` (both Unix milliseconds)."""
    return abs(now - at) <= FRESH_MILLIS
