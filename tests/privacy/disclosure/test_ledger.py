"""Lost: that two numbers, each of them harmless, tell of a small group by their difference."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import pytest

from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Declared, Populations
from privacy.disclosure.protect import SUPPRESS, Outcome, Treatment, protect
from privacy.disclosure.release import Release
from privacy.disclosure.rules import Reason, Rules
from privacy.disclosure.table import Cell, Dimension, Key, Table

RULES = Rules()
DATA = frozenset({"first"})
NEXT = frozenset({"second"})


def table(counts: Mapping[Key, int], by: tuple[str, ...] = (), where: Mapping[str, str] | None = None) -> Table:
    dimensions = tuple(Dimension(name, tuple(sorted({key[at] for key in counts}))) for at, name in enumerate(by))
    sets = {column: frozenset(values) for column, values in (where or {}).items()}
    return Table(dimensions, {key: Cell(count) for key, count in counts.items()}, where=sets)


def total(count: int, **where: str) -> Table:
    return table({(): count}, where=where)


class Site:
    """An owner who protects and records."""

    def __init__(self, *declared: Declared) -> None:
        self.ledger = Ledger(Populations.of(declared))
        self.number = 0

    def ask(self, asked: Table, datasets: frozenset[str] = DATA, treatment: Treatment = SUPPRESS) -> Outcome:
        outcome = protect(asked, RULES, treatment, self.ledger.past(datasets))
        if outcome.released is not None:
            self.number += 1
            self.ledger.record(Release.of(str(self.number), datasets, asked, outcome.withheld))
        return outcome

    def lets(self, asked: Table, datasets: frozenset[str] = DATA) -> bool:
        return self.ask(asked, datasets).released is not None


@pytest.mark.parametrize(("asked", "let"), [(497, False), (491, False), (490, True), (500, True)])
def test_a_subset_that_lacks_a_few_is_not_told(asked: int, let: bool) -> None:
    site = Site()
    assert site.lets(total(500))
    assert site.lets(total(asked, sex="f")) is let


def test_the_order_in_which_the_two_are_asked_makes_no_difference() -> None:
    site = Site()
    assert site.lets(total(497, sex="f"))
    assert not site.lets(total(500))


def test_the_second_query_that_would_reveal_a_suppressed_cell_is_suppressed() -> None:
    """A cell of 3 is suppressed with others; what is left of their row would tell it."""
    site = Site()
    cells = {("f", "n"): 3, ("f", "s"): 30, ("f", "e"): 22, ("f", "w"): 50}
    cells |= {("m", "n"): 33, ("m", "s"): 31, ("m", "e"): 28, ("m", "w"): 56}
    outcome = site.ask(table(cells, ("sex", "region")))
    assert outcome.released is not None
    assert ("f", "n") in outcome.released.suppressed
    assert site.lets(total(105, sex="f"))
    withheld = next(key for key in outcome.released.suppressed if key[0] == "f" and key[1] != "n")
    again = site.ask(total(cells[withheld], sex="f", region=withheld[1]))
    assert again.released is None
    assert [each.reason for each in again.findings] == [Reason.DIFFERENCE]


def test_the_general_tracker_is_stopped() -> None:
    """Four counts, no two of which differ by little: all, by each of two columns, by both. They leave a group of 4."""
    site = Site()
    assert site.lets(total(200))
    assert site.lets(total(120, a="x"))
    assert site.lets(total(116, b="y"))
    assert not site.lets(total(40, a="x", b="y"))  # 200 - 120 - 116 + 40 are neither x nor y
    assert site.lets(total(60, a="x", b="y"))


def test_other_groups_of_a_column_are_for_the_steward() -> None:
    """Three sums of two values each would give each value."""
    site = Site()
    assert site.lets(table({(): 50}, where={"age": "ab"}))
    outcome = site.ask(table({(): 60}, where={"age": "bc"}))
    assert outcome.released is None
    assert [each.reason for each in outcome.findings] == [Reason.CROSSING]
    assert site.lets(table({(): 50}, where={"age": "ab"}))


def test_a_version_with_three_people_more_tells_of_them() -> None:
    site = Site(Declared("first", "cohort"), Declared("second", shares=("first",)))
    assert site.lets(total(500), DATA)
    assert not site.lets(total(503), NEXT)
    assert not site.lets(total(495, sex="f"), NEXT)
    assert site.lets(total(520), NEXT)


def test_datasets_of_other_populations_are_not_compared() -> None:
    site = Site(Declared("first", "one"), Declared("second", "two"))
    assert site.lets(total(500), DATA)
    assert site.lets(total(503), NEXT)


def test_a_table_of_unknown_rows_is_taken_for_the_worst() -> None:
    """Nobody says which rows it is of: of the same, or of a few less."""
    site = Site()
    assert site.lets(total(500))
    unknown = Table((), {(): Cell(495)}, where=None)
    assert not site.lets(unknown)
    assert site.lets(Table((), {(): Cell(480)}, where=None))
    assert not site.lets(total(484, sex="f"))


def test_sums_of_earlier_cells_count() -> None:
    """All people less those in a table of two columns: the group is seen in none of its margins."""
    site = Site()
    assert site.lets(table({("x",): 40, ("y",): 55}, ("b",), {"a": "x"}))
    assert not site.lets(total(99))
    assert site.lets(total(95 + 30))


def test_a_cell_of_a_table_is_suppressed_and_the_others_stay() -> None:
    site = Site()
    assert site.lets(total(52, region="n", sex="f"))
    outcome = site.ask(table({("n",): 55, ("s",): 80, ("e",): 90}, ("region",)))
    assert outcome.released is not None
    assert ("n",) in outcome.released.suppressed
    assert len(outcome.released.counts) == 1


def test_after_rounding_no_margin_gives_the_small_cell() -> None:
    site = Site()
    regions = table({("n",): 4, ("s",): 14, ("e",): 33}, ("region",))
    rounded = site.ask(regions, treatment=Treatment(5))
    assert rounded.released is not None
    assert rounded.released.counts == {("e",): 35}
    assert not site.lets(total(37), DATA)
    assert not site.lets(total(33 + 4))
    assert site.lets(total(51))


def test_what_differs_a_little_is_not_told_either_where_all_is_rounded() -> None:
    """Lost: two counts that are rounded to neighbours tell that the group between is small."""
    site, rounding = Site(), Treatment(10)
    assert site.ask(total(500), treatment=rounding).released is not None
    assert site.ask(total(494, sex="f"), treatment=rounding).released is None


def test_recorded_in_any_order_the_ledger_refuses_the_same() -> None:
    """It is read again from a log whose rows stand in another order than their decisions were made in."""
    releases = [
        Release.of("1", DATA, total(500), ()),
        Release.of("2", DATA, total(120, a="x"), ()),
        Release.of("3", DATA, total(300, b="y"), ()),
        Release.of("4", DATA, table({("x", "y"): 60, ("z", "y"): 44}, ("a", "b")), ()),
    ]
    questions = [total(count, **where) for count in (55, 118, 495, 250) for where in ({}, {"a": "x"}, {"b": "y"})]
    seen = set()
    for order in permutations(releases):
        ledger = Ledger(Populations.of(()))
        for each in (*order, order[0]):
            ledger.record(each)
        past = ledger.past(DATA)
        seen.add(tuple(bool(past.check(each, (), RULES)) for each in questions))
    assert len(seen) == 1
    assert {True, False} == set(seen.pop())


def test_populations_are_tied_by_what_datasets_share() -> None:
    declared = [Declared("a", "cohort"), Declared("b", shares=("a",)), Declared("c", shares=("b",)), Declared("d")]
    for order in permutations(declared):
        populations = Populations.of(order)
        assert populations.name("a") == populations.name("b") == populations.name("c") == "population/cohort"
        assert populations.name("d") != populations.name("e")


def test_columns_whose_values_are_declared_are_added_up() -> None:
    """All values of a column, each asked by itself, are everybody."""
    columns = {"a": frozenset("xyz"), "b": frozenset("uv")}
    site = Site(Declared("first", columns=columns))
    for value, count in zip("xyz", (40, 50, 60), strict=True):
        assert site.lets(total(count, a=value))
    assert not site.lets(total(154))
    assert not site.lets(total(145, b="u"))
    assert all(site.lets(total(count, a=a)) for a, count in zip("xyz", (40, 50, 60), strict=True))
