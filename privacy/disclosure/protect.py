"""What is done about a table that discloses: its cells are suppressed, or its counts rounded, or it is refused.

Suppressed are the cells that the rules find, those that would tell something beside what left before, and as many
more as keep all of them from being computed or bounded (:mod:`privacy.disclosure.secondary`). Nothing of a suppressed
cell is in the result, which does not say either for which of these reasons a cell is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from privacy.disclosure.rounding import to_base, to_digits
from privacy.disclosure.rules import Finding, Reason, Rules, findings
from privacy.disclosure.secondary import protected
from privacy.disclosure.table import Key, Released, Table, in_words

MOST_ROUNDS: Final = 64
"""How often more is suppressed and the ledger asked again."""

_CROSSING: Final = "it groups a column's values otherwise than was released before"
_TOO_MUCH: Final = "what would follow from it is too much to be looked at"
_SMALL: Final = frozenset({Reason.SMALL, Reason.ZERO, Reason.FULL})


class Treatment(StrEnum):
    """What the owner wants done about cells that disclose."""

    SUPPRESS = "suppress"
    ROUND = "round"
    REFUSE = "refuse"


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


def protect(table: Table, rules: Rules, treatment: Treatment = Treatment.SUPPRESS, past: Past = NOTHING) -> Outcome:
    """What of ``table`` may leave beside what left before.

    Rounding is for tables of counts alone, and where no earlier release makes a difference; others are suppressed.
    """
    primary = findings(table, rules)
    if treatment is Treatment.ROUND and not table.measures and all(each.reason in _SMALL for each in primary):
        small = frozenset(key for key in table.every_key() if table.count(key) < rules.threshold)
        if not past.check(table, small, rules):
            return _rounded(table, rules, primary, small)
    if treatment is Treatment.REFUSE:
        found = (*primary, *past.check(table, (), rules))
        return _refused(found, f"{len(found)} cells disclose") if found else _suppressed(table, rules, (), frozenset())
    return _suppress(table, rules, primary, past)


def _suppress(table: Table, rules: Rules, primary: tuple[Finding, ...], past: Past) -> Outcome:
    found = list(primary)
    public = past.public(table)
    withheld = frozenset(each.key for each in primary if each.key is not None)
    for _ in range(MOST_ROUNDS):
        cubes = protected(table, withheld, rules, public.__contains__)
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


def _rounded(table: Table, rules: Rules, found: tuple[Finding, ...], small: frozenset[Key]) -> Outcome:
    base = rules.threshold
    released = Released(
        dimensions=table.dimensions,
        measures=(),
        counts={key: to_base(table.count(key), base) for key in table.every_key()},
        values={},
        suppressed=frozenset(),
        base=base,
    )
    return Outcome(released, _line(table, rules, f"counts rounded to multiples of {base}"), found, small)


def _line(table: Table, rules: Rules, done: str) -> str:
    return (
        f"table of {table.size} cells, as its block counted: {done}; threshold {rules.threshold}, n-k ({rules.largest},"
        f" {float(rules.share):.0%}), p {float(rules.percent):.0%}, {rules.digits} digits"
    )
