"""A frequency or magnitude table before and after protection: dimensions, cells by key, who counted their contributors.

A table has inner cells alone. Its margins are what can be added up of them; a margin that is wanted by itself is a
table by fewer columns. A combination of categories that has no cell has the count 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod
from typing import Final

from catalog.error import BadInput, shown

Key = tuple[str, ...]
"""A cell's category in each dimension, in the dimensions' order."""

MAX_DIMENSIONS: Final = 4
MAX_CELLS: Final = 100_000
MAX_TEXT: Final = 64
"""Characters of the name of a column, a category or a measure."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A column by which is counted, and its categories, each once."""

    name: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Magnitude:
    """One measure of one cell: what would be released, and what dominance is told from.

    ``total`` is the sum of all contributions and ``largest`` the largest of them (one a person), descending; both are
    none where nobody knows them. ``negative`` says that a contribution is below zero. Of a quantile, ``beyond`` is how
    many people lie on its thinner side, and there are no contributions.
    """

    value: Fraction
    total: Fraction | None = None
    largest: tuple[Fraction, ...] | None = None
    negative: bool = False
    beyond: int | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """How many people stand in a cell, and the magnitudes of the table's measures, in their order."""

    count: int
    magnitudes: tuple[Magnitude, ...] = ()


ZERO: Final = Cell(0)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of one population.

    ``where`` says which rows were counted, as sets of values by column: none of them is all rows, and ``None`` stands
    for «nobody knows», as in a block's own table that does not say it.

    Raises:
        BadInput: more dimensions or cells than are taken, or cells that do not fit the dimensions.
    """

    dimensions: tuple[Dimension, ...]
    cells: Mapping[Key, Cell]
    measures: tuple[str, ...] = ()
    where: Mapping[str, frozenset[str]] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dimensions) > MAX_DIMENSIONS:
            raise BadInput(f"a table of {len(self.dimensions)} dimensions was refused: at most {MAX_DIMENSIONS}")
        if self.size > MAX_CELLS:
            raise BadInput(f"a table of {self.size:,} cells was refused: at most {MAX_CELLS:,}")
        _check_names([each.name for each in self.dimensions], "dimension")
        _check_names(self.measures, "measure")
        for each in self.dimensions:
            _check_names(each.categories, f"category of «{shown(each.name)}»")
        known = [frozenset(each.categories) for each in self.dimensions]
        for key, cell in self.cells.items():
            if len(key) != len(known) or not all(part in of for part, of in zip(key, known, strict=True)):
                raise BadInput(f"the cell {in_words(key)} is none of the table's")
            if cell.count < 0:
                raise BadInput(f"the cell {in_words(key)} has the count {cell.count}")
            if cell.count and len(cell.magnitudes) != len(self.measures):
                raise BadInput(f"the cell {in_words(key)} has {len(cell.magnitudes)} of {len(self.measures)} measures")

    @property
    def size(self) -> int:
        """How many cells there are, empty ones among them."""
        return prod(len(each.categories) for each in self.dimensions)

    def every_key(self) -> Iterator[Key]:
        """All keys, in the order of the categories."""
        return product(*(each.categories for each in self.dimensions))

    def count(self, key: Key) -> int:
        """The count of a cell."""
        return self.cells.get(key, ZERO).count

    def lines(self) -> Iterator[tuple[Key, ...]]:
        """The keys of each row of cells along each dimension."""
        for place, each in enumerate(self.dimensions):
            others = [d.categories if at != place else ("",) for at, d in enumerate(self.dimensions)]
            for key in product(*others):
                yield tuple((*key[:place], category, *key[place + 1 :]) for category in each.categories)


@dataclass(frozen=True, slots=True)
class Released:
    """What of a table may leave: counts and values by key. Of a suppressed cell nothing stands here but its key."""

    dimensions: tuple[Dimension, ...]
    measures: tuple[str, ...]
    counts: Mapping[Key, int]
    values: Mapping[Key, tuple[Fraction | None, ...]]
    suppressed: frozenset[Key]
    base: int = 1
    """The counts are multiples of it."""


def in_words(key: Iterable[str]) -> str:
    """A cell's key for people."""
    return "«" + shown(" · ".join(key) or "all") + "»"


def _check_names(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if not 1 <= len(name) <= MAX_TEXT or not name.isprintable():
            raise BadInput(f"«{shown(name)}» is no name of a {what}: 1 to {MAX_TEXT} printable characters are taken")
        if name in seen:
            raise BadInput(f"the {what} «{shown(name)}» stands twice")
        seen.add(name)
