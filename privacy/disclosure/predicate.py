"""Which rows a number is about: a set of values for each column that it restricts.

Sets are written as what is in them or as what is not, so that «all others» can be named without knowing the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class ValueSet(NamedTuple):
    """The values ``listed``, or, if ``but``, all values but those."""

    listed: frozenset[str]
    but: bool = False

    def within(self, other: ValueSet) -> bool:
        """Whether each value of this is one of ``other``."""
        if not self.but:
            return self.listed.isdisjoint(other.listed) if other.but else self.listed <= other.listed
        return other.but and other.listed <= self.listed

    def apart(self, other: ValueSet) -> bool:
        """Whether no value is in both."""
        if self.but and other.but:
            return False
        if self.but:
            return other.listed <= self.listed
        return self.listed <= other.listed if other.but else self.listed.isdisjoint(other.listed)

    def less(self, others: Iterable[ValueSet]) -> ValueSet:
        """What of this is in none of ``others``, each of which lies within this."""
        rest = self
        for each in others:
            if each.but:  # then this is one too, and what it has beside is what the other leaves out
                rest = ValueSet(each.listed - rest.listed if rest.but else rest.listed & each.listed)
            elif rest.but:
                rest = ValueSet(rest.listed | each.listed, True)
            else:
                rest = ValueSet(rest.listed - each.listed)
        return rest


EVERYTHING = ValueSet(frozenset(), True)

Box = tuple[tuple[str, ValueSet], ...]
"""The sets of values by column, sorted by column: the rows that are in all of them. None is all rows."""


def box(restrictions: Mapping[str, ValueSet]) -> Box:
    """The box of these restrictions."""
    return tuple(sorted((column, values) for column, values in restrictions.items() if values != EVERYTHING))


Domains = Mapping[str, frozenset[str]]
"""The values that each column has, as far as they are known."""


def listed(column: str, values: ValueSet, domains: Domains) -> ValueSet:
    """The same set in the one way of writing it where ``domains`` hold: what is in it, or everything."""
    domain = domains.get(column)
    if domain is None:
        return values
    inside = domain - values.listed if values.but else values.listed
    return EVERYTHING if inside == domain else ValueSet(inside)


def within(inner: Box, outer: Box) -> bool:
    """Whether all rows of ``inner`` are rows of ``outer``."""
    restrictions = dict(inner)
    return all(column in restrictions and restrictions[column].within(values) for column, values in outer)


def apart(one: Box, other: Box) -> bool:
    """Whether no row can be in both."""
    restrictions = dict(one)
    return any(column in restrictions and restrictions[column].apart(values) for column, values in other)


def replaced(of: Box, column: str, values: ValueSet) -> Box:
    """The box with another set of values in ``column``; everything lets the restriction go."""
    before = tuple([each for each in of if each[0] < column])
    after = tuple([each for each in of if each[0] > column])
    return (*before, *after) if values == EVERYTHING else (*before, (column, values), *after)
