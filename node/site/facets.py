"""Facets: which things have which value (a kind, a site, a level…), as sets that are cut and counted quickly.

A set of things is one large integer with a bit for each number, so that cutting and counting the hits among 100,000
things takes microseconds. A value that few things have is kept as their numbers instead: whoever publishes many
different values takes no more room than with one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

SPARSE: Final = 256


def bits_of(numbers: Iterable[int]) -> int:
    """The set of these numbers."""
    row = bytearray()
    for number in numbers:
        _set(row, number)
    return int.from_bytes(row, "little")


def numbers_of(bits: int) -> Iterator[int]:
    """The numbers in a set, the greatest first."""
    row = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    for at in range(len(row) - 1, -1, -1):
        if row[at]:
            yield from (8 * at + bit for bit in range(7, -1, -1) if row[at] >> bit & 1)


class Group:
    """The things that have one value."""

    def __init__(self) -> None:
        self._few: set[int] | None = set()
        self._bits = 0

    def add(self, numbers: Collection[int], bits: int) -> None:
        """Take in things, ``bits`` being the set of their ``numbers``."""
        if self._few is None:
            self._bits |= bits
            return
        self._few.update(numbers)
        if len(self._few) > SPARSE:
            self._bits, self._few = bits_of(self._few), None

    def remove(self, numbers: Collection[int], bits: int) -> None:
        """Let things go; they may not be in it."""
        if self._few is None:
            self._bits &= ~bits
        else:
            self._few.difference_update(numbers)

    def count(self, hits: int, row: bytes) -> int:
        """How many of the ``hits``, whose bytes are ``row``, are in it."""
        if self._few is None:
            return (hits & self._bits).bit_count()
        return sum(1 for number in self._few if number >> 3 < len(row) and row[number >> 3] >> (number & 7) & 1)

    def into(self, row: bytearray) -> int:
        """Put a few things into ``row``, or return all of many."""
        if self._few is None:
            return self._bits
        for number in self._few:
            _set(row, number)
        return 0

    def __bool__(self) -> bool:
        return bool(self._bits if self._few is None else self._few)


class Groups(Generic[K]):
    """The values of one facet, with the things that have each."""

    def __init__(self) -> None:
        self._groups: dict[K, Group] = {}

    def add(self, numbers: Collection[int], bits: int, values: Iterable[K]) -> None:
        """Take in things that have the same values, ``bits`` being the set of their ``numbers``."""
        for value in values:
            group = self._groups.get(value)
            if group is None:
                group = self._groups[value] = Group()
            group.add(numbers, bits)

    def remove(self, numbers: Collection[int], bits: int, values: Iterable[K]) -> None:
        """Let things go that were taken in with these values."""
        for value in values:
            group = self._groups.get(value)
            if group is not None:
                group.remove(numbers, bits)
                if not group:
                    del self._groups[value]

    def union(self, wanted: Callable[[K], bool]) -> int:
        """The things that have any of the ``wanted`` values."""
        row, bits = bytearray(), 0
        for value, group in self._groups.items():
            if wanted(value):
                bits |= group.into(row)
        return bits | int.from_bytes(row, "little")

    def counts(self, hits: int) -> Mapping[K, int]:
        """How many of the ``hits`` have each value; values that none has are left out."""
        row = hits.to_bytes((hits.bit_length() + 7) // 8, "little")
        counted = ((value, group.count(hits, row)) for value, group in self._groups.items())
        return {value: count for value, count in counted if count}


def _set(row: bytearray, number: int) -> None:
    at = number >> 3
    if at >= len(row):
        row.extend(bytes(max(at + 1 - len(row), len(row) // 4)))
    row[at] |= 1 << (number & 7)
