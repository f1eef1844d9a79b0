"""A table of 10,000 cells held against 1,000 earlier releases of its population, beside adding its margins up.

The population has ten columns of 3 to 25 values, and as many people in each cell as the product of its values' weights:
so all counts agree with one another, as they do in one dataset. The earlier releases are tables by one or two columns
of rows that two others choose. Promised within 1 s. To add the margins up is the least that a check must do.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from itertools import combinations, product
from math import prod
from random import Random
from typing import Final

from bench.figure import Figure, Floor, Report, Series
from catalog.error import ComityError
from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Populations
from privacy.disclosure.protect import protect
from privacy.disclosure.release import Release
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Cell, Dimension, Key, Table

RUNS: Final = 7
RELEASES: Final = 1_000
SIZES: Final = (25, 20, 20, 10, 10, 8, 6, 5, 4, 3)
COLUMNS: Final = {f"column {at}": tuple(f"value {at}.{each}" for each in range(n)) for at, n in enumerate(SIZES)}
DATASETS: Final = frozenset({"dataset"})
RULES: Final = Rules()


def measure() -> Report:
    """Measure the check, and the whole protection of a table with small cells, each in turn with the margins."""
    random = Random(1)
    weights = {value: random.randint(2, 9) for values in COLUMNS.values() for value in values}
    earlier = [_earlier(random, weights, str(number)) for number in range(RELEASES)]
    cells = sum(len(each.counts) for each in earlier)
    ledger = Ledger.of(Populations.of([]), earlier)
    gc.freeze()  # as a node does
    table = _table(("column 0", "column 1", "column 2"), {}, weights)
    sparse = _sparse(table, random)
    past = ledger.past(DATASETS)
    if past.check(table, (), RULES):
        raise ComityError("the benchmark's table is told from earlier releases by a small group: its counts disagree")
    works: tuple[tuple[str, Callable[[], object], Floor | None], ...] = (
        ("a table of 10,000 cells, 1,000 earlier releases", lambda: past.check(table, (), RULES), Floor(1000)),
        ("suppressing in a table of 10,000 cells, 1 in 100 small", lambda: protect(sparse, RULES), None),
    )
    notes = (f"the earlier releases have {cells:,} cells in all",)
    return Report(tuple(_figure(what, work, table, floor) for what, work, floor in works), notes)


def _figure(what: str, work: Callable[[], object], table: Table, floor: Floor | None) -> Figure:
    def bound() -> object:
        return list(_margins(table))

    spent: tuple[list[float], list[float]] = [], []
    for _ in range(RUNS):
        for seconds, each in zip(spent, (work, bound), strict=True):
            began = time.perf_counter()
            each()
            seconds.append(time.perf_counter() - began)
    return Figure(what, Series.of_seconds(what, spent[0]), Series.of_seconds("its margins added up", spent[1]), floor)


def _earlier(random: Random, weights: dict[str, int], name: str) -> Release:
    chosen = random.sample(list(COLUMNS), random.choice((3, 4, 4)))
    where = {column: frozenset({random.choice(COLUMNS[column])}) for column in chosen[:2]}
    return Release.of(name, DATASETS, _table(tuple(chosen[2:]), where, weights), ())


def _table(by: tuple[str, ...], where: dict[str, frozenset[str]], weights: dict[str, int]) -> Table:
    """The table of the population whose every combination of values has the product of their weights."""
    rest = prod(
        sum(weights[value] for value in where.get(column, values))
        for column, values in COLUMNS.items()
        if column not in by
    )
    cells = {
        key: Cell(rest * prod(weights[value] for value in key)) for key in product(*(COLUMNS[each] for each in by))
    }
    return Table(tuple(Dimension(each, COLUMNS[each]) for each in by), cells, where=where)


def _sparse(table: Table, random: Random) -> Table:
    cells = {
        key: Cell(random.randint(1, 9) if random.random() < 0.01 else random.randint(20, 500)) for key in table.cells
    }
    return Table(table.dimensions, cells)


def _margins(table: Table) -> Iterator[dict[Key, int]]:
    for kept in combinations(range(len(table.dimensions)), len(table.dimensions) - 1):
        sums: dict[Key, int] = {}
        for key, cell in table.cells.items():
            short = tuple(key[at] for at in kept)
            sums[short] = sums.get(short, 0) + cell.count
        yield sums
