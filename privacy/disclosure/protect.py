"""What is done about a table that discloses: its cells are suppressed, its counts rounded besides, or it is refused.

Suppressed are the cells that the rules find, those that would tell something beside what left before, and as many
more as keep all of them from being computed or bounded (:mod:`privacy.disclosure.secondary`). Nothing of a suppressed
cell is in the result, which does not say either for which of these reasons a cell is. Where counts are rounded, it is
those that suppression left: so nothing is told that the same table would not have told unrounded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final, Protocol

from privacy.disclosure.rounding import to_base, to_digits
from privacy.disclosure.rules import Finding, Reason, Rules, findings
from privacy.disclosure.secondary import Effort, protected
from privacy.disclosure.table import Key, Released, Table, in_words

MOST_ROUNDS: Final = 64
"""How often more is suppressed and the ledger asked again."""

_CROSSING: Final = "it groups a column's values otherwise than was released before"
_TOO_MUCH: Final = "what would follow from it is too much to be looked at"
_TOLD_BY_VALUES: Final = "its counts are to be rounded, and the values beside them would tell them"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What the owner wants done about a table beside suppressing cells: which is always done.

    Counts leave as multiples of ``base``, if that is more than 1. Where ``whole``, a table of which any cell discloses
    does not leave at all.
    """

    base: int = 1
    whole: bool = False


SUPPRESS: Final = Treatment()


class Past(Protocol):
    """What left before; see :class:`privacy.disclosure.ledger.Past`."""

    def public(self, table: Table) -> frozenset[Key]:
        """The cells of ``table`` whose counts are known already."""

    def check(self, table: Table, withheld: Collection[Key], rules: Rules) -> tuple[Finding, ...]:
        """What ``table`` without its ``withheld`` cells would tell beside what left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What may leave of a table, if anything.

    ``line`` is for the release statement and holds nothing of suppressed cells. ``findings`` are for the steward.
    ``withheld`` are the cells whose counts nobody outside knows: what :meth:`Release.of` is to be told of.
    """

    released: Released | None
    line: str
    findings: tuple[Finding, ...]
    withheld: frozenset[Key]

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """The findings for the steward: cell, reason, words; then the cells that are suppressed for others' sake."""
        told = {each.key for each in self.findings}
        rows: list[tuple[str, str, str]] = [
            (in_words(each.key) if each.key is not None else "", each.reason, each.words) for each in self.findings
        ]
        others = sorted(self.released.suppressed - told) if self.released else []
        rows += [(in_words(key), "for others' sake", "without it a suppressed cell could be told") for key in others]
        return tuple(rows)


class _Nothing:
    """Nothing left before."""

    def public(self, table: Table) -> frozenset[Key]:  # noqa: ARG002
        return frozenset()

    def check(self, table: Table, withheld: Collection[Key], rules: Rules) -> tuple[Finding, ...]:  # noqa: ARG002
        return ()


NOTHING: Final[Past] = _Nothing()


def protect(table: Table, rules: Rules, treatment: Treatment = SUPPRESS, past: Past = NOTHING) -> Outcome:
    """What of ``table`` may leave beside what left before.

    Only tables of counts alone are rounded: a sum and a mean tell how many they are of.
    """
    primary = findings(table, rules)
    if treatment.whole:
        found = (*primary, *past.check(table, (), rules))
        if found:
            return _refused(found, f"{len(found)} cells disclose")
    if treatment.base > 1 and table.measures:
        return _refused(primary, _TOLD_BY_VALUES)
    outcome = _suppress(table, rules, primary, past)
    return _rounded(outcome, treatment.base) if treatment.base > 1 else outcome


def _suppress(table: Table, rules: Rules, primary: tuple[Finding, ...], past: Past) -> Outcome:
    found = list(primary)
    public = past.public(table)
    withheld = frozenset(each.key for each in primary if each.key is not None)
    effort = Effort()
    for _ in range(MOST_ROUNDS):
        cubes = protected(table, withheld, rules, public.__contains__, effort)
        if effort.spent:
            return _refused(found, _TOO_MUCH)
        if cubes is None:
            return _refused(found, "a cell that discloses cannot be hidden among the others")
        withheld = cubes
        if len(withheld) == table.size:
            return _refused(found, "nothing is left of it")
        more = past.check(table, withheld, rules)
        if not more:
            return _suppressed(table, rules, tuple(found), withheld)
        found += more
        if any(each.key is None for each in more):
            crossing = any(each.reason is Reason.CROSSING for each in more)
            return _refused(found, _CROSSING if crossing else _TOO_MUCH)
        withheld |= {each.key for each in more if each.key is not None}
    return _refused(found, "too many of its cells differ a little from what left before")


def _refused(found: Collection[Finding], why: str) -> Outcome:
    return Outcome(None, f"not released: {why}", tuple(found), frozenset())


def _suppressed(table: Table, rules: Rules, found: tuple[Finding, ...], withheld: frozenset[Key]) -> Outcome:
    kept = [key for key in table.every_key() if key not in withheld]
    released = Released(
        dimensions=table.dimensions,
        measures=table.measures,
        counts={key: table.count(key) for key in kept},
        values={
            key: tuple(to_digits(each.value, rules.digits) for each in table.cells[key].magnitudes)
            for key in kept
            if table.measures and key in table.cells
        },
        suppressed=withheld,
    )
    return Outcome(released, _line(table, rules, f"{len(withheld)} of {table.size} suppressed"), found, withheld)


def _rounded(outcome: Outcome, base: int) -> Outcome:
    """The same with counts as multiples of ``base``. ``withheld`` stays: the exact counts of the others go on counting
    as known, which they would be at worst.
    """
    released = outcome.released
    if released is None:
        return outcome
    counts = {key: to_base(count, base) for key, count in released.counts.items()}
    line = f"{outcome.line}; counts rounded to multiples of {base:,}"
    return replace(outcome, released=replace(released, counts=counts, base=base), line=line)


def _line(table: Table, rules: Rules, done: str) -> str:
    return (
        f"table of {table.size} cells, as its block counted: {done}; threshold {rules.threshold}, n-k ({rules.largest},"
        f" {float(rules.share):.0%}), p {float(rules.percent):.0%}, {rules.digits} digits"
    )
