"""CIDs as people write them: whole, or by their end, with or without «…» before it."""

from __future__ import annotations

from typing import Final

from catalog.cid import Cid

LETTERS: Final = 8
"""Letters at the end of a CID that name it, at least."""


def is_named(named: str, cid: Cid | str) -> bool:
    """Whether ``named`` is that CID, or the end of it."""
    end = named.removeprefix("…")
    return len(end) >= LETTERS and str(cid).endswith(end)
