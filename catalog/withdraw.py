"""A site takes bodies of its catalog back: whoever holds them erases them, and the log still verifies."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.body import Index
from catalog.dagcbor import Value, cid_of


class WithdrawFields(Value, frozen=True, kw_only=True):
    """The fields of a ``withdraw`` entry: places of this very log, all before this entry, each once and in order.

    It names no person and no dataset: what was there is to be forgotten.
    """

    places: Annotated[tuple[Index, ...], msgspec.Meta(min_length=1, max_length=4096)]

    @property
    def subject(self) -> str:
        """Its own, so that every such entry goes on counting."""
        return str(cid_of(self))
