"""Roots that were added of late: they are kept though nobody names them yet."""

from __future__ import annotations

from typing import Final

import trio

from catalog.cid import Cid

FRESH_SECONDS: Final = 600.0
"""How long what was added is kept though nobody names it yet: an entry about it is being signed, a result written."""


class Fresh:
    """The fresh roots of a store; for trio's thread alone."""

    def __init__(self) -> None:
        self._added: dict[Cid, float] = {}

    def add(self, *roots: Cid) -> None:
        """They were added, or are being read, just now."""
        self._added.update(dict.fromkeys(roots, trio.current_time()))

    def discard(self, root: Cid) -> None:
        """It is fresh no more: something names it."""
        self._added.pop(root, None)

    def standing(self) -> dict[Cid, float]:
        """Those that are fresh still, and when each was added, by trio's clock."""
        least = trio.current_time() - FRESH_SECONDS
        self._added = {root: added for root, added in self._added.items() if added >= least}
        return dict(self._added)
