"""Putting a shared dataset under a new key, once at a time: what is made replaces one version, and only one thing does.

The node makes the new version and the steward's client signs the entries, so that a while passes between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import Conflict
from catalog.index import SiteIndex

SIGNED_SECONDS: Final = 600.0
"""How long a new version waits for its entry: as long as the store keeps what nobody names yet."""


class Rekeying:
    """Which datasets of this site, whose catalog ``own`` gives, are being put under a new key, and what was made."""

    def __init__(self, own: Callable[[], SiteIndex]) -> None:
        self._own = own
        self._until: dict[Cid, float] = {}
        self._made: dict[Cid, Cid] = {}

    def begin(self, old: Cid) -> None:
        """Nobody else puts ``old`` under a new key until that is done, has failed, or was signed by nobody.

        Raises:
            Conflict: somebody does at this moment, or the dataset was withdrawn meanwhile.
        """
        fields = self._own().typed(DatasetFields, "dataset", str(old))
        if fields is not None and fields.withdrawn:
            raise Conflict(f"«{fields.name}» was withdrawn or put under a new key meanwhile; see «comity dataset list»")
        if self._until.get(old, float("-inf")) > trio.current_time():
            raise Conflict("that dataset is being put under a new key at this moment; see «comity dataset list»")
        self._until[old] = float("inf")

    def end(self, old: Cid, new: Cid | None) -> None:
        """The version ``new`` is there for its entry to be signed; none if it failed."""
        if new is None:
            del self._until[old]
            return
        self._until[old] = trio.current_time() + SIGNED_SECONDS
        self._made[new] = old

    def replaces(self, new: Cid, old: Cid) -> bool:
        """Whether ``new`` was made to stand in the place of ``old``."""
        return self._made.get(new) == old
