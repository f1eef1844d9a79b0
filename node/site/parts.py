"""Who reads which data part by part, so that one reading is written down once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import trio

from catalog.cid import Cid

GOES_ON_SECONDS: Final = 600.0
"""A part that somebody asks for so soon after another of the same data goes on with what is written down already."""
_MOST_READERS: Final = 1024


class Reading:
    """Who has begun to read which data part by part, not long ago."""

    def __init__(self) -> None:
        self._since: OrderedDict[tuple[str, Cid], float] = OrderedDict()

    def goes_on(self, person: str, cid: Cid) -> bool:
        """Whether this goes on with what was written down; from now on it would."""
        before = self._since.pop((person, cid), -GOES_ON_SECONDS)
        self._since[person, cid] = trio.current_time()
        while len(self._since) > _MOST_READERS:
            self._since.popitem(last=False)
        return before + GOES_ON_SECONDS > trio.current_time()
