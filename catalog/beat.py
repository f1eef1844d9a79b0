"""A sign of life in a site's own catalog: as of the time in its body, nothing else was said that is not before it."""

from __future__ import annotations

from typing import Final

from catalog.dagcbor import Value

BEAT_SECONDS: Final = 10 * 60
"""How often a node writes one; the protocol asks for one at least every 30 minutes."""


class BeatFields(Value, frozen=True, kw_only=True):
    """The fields of a ``beat`` entry: none. Its time is that of its body."""
