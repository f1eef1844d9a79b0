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
        self._since: OrderedDict[tuple[str, Cid], tuple[float, bool]] = OrderedDict()

    def goes_on(self, person: str, cid: Cid) -> bool:
        """Whether this goes on with what was written down; from now on it would."""
        since, _ = self._since.get((person, cid), (-GOES_ON_SECONDS, False))
        self._remember(person, cid, whole=self.has_whole(person, cid))
        return since + GOES_ON_SECONDS > trio.current_time()

    def begins_whole(self, person: str, cid: Cid) -> None:
        """It is written down that the person reads all of it, which is here."""
        self._remember(person, cid, whole=True)

    def has_whole(self, person: str, cid: Cid) -> bool:
        """Whether the person is reading all of it, so that any part goes on with that."""
        since, whole = self._since.get((person, cid), (-GOES_ON_SECONDS, False))
        return whole and since + GOES_ON_SECONDS > trio.current_time()

    def _remember(self, person: str, cid: Cid, *, whole: bool) -> None:
        self._since[person, cid] = trio.current_time(), whole
        self._since.move_to_end((person, cid))
        while len(self._since) > _MOST_READERS:
            self._since.popitem(last=False)
