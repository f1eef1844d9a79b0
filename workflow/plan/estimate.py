"""How long a step will take at a site, learned from receipts, and how sure that is.

Receipts say the time by the wall as a power of two that it is not above, and sizes are compared as powers of two too.
Robust: a quantile of what was seen, so that one step in ten that hung does not move it. What was seen of the same block
comes before the offer's word, at the site itself before elsewhere, with inputs of the same size before others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.cid import Cid

EXPECTED: Final = 75
"""The percentile that a plan counts on: a deadline is hard, and three steps in four keep it."""

LOW: Final = 20
HIGH: Final = 80
"""The percentiles whose ratio is the spread."""


class Basis(StrEnum):
    """What an estimate rests on, the surest first."""

    SAME_SIZE = "this block there, on inputs of that size"
    SAME_SITE = "this block there"
    ELSEWHERE = "this block at other sites, by their measured speed"
    OFFER = "the offer"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a receipt told: the block took at most so many ms at the site, on so many bytes of datasets."""

    block: Cid
    site: str
    size: int
    millis: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """``millis`` expected, from ``receipts``, of which slow ones took ``spread`` times as long as quick ones."""

    millis: int
    receipts: int
    spread: float
    basis: Basis


class History:
    """What receipts told, to estimate by. ``speeds`` are those that sites measured, the reference machine's 1,000."""

    def __init__(self, seen: Iterable[Seen], speeds: Mapping[str, int]) -> None:
        self._speeds = speeds
        self._sized: dict[tuple[Cid, str, int], list[int]] = {}
        self._there: dict[tuple[Cid, str], list[int]] = {}
        self._anywhere: dict[Cid, list[tuple[str, int]]] = {}
        for each in seen:
            self._sized.setdefault((each.block, each.site, each.size.bit_length()), []).append(each.millis)
            self._there.setdefault((each.block, each.site), []).append(each.millis)
            self._anywhere.setdefault(each.block, []).append((each.site, each.millis))

    def estimate(self, block: Cid, site: str, size: int, offered: int) -> Estimate:
        """What is expected of ``block`` at ``site`` on ``size`` bytes, where an offer says ``offered`` ms."""
        if found := self._sized.get((block, site, size.bit_length())):
            return _estimated(found, Basis.SAME_SIZE)
        if found := self._there.get((block, site)):
            return _estimated(found, Basis.SAME_SITE)
        if other := self._scaled(block, site):
            return _estimated(other, Basis.ELSEWHERE)
        return Estimate(offered, 0, 1.0, Basis.OFFER)

    def _scaled(self, block: Cid, site: str) -> list[int]:
        """What it took elsewhere, as it would be here; of sites alone whose speed is known, as this one's must be."""
        speed = self._speeds.get(site)
        if speed is None:
            return []
        return [
            -(-millis * self._speeds[where] // speed)
            for where, millis in self._anywhere.get(block, ())
            if where in self._speeds
        ]


def _estimated(millis: Sequence[int], basis: Basis) -> Estimate:
    ordered = sorted(millis)
    low, high = percentile(ordered, LOW), percentile(ordered, HIGH)
    return Estimate(max(1, percentile(ordered, EXPECTED)), len(ordered), high / max(1, low), basis)


def percentile(ordered: Sequence[int], per_cent: int) -> int:
    """The least of the values, ascending, that ``per_cent`` of them are not above."""
    return ordered[max(0, -(-len(ordered) * per_cent // 100) - 1)]
