"""What does not count of a site's catalog, and what else is wrong with a member, as people are told."""

from __future__ import annotations

from typing import Final

from catalog.dagcbor import Value
from node.api.schema import MemberView

MAX_FAULTS: Final = 1000
"""Of the entries of a site that do not count, so many are told."""


class FaultView(Value, frozen=True, kw_only=True):
    """An entry of a site's catalog that does not count, by its place in the log, and why."""

    index: int
    reason: str


class FaultsView(Value, frozen=True, kw_only=True):
    """How many entries of a site's catalog do not count, and the first of them."""

    count: int
    faults: tuple[FaultView, ...]


def wrong_with(member: MemberView) -> str:
    """All that is wrong with a member, in words; empty as a rule."""
    entries = f"{member.faults:,} entries do" if member.faults > 1 else "an entry does"
    faults = f"{entries} not count ({member.fault})" if member.faults else ""
    return "; ".join(filter(None, (member.stopped, member.behind, member.refuses, faults)))
