"""Waiting for what arrives by itself: replication is not instant, and a look costs a millisecond."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from catalog.error import NotFound, Unreachable

T = TypeVar("T")

_EVERY: Final = 0.05


def eventually(look: Callable[[], T | None], what: str, seconds: float = 30.0, every: float = _EVERY) -> T:
    """What ``look`` gives, as soon as it gives something; what it does not find yet counts as nothing.

    It is asked ``every`` so many seconds: seldom for what takes seconds anyway, or looking costs more than the rest.

    Raises:
        Unreachable: it gave nothing in ``seconds``; the message names ``what``.
    """
    until = time.monotonic() + seconds
    missing = ""
    while time.monotonic() < until:
        try:
            found = look()
        except NotFound as error:
            missing = f": {error}"
        else:
            if found is not None:
                return found
        time.sleep(every)
    raise Unreachable(f"{what} did not come within {seconds:.0f} s{missing}")
