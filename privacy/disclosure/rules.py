"""The rules that tell which cells disclose something about somebody, and what they find in a table.

The rules and their defaults are those of acro (AI-SDC), which takes them from the SDC handbook of the UK's safe data
access professionals; n-k dominance and p % are in Hundepool et al., Statistical Disclosure Control, 2012, chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from catalog.error import BadInput
from privacy.disclosure.table import ZERO, Cell, Key, Magnitude, Table, in_words


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds. Counts are people; shares are of 1.

    A count below ``threshold`` is not released. The ``largest`` contributors may make up less than ``share`` of a
    total, and what remains beside the two largest must be at least ``percent`` of the largest. An estimate needs
    ``freedom`` residual degrees of freedom, and no group in it is smaller than ``group``. Values leave with
    ``digits`` significant digits.
    """

    threshold: int = 10
    largest: int = 2
    share: Fraction = Fraction(9, 10)
    percent: Fraction = Fraction(1, 10)
    freedom: int = 10
    group: int = 10
    digits: int = 7

    def with_min_cell(self, least: int) -> Rules:
        """The rules under the duty ``@min_cell("least")``, which only makes them stricter.

        Raises:
            BadInput: ``least`` is no count of people.
        """
        if least < 1:
            raise BadInput(f"@min_cell is a number of people from 1 on, not {least}")
        return replace(self, threshold=max(self.threshold, least), group=max(self.group, least))


class Reason(StrEnum):
    """Why a cell discloses."""

    SMALL = "below threshold"
    ZERO = "zero cell"
    FULL = "full cell"
    DOMINANT = "n-k dominance"
    PERCENT = "p % rule"
    NEGATIVE = "negative contributions"
    UNKNOWN = "unknown contributions"
    EDGE = "thin quantile"
    DIFFERENCE = "difference"
    CROSSING = "crossing groups"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found at a cell. ``key`` is none where it is the table as a whole. ``words`` are for the steward:
    they may hold numbers of the cell.
    """

    reason: Reason
    key: Key | None
    words: str
    measure: str = ""


def findings(table: Table, rules: Rules) -> tuple[Finding, ...]:
    """What the rules find in ``table`` by itself: the primary cells, each with each reason, in the keys' order."""
    full = set(_full(table))
    return tuple(
        found
        for key in table.every_key()
        for found in _of_cell(table, key, table.cells.get(key, ZERO), rules, key in full)
    )


def dominated(magnitude: Magnitude, rules: Rules) -> bool:
    """Whether the largest contributors make up the share of n-k, or more."""
    if not magnitude.total or magnitude.largest is None:
        return False
    return sum(magnitude.largest[: rules.largest], Fraction()) >= rules.share * magnitude.total


def guessed(magnitude: Magnitude, rules: Rules) -> bool:
    """Whether the second largest contributor could tell the largest within p %. Where all are 0, everyone can."""
    if magnitude.total is None or magnitude.largest is None:
        return False
    first = magnitude.largest[0] if magnitude.largest else Fraction()
    remainder = magnitude.total - sum(magnitude.largest[:2], Fraction())
    return first == 0 or remainder < rules.percent * first


def _of_cell(table: Table, key: Key, cell: Cell, rules: Rules, full: bool) -> Iterator[Finding]:
    where = in_words(key)
    if cell.count == 0:
        yield Finding(Reason.ZERO, key, f"nobody is in the cell {where}: that says something of everybody beside it")
        return
    if cell.count < rules.threshold:
        yield Finding(Reason.SMALL, key, f"the cell {where} has {cell.count} people; at least {rules.threshold} leave")
    if full:
        yield Finding(Reason.FULL, key, f"the cell {where} holds all {cell.count} of its row: that tells each one's")
    for measure, magnitude in zip(table.measures, cell.magnitudes, strict=True):
        for reason, words in _of_magnitude(magnitude, rules):
            yield Finding(reason, key, f"«{measure}» in the cell {where}: {words}", measure)


def _of_magnitude(magnitude: Magnitude, rules: Rules) -> Iterator[tuple[Reason, str]]:
    if magnitude.beyond is not None:
        if magnitude.beyond < rules.threshold:
            yield Reason.EDGE, f"{magnitude.beyond} people lie on one side of the quantile; it is near to somebody's"
        return
    if magnitude.negative:
        yield Reason.NEGATIVE, "somebody's contribution is below zero, so dominance is not defined"
        return
    if magnitude.total is None or magnitude.largest is None:
        yield Reason.UNKNOWN, "its largest contributions are not known, so nobody can say whether one dominates"
        return
    if dominated(magnitude, rules):
        share = f"{float(rules.share):.0%}"
        yield Reason.DOMINANT, f"its {rules.largest} largest contributors make up {share} or more of the total"
    if guessed(magnitude, rules):
        yield Reason.PERCENT, f"the second largest contributor can tell the largest within {float(rules.percent):.0%}"


def _full(table: Table) -> Iterator[Key]:
    for line in table.lines():
        if len(line) > 1:
            filled = [key for key in line if table.count(key)]
            if len(filled) == 1:
                yield filled[0]
