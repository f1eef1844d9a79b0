"""What of a new release is told apart from earlier ones by a small group: containment across several columns.

A number about some rows, and a number about some of those, tell of the rows between. Here pairs are looked for, and
sums of the cells of one release inside a cell of another. What follows along one column is the closure's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from privacy.disclosure.predicate import Box, ValueSet
from privacy.disclosure.release import Frame, Release
from privacy.disclosure.table import Key


@dataclass(slots=True)
class Columns:
    """The sets of values that were released of each column, by the values in them."""

    _having: dict[tuple[str, str], dict[ValueSet, None]] = field(default_factory=dict)

    def add(self, column: str, values: ValueSet) -> None:
        """Remember a set that lists its values."""
        for value in values.listed:
            self._having.setdefault((column, value), {})[values] = None

    def around(self, column: str, values: ValueSet) -> list[ValueSet]:
        """The sets that ``values`` lie within, itself among them if it is known."""
        near = self._having.get((column, min(values.listed)), ())
        return [each for each in near if values.within(each)]

    def crossed(self, column: str, values: ValueSet) -> ValueSet | None:
        """A set that shares values with ``values`` and is another one."""
        near = (each for value in sorted(values.listed) for each in self._having.get((column, value), ()))
        return next((each for each in near if each != values), None)


@dataclass(slots=True)
class Published:
    """The counts that left, by box; for each the universes (sets of datasets) that they were counted in."""

    _counts: dict[Box, dict[frozenset[str], list[int]]] = field(default_factory=dict)
    _signatures: dict[tuple[str, ...], None] = field(default_factory=dict)

    def add(self, frame: Frame, universe: frozenset[str]) -> None:
        """Remember the counts of a frame."""
        if frame.counts:
            self._signatures[frame.columns] = None
        for box, _, count in frame.boxes:
            counts = self._counts.setdefault(box, {}).setdefault(universe, [])
            if count not in counts:
                counts.append(count)

    def get(self, box: Box, universe: frozenset[str]) -> bool:
        """Whether a count of ``box`` left."""
        return universe in self._counts.get(box, ())

    def around(self, frame: Frame, columns: Columns, threshold: int) -> Iterator[tuple[Key, Box, int]]:
        """The keys of cells that lie in a box whose count left, or are it, and differs a little; with that box."""
        have = set(frame.columns)
        signatures = [each for each in self._signatures if have.issuperset(each)]
        if not signatures:
            return
        known: dict[tuple[str, ValueSet], list[ValueSet]] = {}
        for box, key, count in frame.boxes:
            for pair in box:
                if pair not in known:
                    known[pair] = columns.around(*pair)
            sets = dict(box)
            for signature in signatures:
                around = [[(column, each) for each in known[(column, sets[column])]] for column in signature]
                for outer in product(*around):
                    for counts in self._counts.get(outer, _NOTHING).values():
                        for other in counts:
                            if _small(other - count, threshold) or (outer == box and _small(count - other, threshold)):
                                yield key, outer, other - count


_NOTHING: Final[Mapping[frozenset[str], list[int]]] = {}


def inside(frame: Frame, release: Release, threshold: int) -> Iterator[tuple[Key, int]]:
    """The keys of cells of ``frame`` that are a little more than a sum of cells of an earlier ``release`` in them, or
    than one of these; with the difference.
    """
    if frame.counts and release.columns.issuperset(frame.columns):
        sums: dict[Key, tuple[int, int]] = {}
        for at, (total, largest) in _placed(frame, release):
            before = sums.get(at, (0, 0))
            sums[at] = (before[0] + total, max(before[1], largest))
        for at, parts in sums.items():
            whole = frame.counts.get(at, 0)
            difference = next((whole - part for part in parts if _small(whole - part, threshold)), None)
            if difference is not None:
                yield at, difference


def _placed(frame: Frame, release: Release) -> Iterator[tuple[Key, tuple[int, int]]]:
    """The parts of ``release`` that lie in cells of ``frame``, each under the key of that cell."""
    inner = dict(release.restriction)
    filters: list[tuple[str, ValueSet]] = []
    for column, values in frame.where:
        if column in frame.by:
            continue
        if column in release.by:
            filters.append((column, values))
        elif not inner[column].within(values):
            return
    fixed: list[str] = []
    for column in frame.by:
        if column not in release.by:
            if len(inner[column].listed) != 1 or inner[column].but:
                return
            fixed += inner[column].listed
    needed = {*frame.by, *(column for column, _ in filters)}
    by = tuple(column for column in release.by if column in needed)
    checks = [(by.index(column), values) for column, values in filters]
    places = [by.index(column) if column in by else len(by) + at for column, at in _counted(frame.by, by)]
    for key, part in release.parts[by].items():
        if all((key[at] in values.listed) != values.but for at, values in checks):
            whole = (*key, *fixed)
            yield tuple([whole[at] for at in places]), part


def _counted(columns: tuple[str, ...], by: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Each column with how many before it are not in ``by``."""
    missing = 0
    for column in columns:
        yield column, missing
        missing += column not in by


def _small(difference: int, threshold: int) -> bool:
    return 0 < difference < threshold
