"""How much of one member's catalog is taken: up to what a long-lived log needs at once when a newcomer fetches it."""

from __future__ import annotations

from typing import Final

from node.quota import Bound


def _of(what: str) -> str:
    return (
        f"its catalog grows by more than {{a_day}} {what} a day, and no more is taken for {{wait}};"
        " ask that site what it publishes"
    )


LEAVES: Final = Bound(16_000_000, 1_000_000, _of("entries"))
"""A leaf is 152 bytes on disk: 2.4 GB when a newcomer fetches years of a busy site, 150 MB a day from then on."""

BODIES: Final = Bound(LEAVES.most, LEAVES.a_day, _of("bodies"))
"""No more than there are leaves; each is a row that is decoded and whose signature is checked, about 0.1 ms of work."""

BODY_BYTES: Final = Bound(16 << 30, 1 << 30, _of("bytes of bodies"))
"""A body is 500 bytes as a rule and 64 KiB at most: 16 M of the largest would be a terabyte."""
