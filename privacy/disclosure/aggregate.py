"""The node's trusted aggregator: rows that are held, counted into a table whose contributors are known.

Rows are streamed; in memory are the groups and, for each, what every person contributed. A person who stands in
several rows of a group is one contributor with the sum. Numbers are exact, so the order of rows changes nothing.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from heapq import nlargest
from typing import Final, Literal, NoReturn

from catalog.error import BadInput, shown
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import MAX_CELLS, MAX_TEXT, Cell, Contributors, Dimension, Key, Magnitude, Table

MAX_LINE: Final = 64 << 10
MAX_CONTRIBUTIONS: Final = 5_000_000
"""People in all groups together; what is beyond is refused, not guessed."""

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")

Form = Literal["csv", "json-lines"]
Statistic = Literal["sum", "mean", "quantile"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A statistic of a column. ``at`` is the quantile's share, above 0 and below 1: 1/2 for the median."""

    statistic: Statistic
    column: str
    at: Fraction = Fraction(1, 2)

    @property
    def name(self) -> str:
        """What the table calls it."""
        return (
            f"{self.statistic} {self.column}" if self.statistic != "quantile" else f"{self.at} quantile {self.column}"
        )


@dataclass(frozen=True, slots=True)
class Spec:
    """Which rows are counted (``where``: sets of values by column), by which columns, which measures of them, and the
    column that says whose a row is. Counting people is always part of it.
    """

    by: tuple[str, ...]
    contributor: str
    measures: tuple[Measure, ...] = ()
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Group:
    """By person: how many rows, and the sum of each measured column. Of quantiles all values."""

    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, dict[str, Fraction]] = field(default_factory=dict)


def aggregate(lines: Iterable[bytes], form: Form, spec: Spec, rules: Rules) -> Table:
    """Count the rows in ``lines`` (UTF-8, each with its end) into a table.

    A mean is of people, each with the mean of their rows; so is a quantile, and it is the value of the person at its
    rank (nearest rank).

    Raises:
        BadInput: a row is malformed, with its line; a column is missing; or there are too many groups or people.
    """
    groups: dict[Key, _Group] = {}
    needed = (*spec.by, spec.contributor, *spec.where, *(each.column for each in spec.measures))
    measured = tuple(dict.fromkeys(each.column for each in spec.measures))
    people = 0
    for at, row in _rows(lines, form, needed):
        if any(row[column] not in values for column, values in spec.where.items()):
            continue
        key = tuple([_category(row[column], column, at) for column in spec.by])
        group = groups.get(key)
        if group is None:
            if len(groups) == MAX_CELLS:
                _refuse(at, f"more than {MAX_CELLS:,} groups; take fewer or coarser columns")
            group = groups[key] = _Group(sums={column: {} for column in measured})
        person = row[spec.contributor]
        if not person:
            _refuse(at, f"the column «{shown(spec.contributor)}» is empty, so nobody knows whose row it is")
        people += person not in group.rows
        if people > MAX_CONTRIBUTIONS:
            _refuse(at, f"more than {MAX_CONTRIBUTIONS:,} people in all groups; take fewer rows")
        group.rows[person] = group.rows.get(person, 0) + 1
        for column in measured:
            sums = group.sums[column]
            sums[person] = sums.get(person, Fraction()) + _number(row[column], column, at)
    cells = {key: _cell(group, spec.measures, rules) for key, group in groups.items()}
    dimensions = tuple(
        Dimension(column, tuple(sorted({key[at] for key in groups}))) for at, column in enumerate(spec.by)
    )
    names = tuple(each.name for each in spec.measures)
    return Table(dimensions, cells, names, dict(spec.where), Contributors.KNOWN)


def _cell(group: _Group, measures: tuple[Measure, ...], rules: Rules) -> Cell:
    return Cell(len(group.rows), tuple(_magnitude(group, each, rules) for each in measures))


def _magnitude(group: _Group, measure: Measure, rules: Rules) -> Magnitude:
    sums = group.sums[measure.column]
    if measure.statistic == "sum":
        return _of_contributions(sum(sums.values(), Fraction()), sums.values(), rules)
    means = [value / group.rows[person] for person, value in sums.items()]
    if measure.statistic == "mean":
        return _of_contributions(sum(means, Fraction()) / len(means), means, rules)
    means.sort()
    rank = max(1, -(-len(means) * measure.at.numerator // measure.at.denominator))
    return Magnitude(means[rank - 1], beyond=min(rank - 1, len(means) - rank))


def _of_contributions(value: Fraction, contributions: Iterable[Fraction], rules: Rules) -> Magnitude:
    each = list(contributions)
    return Magnitude(
        value=value,
        total=sum(each, Fraction()),
        largest=tuple(nlargest(max(2, rules.largest), each)),
        negative=min(each) < 0,
    )


def _rows(lines: Iterable[bytes], form: Form, needed: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows with the number of the line that each ends in."""
    yield from _csv_rows(lines, needed) if form == "csv" else _json_rows(lines, needed)


def _csv_rows(lines: Iterable[bytes], needed: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.reader(_texts(lines), strict=True)
    header: list[str] = []
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            _refuse(reader.line_num, f"it is not CSV ({shown(str(error))})")
        if row is None:
            break
        if not header:
            header = row
            if len(set(header)) != len(header):
                _refuse(1, "a column stands twice")
            _check(needed, header, 1)
        elif len(row) != len(header):
            _refuse(reader.line_num, f"it has {len(row)} fields and the first line has {len(header)}")
        else:
            yield reader.line_num, dict(zip(header, row, strict=True))
    if not header:
        _refuse(1, "the line with the names of the columns is missing")


def _json_rows(lines: Iterable[bytes], needed: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    for at, text in enumerate(_texts(lines), 1):
        try:
            pairs = json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            _refuse(at, f"it is not JSON ({shown(str(error))})")
        if not isinstance(pairs, tuple) or not all(isinstance(value, str) for _, value in pairs):
            _refuse(at, "it is not an object of texts and numbers")
        row = dict(pairs)
        if len(row) != len(pairs):
            _refuse(at, "a name stands twice")
        _check(needed, row, at)
        yield at, row


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for at, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            _refuse(at, f"it has more than {MAX_LINE:,} bytes")
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            _refuse(at, "it is not UTF-8")


def _check(needed: tuple[str, ...], columns: Iterable[str], at: int) -> None:
    missing = sorted(set(needed) - set(columns))
    if missing:
        _refuse(at, f"the column «{shown(missing[0])}» is missing")


def _category(text: str, column: str, at: int) -> str:
    if not 1 <= len(text) <= MAX_TEXT or not text.isprintable():
        _refuse(at, f"«{shown(column)}» is no category: 1 to {MAX_TEXT} printable characters are taken")
    return text


def _number(text: str, column: str, at: int) -> Fraction:
    number = Decimal(text) if len(text) <= MAX_TEXT and _NUMBER.fullmatch(text) else Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 30:
        _refuse(at, f"«{shown(column)}» is no number between 1e-30 and 1e30")
    return Fraction(number)


def _refuse(at: int, why: str) -> NoReturn:
    raise BadInput(f"line {at}: {why}")
