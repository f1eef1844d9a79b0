"""What can be computed from counts that were released: sums along one column, taken apart until nothing new comes.

Where a box of rows is known, and boxes inside it that differ from it in one column alone, what they leave over is
known too. It is a new box, from which others follow. Whatever is left over must be nobody or enough people.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeVar

from privacy.disclosure.predicate import EVERYTHING, Box, Domains, ValueSet, listed, replaced, within

Line = tuple[Box, str]
"""The boxes that differ in one column alone: what they have in common, and that column."""

T = TypeVar("T")

MOST_VALUES: Final = 8
"""Values of a declared column, up to which sums over some of them are followed too."""

MOST_DERIVED: Final = 50_000
"""Boxes that are derived for one question; what has more consequences is not decided here."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A group of ``count`` people, and the boxes that it follows from."""

    group: Box
    count: int
    members: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class _Open:
    """What is still to be looked at: lines, and boxes that may be the sum of boxes like another one."""

    lines: OrderedDict[Line, None]
    sums: list[tuple[Box, str, ValueSet]]


_NOTHING: Final[Mapping[ValueSet, int]] = {}


class Closure:
    """The counts that are known and follow. With a ``base`` it is a trial on top of it, which does not change it."""

    def __init__(self, domains: Domains, base: Closure | None = None) -> None:
        self._domains = domains
        self._short = frozenset(column for column, values in domains.items() if 0 < len(values) <= MOST_VALUES)
        self._base = base
        self._counts: dict[Box, int] = {}
        self._derived: dict[Box, Derived] = {}
        self._lines: dict[Line, dict[ValueSet, int]] = {}
        self._across: dict[Box, list[str]] = {}
        self._by_count: dict[tuple[str, ...], dict[int, list[Box]]] = {}
        self._by_value: dict[tuple[str, str], list[Box]] = {}
        self._unions: dict[tuple[str, str], list[ValueSet]] = {}

    def get(self, box: Box) -> int | None:
        """The count of a box, if it is known or follows."""
        count = self._counts.get(box)
        return count if count is not None or self._base is None else self._base.get(box)

    def add(self, facts: Mapping[Box, int], threshold: int) -> tuple[list[Derived], bool]:
        """Take in counts and all that follows: the groups below ``threshold`` that follow, and whether all was
        followed up. Such groups are told and not taken in.
        """
        small: dict[Box, Derived] = {}
        left = _Open(OrderedDict(), [])
        for box, count in facts.items():
            followed = self.get(box)
            if followed is None:
                self._insert(box, count, left)
            elif 0 < abs(followed - count) < threshold:  # some have none of the declared values
                small[box] = Derived(box, abs(followed - count), ())
        most = len(self._derived) + MOST_DERIVED
        while left.lines or left.sums:
            line = None if left.sums else left.lines.popitem(last=False)[0]
            for each in self._along(line) if line is not None else self._summed(*left.sums.pop()):
                if 0 < each.count < threshold:
                    small.setdefault(each.group, each)
                elif self.get(each.group) is None:
                    if len(self._derived) == most:
                        return list(small.values()), False
                    self._derived[each.group] = each
                    self._insert(each.group, each.count, left)
                    if line is not None:  # of which nothing more follows by that
                        left.lines.pop(line, None)
        return list(small.values()), True

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

    def _insert(self, box: Box, count: int, left: _Open) -> None:
        """Take in the count of a box of which none is known."""
        self._counts[box] = count
        columns = tuple([column for column, _ in box])
        self._by_count.setdefault(columns, {}).setdefault(count, []).append(box)
        for at, (column, values) in enumerate(box):
            line = common, _ = (box[:at] + box[at + 1 :], column)
            known = self._lines.get(line)
            if known is None:
                known = self._lines[line] = {}
                self._across.setdefault(common, []).append(column)
            known[values] = count
            if len(known) > 1 or self._is_beside(line):
                left.lines[line] = None
            if column in self._short and not values.but:
                self._sum_up(box, column, values, left)
        of: Closure | None = self
        while of is not None:
            for column in of._across.get(box, ()):
                left.lines[(box, column)] = None
            of = of._base

    def _is_beside(self, line: Line) -> bool:
        """Whether something was known of a line, or of all rows of it, before the one box that this has there."""
        of: Closure | None = self
        while of is not None:
            if line[0] in of._counts or (of is not self and line in of._lines):
                return True
            of = of._base
        return False

    def _sum_up(self, box: Box, column: str, values: ValueSet, left: _Open) -> None:
        """Have the sums looked at that ``box`` is a part of, or whose set of values is new with it."""
        if len(values.listed) == 1:
            alone = (column, min(values.listed))
            self._by_value.setdefault(alone, []).append(box)
            left.sums.extend((box, column, union) for union in self._each(lambda of: of._unions.get(alone, ())))
            return
        first = (column, min(values.listed))
        if values not in self._each(lambda of: of._unions.get(first, ())):
            left.sums.extend((each, column, values) for each in self._each(lambda of: of._by_value.get(first, ())))
            for value in values.listed:
                self._unions.setdefault((column, value), []).append(values)

    def _each(self, of: Callable[[Closure], Iterable[T]]) -> Iterator[T]:
        """What this has of something, and its base."""
        yield from of(self)
        if self._base is not None:
            yield from self._base._each(of)

    def _line(self, line: Line) -> Mapping[ValueSet, int]:
        own = self._lines.get(line, _NOTHING)
        before = self._base._line(line) if self._base is not None else None
        return {**before, **own} if before else own

    def _summed(self, box: Box, column: str, union: ValueSet) -> Iterator[Derived]:
        """The box with ``union`` in a column, if those with each of its values are known."""
        group = replaced(box, column, union)
        if self.get(group) is None:
            parts = [replaced(box, column, ValueSet(frozenset((value,)))) for value in sorted(union.listed)]
            counts = [self.get(each) for each in parts]
            if None not in counts:
                yield Derived(group, sum(each or 0 for each in counts), tuple(parts))

    def _along(self, line: Line) -> Iterator[Derived]:
        common, column = line
        known = self._line(line)
        whole = self.get(common)
        if whole is not None:
            known = {**known, EVERYTHING: whole}
        if len(known) < 2:
            return
        nested, top = _nested(known)
        for outer, inner in nested.items():
            count = known[outer] - sum([known[each] for each in inner])
            if count < 0 or (count == 0 and column not in self._domains):
                continue
            rest = listed(column, outer.less(inner), self._domains)
            # That nobody is among values that have no name says nothing of those that have one.
            if count > 0 if rest.but else rest.listed:
                yield Derived(replaced(common, column, rest), count, _members(line, (outer, *inner)))
        finite = [each for each in top if not each.but]
        domain = self._domains.get(column, frozenset())
        covered = sum([len(each.listed) for each in finite]) == len(domain)
        if whole is None and len(finite) > 1 and (covered or column in self._short):
            union = listed(column, ValueSet(frozenset[str]().union(*(each.listed for each in finite))), self._domains)
            yield Derived(
                replaced(common, column, union), sum([known[each] for each in finite]), _members(line, finite)
            )

    def between(self, threshold: int) -> Iterator[Derived]:
        """The small groups between two boxes, one of them new in this trial, where one lies in the other."""
        every = [
            (frozenset(columns), counts, sorted(counts))
            for columns, counts in self._each(lambda of: of._by_count.items())
        ]
        for names, counts in self._by_count.items():
            columns, own = frozenset(names), sorted(counts)
            for others, theirs, ordered in every:
                if not (columns <= others or columns > others):
                    continue
                for count, other in _near(own, ordered, threshold):
                    for box, beside in product(counts[count], theirs[other]):
                        inner, outer = (box, beside) if count < other else (beside, box)
                        if within(inner, outer):
                            yield Derived(outer, abs(count - other), (outer, inner))


def _near(ones: list[int], others: list[int], threshold: int) -> Iterator[tuple[int, int]]:
    """The pairs of unlike numbers of two ascending lists that differ by less than ``threshold``."""
    start, size = 0, len(others)
    for one in ones:
        least, most = one - threshold, one + threshold
        while start < size and others[start] <= least:
            start += 1
        at = start
        while at < size and (other := others[at]) < most:
            if other != one:
                yield one, other
            at += 1


def _members(line: Line, sets: Iterable[ValueSet]) -> tuple[Box, ...]:
    common, column = line
    return tuple([replaced(common, column, each) for each in sets])


def _nested(known: Collection[ValueSet]) -> tuple[dict[ValueSet, list[ValueSet]], list[ValueSet]]:
    """The largest sets directly inside each, apart from one another; and those that are inside none. Of two that
    cross, the larger counts.
    """
    singles = [each for each in known if not each.but and len(each.listed) == 1]
    if len(singles) + (EVERYTHING in known) == len(known):
        return ({EVERYTHING: singles}, []) if len(singles) < len(known) else ({}, singles)
    inner: dict[ValueSet, list[ValueSet]] = {}
    owner: dict[str, ValueSet] = {}
    complements: dict[ValueSet, list[ValueSet]] = {}
    top: list[ValueSet] = []
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
        (top if parent is None else inner[parent]).append(each)
    return {each: parts for each, parts in inner.items() if parts}, top


def _smallest_around(values: ValueSet, complements: Mapping[ValueSet, list[ValueSet]]) -> ValueSet | None:
    """The smallest complement that ``values`` lie within, if they cross none of those directly inside it."""
    around = next((each for each in reversed(list(complements)) if values.within(each)), None)
    if around is None or any(not values.apart(each) for each in complements[around]):
        return None
    return around


def _by_size(values: ValueSet) -> tuple[bool, int, list[str]]:
    """The largest first: those that leave out the fewest, then those that list the most."""
    size = len(values.listed)
    return (not values.but, size if values.but else -size, sorted(values.listed))
