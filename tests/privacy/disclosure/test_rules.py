"""Lost: that each kind of cell that tells of somebody is found, and that a duty only makes the rules stricter."""

from __future__ import annotations

from fractions import Fraction

import pytest

from catalog.error import BadInput
from privacy.disclosure.rules import Reason, Rules, findings
from privacy.disclosure.table import MAX_CELLS, Cell, Dimension, Magnitude, Table

RULES = Rules()


def reasons(table: Table, rules: Rules = RULES) -> dict[tuple[str, ...] | None, set[Reason]]:
    found: dict[tuple[str, ...] | None, set[Reason]] = {}
    for each in findings(table, rules):
        found.setdefault(each.key, set()).add(each.reason)
    return found


def row(**counts: int) -> Table:
    return Table((Dimension("stage", tuple(counts)),), {(name,): Cell(count) for name, count in counts.items()})


def amounts(*contributions: int, count: int = 12) -> Table:
    each = tuple(map(Fraction, sorted(contributions, reverse=True)))
    total = sum(each, Fraction())
    magnitude = Magnitude(total, total, each[:2], negative=min(contributions) < 0)
    return Table((), {(): Cell(count, (magnitude,))}, ("cost",))


def test_the_threshold_is_the_smallest_count_that_leaves() -> None:
    assert reasons(row(i=9, ii=10, iii=11)) == {("i",): {Reason.SMALL}}


def test_nobody_and_everybody_in_one_category_are_found() -> None:
    """A zero tells of all who share the row; so does a cell that holds all of it."""
    assert reasons(row(i=0, ii=50)) == {("i",): {Reason.ZERO}, ("ii",): {Reason.FULL}}


@pytest.mark.parametrize(
    ("contributions", "expected"),
    [
        ((10,) * 20, set()),
        ((90, 10, *(1,) * 11), {Reason.DOMINANT}),  # 100 of 111, and 11 of 90 remain
        ((100, 10, *(1,) * 9), {Reason.DOMINANT, Reason.PERCENT}),
        ((0,) * 20, {Reason.PERCENT}),
        ((5, -5, 3, 8), {Reason.NEGATIVE}),
    ],
)
def test_one_that_dominates_is_found(contributions: tuple[int, ...], expected: set[Reason]) -> None:
    assert reasons(amounts(*contributions)).get((), set()) == expected


def test_what_nobody_can_check_is_found() -> None:
    table = Table((), {(): Cell(50, (Magnitude(Fraction(7)), Magnitude(Fraction(7), beyond=9)))}, ("sum", "tail"))
    assert reasons(table) == {(): {Reason.UNKNOWN, Reason.EDGE}}


def test_a_duty_makes_the_rules_stricter_alone() -> None:
    assert RULES.with_min_cell(20).threshold == 20
    assert RULES.with_min_cell(3) == RULES
    assert reasons(row(i=15, ii=30), RULES.with_min_cell(20)) == {("i",): {Reason.SMALL}}
    with pytest.raises(BadInput):
        RULES.with_min_cell(0)


@pytest.mark.parametrize(
    ("dimensions", "cells"),
    [
        ((Dimension("a", ("x", "x")),), {}),
        ((Dimension("a", ("x",)), Dimension("a", ("x",))), {}),
        ((Dimension("a", ("\x1b[2J",)),), {}),
        ((Dimension("a", ("x",)),), {("y",): Cell(1)}),
        ((Dimension("a", ("x",)),), {("x",): Cell(-1)}),
        (tuple(Dimension(name, tuple(map(str, range(20)))) for name in "abcd"), {}),
        (tuple(Dimension(name, ("x",)) for name in "abcde"), {}),
    ],
)
def test_what_is_no_table_is_refused(dimensions: tuple[Dimension, ...], cells: dict[tuple[str, ...], Cell]) -> None:
    assert MAX_CELLS < 20**4
    with pytest.raises(BadInput):
        Table(dimensions, cells)
