"""One output before it is released automatically: read, checked by the rules of its form, held against the ledger.

This is the whole of what an automator calls for the output of an endorsed block; for a table that the node's own
aggregator made it is :func:`examine_table`.
"""

from __future__ import annotations

from dataclasses import dataclass

from privacy.disclosure.estimate import Model, Statistics, faults
from privacy.disclosure.form import ALL, read_output, write_estimate, write_table
from privacy.disclosure.ledger import Past
from privacy.disclosure.protect import SUPPRESS, Treatment, protect
from privacy.disclosure.release import Release
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Cell, Dimension, Key, Table

Row = tuple[str, str, str]
"""For the steward: the cell or group, the reason, words."""


@dataclass(frozen=True, slots=True)
class Examined:
    """``text`` is what may leave, written anew; none if nothing may, and ``line`` says why or by which rules.

    ``line`` is for the release statement, ``rows`` are for the steward alone. ``release`` is what the ledger is to
    :meth:`~privacy.disclosure.ledger.Ledger.record` once it has left: of ``text``, or, if that is none, of the whole
    value, which a steward may let out.
    """

    text: bytes | None
    line: str
    rows: tuple[Row, ...]
    release: Release


def examine(type: str, data: bytes, id: str, rules: Rules, past: Past, treatment: Treatment = SUPPRESS) -> Examined:
    """What of the output file ``data`` of an endorsed block may leave, as the release ``id``.

    Raises:
        BadInput: the file is not of the form of its ``type``; the message has the place.
    """
    output = read_output(type, data)
    if isinstance(output, Table):
        return examine_table(output, id, rules, past, treatment)
    return _examine_estimate(output, id, rules, past, treatment)


def examine_table(table: Table, id: str, rules: Rules, past: Past, treatment: Treatment = SUPPRESS) -> Examined:
    """What of ``table`` may leave, as the release ``id``."""
    outcome = protect(table, rules, treatment, past)
    if outcome.released is None:
        return Examined(None, outcome.line, outcome.rows(), Release.of(id, past.datasets, table, ()))
    release = Release.of(id, past.datasets, table, outcome.withheld)
    return Examined(write_table(outcome.released), outcome.line, outcome.rows(), release)


def _examine_estimate(
    estimate: Statistics | Model, id: str, rules: Rules, past: Past, treatment: Treatment
) -> Examined:
    """Estimates leave whole or not at all: a number that is left out of them would be guessed from the others, and a
    count that is rounded too.
    """
    table = _people(estimate)
    found: tuple[Row, ...] = tuple(("", "too few people", words) for words in faults(estimate, rules))
    differing = past.check(table, (), rules)
    found += tuple((" · ".join(each.key or ()), each.reason, each.words) for each in differing)
    release = Release.of(id, past.datasets, table, ())
    if treatment.base > 1 and not found:
        why = "not released: its counts are to be rounded, and its numbers would tell them"
        return Examined(None, why, (), release)
    if found:
        few = "it differs a little from what was released" if differing else "too few people stand behind it"
        return Examined(None, f"not released: {few}", found, release)
    kind = "statistics" if isinstance(estimate, Statistics) else "model"
    line = f"{kind}, as its block counted: groups of {rules.group} or more, {rules.freedom} degrees of freedom or more,"
    return Examined(write_estimate(estimate, rules), f"{line} {rules.digits} digits", (), release)


def _people(estimate: Statistics | Model) -> Table:
    """The counts of people that an estimate tells."""
    if isinstance(estimate, Model):
        return Table((), {(): Cell(estimate.count)}, where=estimate.where)
    if not estimate.by:
        return Table((), {(): Cell(estimate.groups[ALL].count)}, where=estimate.where)
    dimension = Dimension(estimate.by, tuple(sorted(estimate.groups)))
    cells: dict[Key, Cell] = {(name,): Cell(group.count) for name, group in estimate.groups.items()}
    return Table((dimension,), cells, where=estimate.where)
