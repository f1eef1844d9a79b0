"""A release as the ledger remembers it: which counts left, of which rows. It stays with the owner.

Counts are the exact ones, also where rounded ones left. Cells that were suppressed are not in it, and neither are
those below the threshold that left rounded: nobody outside knows them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from privacy.disclosure.predicate import Box, ValueSet, box
from privacy.disclosure.table import Key, Table


@dataclass(frozen=True)
class Frame:
    """Some of a release's dimensions, and the sums of its cells by them, as far as all cells of a sum are known."""

    where: Box
    by: tuple[str, ...]
    counts: Mapping[Key, int]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that each box of it restricts, sorted."""
        return tuple(sorted({*(column for column, _ in self.where), *self.by}))

    @cached_property
    def boxes(self) -> tuple[tuple[Box, Key, int], ...]:
        """Each box with its key and its count."""
        one = {value: ValueSet(frozenset((value,))) for key in self.counts for value in key}
        # A column both in «where» and in «by» has the cell's category: it lies within.
        slots: list[tuple[str, int, ValueSet | None]] = [(column, at, None) for at, column in enumerate(self.by)]
        slots += [(column, -1, values) for column, values in self.where if column not in self.by]
        slots.sort(key=lambda slot: slot[0])
        return tuple(
            [
                (tuple([(column, values or one[key[at]]) for column, at, values in slots]), key, count)
                for key, count in self.counts.items()
            ]
        )


@dataclass(frozen=True)
class Release:
    """Counts that left about ``datasets`` (texts of CIDs), by the columns ``by``. ``where`` is none if nobody knows it.

    ``counts`` has each cell whose count can be known outside; ``withheld`` are the keys of the others.
    """

    id: str
    datasets: frozenset[str]
    where: Mapping[str, frozenset[str]] | None
    by: tuple[str, ...]
    counts: Mapping[Key, int]
    withheld: frozenset[Key] = frozenset()

    @classmethod
    def of(cls, id: str, datasets: Collection[str], table: Table, withheld: Collection[Key]) -> Release:
        """The release of ``table`` without its ``withheld`` cells."""
        held = frozenset(withheld)
        return cls(
            id=id,
            datasets=frozenset(datasets),
            where=table.where,
            by=tuple(each.name for each in table.dimensions),
            counts={key: cell.count for key, cell in table.cells.items() if cell.count and key not in held},
            withheld=held,
        )

    @cached_property
    def restriction(self) -> Box:
        """The rows that were counted, as far as they are known."""
        return box({column: ValueSet(values) for column, values in (self.where or {}).items()})

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that each of its cells restricts."""
        return frozenset([*(column for column, _ in self.restriction), *self.by])

    @cached_property
    def parts(self) -> Mapping[tuple[str, ...], Mapping[Key, tuple[int, int]]]:
        """By some of the columns, of the cells that are known: their sum, and the largest of them."""
        kept = [at for size in range(len(self.by), -1, -1) for at in combinations(range(len(self.by)), size)]
        return {tuple(self.by[at] for at in places): self._parts(places) for places in kept}

    @cached_property
    def frames(self) -> tuple[Frame, ...]:
        """The cells, and each margin of them: a sum that lacks none of its cells."""
        return tuple(self._frame(by, parts) for by, parts in self.parts.items())

    def _parts(self, kept: tuple[int, ...]) -> dict[Key, tuple[int, int]]:
        if len(kept) == len(self.by):
            return {key: (count, count) for key, count in self.counts.items()}
        parts: dict[Key, tuple[int, int]] = {}
        for key, count in self.counts.items():
            short = tuple([key[at] for at in kept])
            total, largest = parts.get(short, (0, 0))
            parts[short] = (total + count, max(largest, count))
        return parts

    def _frame(self, by: tuple[str, ...], parts: Mapping[Key, tuple[int, int]]) -> Frame:
        kept = [self.by.index(column) for column in by]
        lacking = {tuple([key[at] for at in kept]) for key in self.withheld}
        return Frame(self.restriction, by, {key: total for key, (total, _) in parts.items() if key not in lacking})
