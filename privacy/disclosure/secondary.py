"""Secondary suppression: more cells are withheld, so that nobody computes the first ones from sums, or bounds them.

The hypercube method (Repsilber; GHMITER of τ-ARGUS): a suppressed cell is a corner of a cube whose corners are all
suppressed. Adding 1 to one half of the corners and taking 1 from the other, alternately, changes no sum along any
dimension; so with every margin known, each corner may still be anything in an interval as wide as the smallest
corners of both halves together. Corners of the other half have at least the threshold: no interval is narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import product
from math import prod
from typing import Final

from privacy.disclosure.rules import Rules
from privacy.disclosure.table import ZERO, Key, Table

NEAR: Final = 4
"""Neighbours along each dimension that are tried first."""

MOST: Final = 20_000
"""Cubes that are tried for one cell before it is said that none protects it."""

MOST_TRIED: Final = 1_000_000
"""Cubes that are tried for a whole table: half a minute. Meanwhile nothing else of its site is examined."""


class Effort:
    """How many cubes may still be tried for one table, however often more of it is suppressed."""

    def __init__(self) -> None:
        self._left = MOST_TRIED

    @property
    def spent(self) -> bool:
        """Whether they were not enough."""
        return self._left < 0

    def one_more(self) -> bool:
        """Whether one more may be tried."""
        self._left -= 1
        return self._left >= 0


def protected(
    table: Table, primary: Iterable[Key], rules: Rules, public: Callable[[Key], bool], effort: Effort
) -> frozenset[Key] | None:
    """The cells to suppress so that each of ``primary`` has its cube; none if there is no cube for one of them, or if
    to find it takes more ``effort``.

    ``public`` says of a cell that its count is known already: withholding it protects nothing.
    """
    suppressed = set(primary)
    places = [at for at, each in enumerate(table.dimensions) if len(each.categories) > 1]
    if not places:
        return frozenset(suppressed)
    for key in sorted(suppressed, key=lambda each: (-table.count(each), each)):
        cube = _cube(table, key, places, suppressed, rules, public, effort)
        if cube is None:
            return None
        suppressed.update(cube)
    return frozenset(suppressed)


def _cube(
    table: Table,
    key: Key,
    places: list[int],
    suppressed: set[Key],
    rules: Rules,
    public: Callable[[Key], bool],
    effort: Effort,
) -> tuple[Key, ...] | None:
    """The corners of the cheapest cube at ``key``: the fewest people in cells that nothing else withholds."""
    partners = [_partners(table, key, at, suppressed, rules, public) for at in places]
    for few in (NEAR, None):
        chosen = [each[:few] for each in partners]
        if prod(map(len, chosen)) > MOST:
            return None
        best, least = None, -1
        for partner in product(*chosen):
            if not effort.one_more():
                return None
            corners = tuple(_corners(key, places, partner))
            cost = sum(table.count(each) for each, _ in corners if each not in suppressed)
            if (best is None or cost < least) and all(
                not public(each) and (same or _strong(table, key, each, rules)) for each, same in corners
            ):
                best, least = tuple(each for each, _ in corners), cost
                if not cost:
                    break
        if best is not None:
            return best
    return None


def _partners(
    table: Table, key: Key, at: int, suppressed: set[Key], rules: Rules, public: Callable[[Key], bool]
) -> list[str]:
    """The categories along one dimension whose cell beside ``key`` can carry it, the cheapest first."""
    beside = [
        (each not in suppressed, table.count(each), category)
        for category in table.dimensions[at].categories
        if category != key[at]
        and not public(each := (*key[:at], category, *key[at + 1 :]))
        and _strong(table, key, each, rules)
    ]
    return [category for _, _, category in sorted(beside)]


def _corners(key: Key, places: list[int], partner: tuple[str, ...]) -> Iterator[tuple[Key, bool]]:
    """The corners, each with whether it moves the same way as ``key``."""
    for flips in product((False, True), repeat=len(places)):
        corner = list(key)
        for at, flip, category in zip(places, flips, partner, strict=True):
            if flip:
                corner[at] = category
        yield tuple(corner), sum(flips) % 2 == 0


def _strong(table: Table, key: Key, corner: Key, rules: Rules) -> bool:
    """Whether ``corner`` leaves ``key`` open: people enough, and of each measure as much as p % asks for."""
    cell, hidden = table.cells.get(corner, ZERO), table.cells.get(key, ZERO)
    return cell.count >= rules.threshold and all(
        theirs.total is None or ours.total is None or theirs.total >= rules.percent * ours.total
        for theirs, ours in zip(cell.magnitudes, hidden.magnitudes, strict=False)
    )
