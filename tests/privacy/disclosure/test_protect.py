"""Lost: that a suppressed cell stays unknown to whoever has every sum of the table."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from privacy.disclosure import secondary
from privacy.disclosure.protect import Treatment, protect
from privacy.disclosure.rounding import to_base
from privacy.disclosure.rules import Rules, findings
from privacy.disclosure.table import Cell, Dimension, Key, Magnitude, Table

RULES = Rules()
counts = st.one_of(st.integers(0, 12), st.integers(10, 80))


@st.composite
def tables(draw: st.DrawFn) -> Table:
    shape = draw(st.sampled_from([(3,), (6,), (2, 2), (3, 4), (5, 3), (2, 3, 2), (3, 3, 3)]))
    dimensions = tuple(Dimension(f"d{at}", tuple(f"c{one}" for one in range(size))) for at, size in enumerate(shape))
    keys = product(*(each.categories for each in dimensions))
    return Table(dimensions, {key: Cell(draw(counts)) for key in keys})


def intervals(table: Table, suppressed: list[Key]) -> list[tuple[float, float]]:
    """What each suppressed cell may be, for whoever has all other cells and all sums along any of the dimensions."""
    rows: dict[tuple[object, ...], tuple[list[int], int]] = {}
    for size in range(len(table.dimensions)):
        for kept in combinations(range(len(table.dimensions)), size):
            for at, key in enumerate(suppressed):
                line = (kept, *(key[place] for place in kept))
                places, total = rows.get(line, ([], 0))
                rows[line] = ([*places, at], total + table.count(key))
    equations = [[float(at in places) for at in range(len(suppressed))] for places, _ in rows.values()]
    totals = [total for _, total in rows.values()]
    found = []
    for at in range(len(suppressed)):
        goal = [float(at == other) for other in range(len(suppressed))]
        low, high = (linprog([s * g for g in goal], A_eq=equations, b_eq=totals) for s in (1, -1))
        found.append((low.fun, -high.fun))
    return found


@settings(max_examples=60, deadline=None)
@given(tables())
def test_every_suppressed_cell_stays_open_by_the_threshold_or_more(table: Table) -> None:
    outcome = protect(table, RULES)
    if outcome.released is None:
        return
    suppressed = sorted(outcome.released.suppressed)
    assert {each.key for each in findings(table, RULES)} <= set(suppressed)
    for low, high in intervals(table, suppressed) if suppressed else ():
        assert high - low >= RULES.threshold - 1e-6


@settings(max_examples=60, deadline=None)
@given(tables())
def test_nothing_of_a_suppressed_cell_is_in_the_result(table: Table) -> None:
    released = protect(table, RULES).released
    if released is not None:
        assert released.suppressed.isdisjoint(released.counts)
        assert released.suppressed | set(released.counts) == set(table.every_key())
        assert all(count >= RULES.threshold for count in released.counts.values())


@given(st.integers(0, 10**6), st.integers(1, 50))
def test_rounding_counts_twice_is_rounding_once(count: int, base: int) -> None:
    once = to_base(count, base)
    assert to_base(once, base) == once
    assert abs(once - count) * 2 <= base


@settings(max_examples=60, deadline=None)
@given(tables(), st.integers(2, 30))
def test_what_is_rounded_follows_from_what_would_leave_unrounded(table: Table, base: int) -> None:
    """Else a rounded table tells of a small cell what suppression keeps."""
    plain, rounded = protect(table, RULES), protect(table, RULES, Treatment(base))
    assert rounded.withheld == plain.withheld
    assert (rounded.released is None) == (plain.released is None)
    if plain.released is not None and rounded.released is not None:
        assert rounded.released.counts == {key: to_base(count, base) for key, count in plain.released.counts.items()}
        assert rounded.released.suppressed == plain.released.suppressed
        assert rounded.released.base == base


def test_small_cells_that_are_rounded_one_by_one_would_be_told_by_their_sum() -> None:
    """Why suppression goes before rounding: nine cells of 4, each rounded to 0, in a sum that is rounded to 40."""
    nine = Table((Dimension("d", tuple("abcdefghi")),), {(name,): Cell(4) for name in "abcdefghi"})
    most, least_sum = 4, 35  # what is rounded to 0 and to 40 by tens
    assert least_sum - 8 * most == 3, "then each of them is 3 or 4"
    assert protect(nine, RULES, Treatment(10)).released is None


def test_counts_beside_values_are_not_rounded_but_stay() -> None:
    fine = Magnitude(Fraction(1000), Fraction(1000), (Fraction(60), Fraction(50)))
    table = Table((Dimension("d", ("a", "b")),), {("a",): Cell(30, (fine,)), ("b",): Cell(31, (fine,))}, ("cost",))
    assert protect(table, RULES).released is not None
    assert protect(table, RULES, Treatment(5)).released is None


def test_refusing_lets_a_clean_table_pass_and_no_other() -> None:
    clean = Table((Dimension("d", ("a", "b")),), {("a",): Cell(14), ("b",): Cell(16)})
    small = Table((Dimension("d", ("a", "b")),), {("a",): Cell(4), ("b",): Cell(16)})
    assert protect(clean, RULES, Treatment(whole=True)).released is not None
    assert protect(small, RULES, Treatment(whole=True)).released is None


def test_a_table_in_which_a_cell_cannot_be_hidden_is_refused() -> None:
    table = Table((Dimension("d", ("a", "b", "c")),), {("a",): Cell(4), ("b",): Cell(3), ("c",): Cell(2)})
    outcome = protect(table, RULES)
    assert outcome.released is None
    assert "4" not in outcome.line


def test_a_dominated_total_goes_with_its_cell_and_the_line_says_nothing_of_it() -> None:
    fine = Magnitude(Fraction(1000), Fraction(1000), (Fraction(60), Fraction(50)))
    bad = Magnitude(Fraction(1234567), Fraction(1234567), (Fraction(1234000), Fraction(500)))
    cells = {("a",): Cell(30, (bad,)), ("b",): Cell(31, (fine,)), ("c",): Cell(32, (bad,)), ("d",): Cell(77, (fine,))}
    big = Magnitude(Fraction(900000), Fraction(900000), (Fraction(30000), Fraction(20000)))
    cells |= {("e",): Cell(500, (big,))}
    outcome = protect(Table((Dimension("d", tuple("abcde")),), cells, ("cost",)), RULES)
    assert outcome.released is not None
    assert {("a",), ("c",)} <= outcome.released.suppressed
    assert "1234" not in outcome.line
    assert "1234567" not in str(outcome.released)


def test_how_long_cells_are_looked_for_is_bounded_for_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: one table of 100,000 cells, for which nothing else of its site is examined for many minutes."""
    dimensions = tuple(Dimension(name, tuple(map(str, range(12)))) for name in ("a", "b"))
    keys = product(*(each.categories for each in dimensions))
    table = Table(dimensions, {key: Cell(40 if at % 5 else 3) for at, key in enumerate(keys)})
    assert protect(table, RULES).released is not None
    monkeypatch.setattr(secondary, "MOST_TRIED", 50)
    outcome = protect(table, RULES)
    assert outcome.released is None
    assert outcome.line == "not released: what would follow from it is too much to be looked at"
