"""Asking in many small differing queries what one would refuse.

The attacker knows all values that columns have and solves all linear equations in what was let out. The attacks
succeed without the ledger, which shows that it is the ledger that stops them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations, product
from random import Random

import pytest

from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Declared, Populations
from privacy.disclosure.protect import NOTHING, protect
from privacy.disclosure.release import Release
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Cell, Dimension, Table

QUERIES = 1_000
PRIME = (1 << 61) - 1
COLUMNS = ("age", "region", "sex")
VALUES = ("v0", "v1", "v2", "v3")
ATOMS = list(product(VALUES, repeat=len(COLUMNS)))
SETS = [frozenset(chosen) for size in range(1, len(VALUES) + 1) for chosen in combinations(VALUES, size)]
RULES = Rules()
DATA = frozenset({"cohort"})
Where = Mapping[str, frozenset[str]]


def people(random: Random) -> list[int]:
    """How many people each combination of values has: many have few or none."""
    weights = [[random.choice((1, 1, 3, 10)) for _ in VALUES] for _ in COLUMNS]
    drawn = [tuple(random.choices(VALUES, each)[0] for each in weights) for _ in range(400)]
    return [drawn.count(atom) for atom in ATOMS]


def rows_of(where: Where) -> list[int]:
    return [int(all(atom[COLUMNS.index(c)] in values for c, values in where.items())) for atom in ATOMS]


def count(where: Where, each: list[int]) -> int:
    return sum(row * many for row, many in zip(rows_of(where), each, strict=True))


class Equations:
    """What was let out, as equations of the counts of atoms, solved modulo a prime."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def rest(self, row: list[int]) -> list[int]:
        for at, known in self.rows.items():
            if factor := row[at]:
                row = [(one - factor * other) % PRIME for one, other in zip(row, known, strict=True)]
        return row

    def add(self, row: list[int]) -> None:
        row = self.rest(row)
        at = next((at for at, one in enumerate(row) if one), None)
        if at is not None:
            scale = pow(row[at], -1, PRIME)
            new = [one * scale % PRIME for one in row]
            for other, known in self.rows.items():
                if factor := known[at]:
                    self.rows[other] = [(one - factor * two) % PRIME for one, two in zip(known, new, strict=True)]
            self.rows[at] = new


def queries(random: Random, attack: str) -> Iterator[tuple[Where, tuple[str, ...]]]:
    """Which rows to count, and by which columns."""
    for _ in range(QUERIES):
        chosen = random.sample(COLUMNS, random.randint(0, len(COLUMNS)))
        sets = SETS[:-1] if attack == "any groups" else SETS[: len(VALUES)]
        where = {column: random.choice(sets) for column in chosen}
        free = [column for column in COLUMNS if column not in where]
        yield where, tuple(random.sample(free, random.choice((0, 0, min(1, len(free)), len(free)))))


def small_groups(equations: Equations, each: list[int]) -> list[tuple[int, tuple[list[str], ...]]]:
    """The groups below the threshold that can be described by sets of values, and whose count the attacker has."""
    found = []
    for sets in product(SETS, repeat=len(COLUMNS)):
        where = dict(zip(COLUMNS, sets, strict=True))
        many = count(where, each)
        if 0 < many < RULES.threshold and not any(equations.rest(rows_of(where))):
            found.append((many, tuple(map(sorted, sets))))
    return found


def attacked(seed: int, attack: str, guarded: bool) -> tuple[int, list[tuple[int, tuple[list[str], ...]]]]:
    random = Random(seed)
    each = people(random)
    columns = {column: frozenset(VALUES) for column in COLUMNS}
    ledger = Ledger(Populations.of([Declared("cohort", columns=columns)]))
    equations, let = Equations(), 0
    for number, (where, by) in enumerate(queries(random, attack)):
        cells = {
            key: {**where, **{column: frozenset({one}) for column, one in zip(by, key, strict=True)}}
            for key in product(VALUES, repeat=len(by))
        }
        counts = {key: Cell(count(of, each)) for key, of in cells.items()}
        table = Table(tuple(Dimension(column, VALUES) for column in by), counts, where=where)
        outcome = protect(table, RULES, past=ledger.past(DATA) if guarded else NOTHING)
        if outcome.released is not None:
            let += 1
            ledger.record(Release.of(str(number), DATA, table, outcome.withheld))
            for key in outcome.released.counts:
                equations.add(rows_of(cells[key]))
    return let, small_groups(equations, each)


@pytest.mark.parametrize("attack", ["any groups", "one value at a time"])
def test_a_thousand_small_differing_queries_tell_of_no_small_group(attack: str) -> None:
    let, found = attacked(5, attack, guarded=True)
    assert found == []
    assert let > 100, "next to nothing was let out, so nothing was shown"


def test_the_same_queries_tell_it_where_no_ledger_is_kept() -> None:
    _, found = attacked(5, "one value at a time", guarded=False)
    assert found
