"""What can be computed from counts that were released: sums along one column, taken apart until nothing new comes.

Where a box of rows is known, and boxes inside it that differ from it in one column alone, what they leave over is
known too. It is a new box, from which others follow. Whatever is left over must be nobody or enough people.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from privacy.disclosure.predicate import EVERYTHING, Box, ValueSet, replaced

Line = tuple[Box, str]
"""The boxes that differ in one column alone: what they have in common, and that column."""

MOST_DERIVED: Final = 50_000
"""Boxes that are derived for one question; what has more consequences is not decided here."""


class Remainder(NamedTuple):
    """A group of ``count`` people: what on a line ``outer`` has beside all of ``inner``."""

    group: Box
    count: int
    line: Line
    outer: ValueSet
    inner: list[ValueSet]

    @property
    def members(self) -> Iterator[Box]:
        """The boxes that it follows from."""
        common, column = self.line
        return (replaced(common, column, each) for each in (self.outer, *self.inner))


class Closure:
    """The counts that are known and follow. With a ``base`` it is a trial on top of it, which does not change it."""

    def __init__(self, base: Closure | None = None) -> None:
        self._base = base
        self._counts: dict[Box, int] = {}
        self._lines: dict[Box, dict[str, dict[ValueSet, int]]] = {}
        self._derived: dict[Box, Remainder] = {}

    def get(self, box: Box) -> int | None:
        """The count of a box, if it is known or follows."""
        count = self._counts.get(box)
        return count if count is not None or self._base is None else self._base.get(box)

    def add(self, facts: Mapping[Box, int], threshold: int) -> tuple[list[Remainder], bool]:
        """Take in counts and all that follows: the groups below ``threshold`` that follow, and whether all was
        followed up. Such groups are told and not taken in."""
        found: dict[Box, Remainder] = {}
        waiting: dict[Line, None] = {}
        for box, count in facts.items():
            self._insert(box, count, waiting)
        most = len(self._derived) + MOST_DERIVED
        while waiting:
            line = next(iter(waiting))
            del waiting[line]
            for left in self._remainders(line):
                if left.count < threshold:
                    found.setdefault(left.group, left)
                elif self.get(left.group) is None:
                    if len(self._derived) == most:
                        return list(found.values()), False
                    self._derived[left.group] = left
                    self._insert(left.group, left.count, waiting)
                    del waiting[line]  # of which nothing is left over now
        return list(found.values()), True

    def roots(self, boxes: Iterable[Box]) -> Iterator[Box]:
        """The facts of this trial that ``boxes`` follow from."""
        seen: set[Box] = set()
        left = list(boxes)
        while left:
            box = left.pop()
            if box in seen:
                continue
            seen.add(box)
            if box in self._derived:
                left += self._derived[box].members
            elif box in self._counts:
                yield box

    def _insert(self, box: Box, count: int, waiting: dict[Line, None]) -> None:
        if self.get(box) is not None:
            return
        self._counts[box] = count
        for at, (column, values) in enumerate(box):
            common = box[:at] + box[at + 1 :]
            self._lines.setdefault(common, {}).setdefault(column, {})[values] = count
            waiting[(common, column)] = None
        for column in self._across(box):
            waiting[(box, column)] = None

    def _across(self, box: Box) -> Iterator[str]:
        """The columns along which something inside ``box`` is known."""
        yield from self._lines.get(box, ())
        if self._base is not None:
            yield from self._base._across(box)

    def _line(self, line: Line) -> dict[ValueSet, int]:
        common, column = line
        own = self._lines.get(common, {}).get(column, {})
        return {**self._base._line(line), **own} if self._base else own

    def _remainders(self, line: Line) -> Iterator[Remainder]:
        common, column = line
        known = self._line(line)
        whole = self.get(common)
        if whole is not None:
            known = {**known, EVERYTHING: whole}
        for outer, inner in _nested(known).items():
            count = known[outer] - sum([known[each] for each in inner])
            if count > 0:
                rest = outer.less(inner)
                if rest.but or rest.listed:
                    yield Remainder(replaced(common, column, rest), count, line, outer, inner)


def _nested(known: Collection[ValueSet]) -> dict[ValueSet, list[ValueSet]]:
    """The largest sets directly inside each, apart from one another. Of two that cross, the larger counts."""
    if all(len(each.listed) == 1 and not each.but for each in known if each is not EVERYTHING):
        return {EVERYTHING: [each for each in known if each is not EVERYTHING]} if EVERYTHING in known else {}
    inner: dict[ValueSet, list[ValueSet]] = {}
    owner: dict[str, ValueSet] = {}
    complements: dict[ValueSet, list[ValueSet]] = {}
    for each in sorted(known, key=_by_size):
        inner[each] = []
        owners = set() if each.but else {owner.get(value) for value in each.listed}
        if len(owners) > 1:  # it crosses what it shares values with
            continue
        parent = owners.pop() if owners else None
        if parent is None:
            parent = _smallest_around(each, complements)
        if each.but:
            if parent is not None:
                complements[parent].append(each)
            complements[each] = []
        else:
            owner.update(dict.fromkeys(each.listed, each))
        if parent is not None:
            inner[parent].append(each)
    return {each: parts for each, parts in inner.items() if parts}


def _smallest_around(values: ValueSet, complements: Mapping[ValueSet, list[ValueSet]]) -> ValueSet | None:
    """The smallest complement that ``values`` lie within, if they cross none of those directly inside it."""
    around = next((each for each in reversed(complements) if values.within(each)), None)
    if around is None or any(not values.apart(each) for each in complements[around]):
        return None
    return around


def _by_size(values: ValueSet) -> tuple[bool, int, list[str]]:
    """The largest first: those that leave out the fewest, then those that list the most."""
    size = len(values.listed)
    return (not values.but, size if values.but else -size, sorted(values.listed))
