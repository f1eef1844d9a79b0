"""The aggregator: rows counted into a table of people, with what disclosure control must know of who contributed.

``python3 aggregate.py ROWS SPEC`` writes ``table.json``. It is one file that needs nothing but Python, for it is a
block: its text and its tool's are the CID under which every node knows it. Rows are streamed; in memory are the groups
and, for each, what every person contributed. A person who stands in several rows of a group is one contributor with the
sum. Numbers are exact, so the order of rows changes nothing.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from fractions import Fraction
from heapq import nlargest
from typing import Final, NoReturn

MAX_LINE: Final = 64 << 10
MAX_TEXT: Final = 64
MAX_CELLS: Final = 100_000
MAX_COLUMNS: Final = 4
MAX_CONTRIBUTIONS: Final = 5_000_000
"""People in all groups together; what is beyond is refused, not guessed."""

LARGEST: Final = 2
"""Contributions that are told of each cell, the largest ones."""

DIGITS: Final = 28
FORMS: Final = ("csv", "json-lines")
STATISTICS: Final = ("sum", "mean", "quantile")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_PART: Final = re.compile(r"[0-9]{1,3}/[0-9]{1,3}")

Key = tuple[str, ...]


class Refused(Exception):
    """The rows or the question are malformed; one line for people."""


@dataclass(frozen=True)
class Measure:
    """A statistic of a column. ``at`` is the quantile's share, above 0 and below 1: 1/2 for the median."""

    statistic: str
    column: str
    at: Fraction = Fraction(1, 2)

    @property
    def name(self) -> str:
        """What the table calls it."""
        share = f"{self.at} " if self.statistic == "quantile" else ""
        return f"{share}{self.statistic} {self.column}"


@dataclass(frozen=True)
class Spec:
    """Which rows are counted (``where``: values by column), by which columns, which measures of them, and the column
    that says whose a row is. Counting people is always part of it.
    """

    person: str
    by: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    where: Mapping[str, frozenset[str]] = field(default_factory=dict)
    form: str = "csv"


@dataclass
class Group:
    """By person: how many rows, and the sum of each measured column."""

    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, dict[str, Fraction]] = field(default_factory=dict)


def read_spec(text: str) -> Spec:
    """The question of a JSON text.

    Raises:
        Refused: it is none.
    """
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("person"), str):
        raise Refused('the spec is a JSON object with "person", the column that says whose a row is')
    unknown = sorted(set(said) - {"person", "by", "measures", "where", "form"})
    if unknown:
        raise Refused(f"the spec has «{shown(unknown[0])}», which is none of person, by, measures, where and form")
    by, where, form = said.get("by", []), said.get("where", {}), said.get("form", "csv")
    if not _are_texts(by) or len(by) > MAX_COLUMNS or len(set(by)) != len(by):
        raise Refused(f"«by» is a list of at most {MAX_COLUMNS} columns, each once")
    if not isinstance(where, dict) or not all(_are_texts(values) and values for values in where.values()):
        raise Refused("«where» has a list of values for each column")
    if form not in FORMS:
        raise Refused(f"«form» is one of {', '.join(FORMS)}")
    measures = said.get("measures", [])
    if not isinstance(measures, list) or len(measures) > MAX_TEXT:
        raise Refused('«measures» is a list of objects such as {"sum": "cost"}')
    chosen = {column: frozenset(values) for column, values in where.items()}
    return Spec(said["person"], tuple(by), tuple(map(_measure, measures)), chosen, form)


def _measure(said: object) -> Measure:
    fields = dict(said) if isinstance(said, dict) else {}
    at = fields.pop("at", "1/2")
    statistic, column = next(iter(fields.items()), ("", ""))
    if len(fields) != 1 or statistic not in STATISTICS or not isinstance(column, str):
        raise Refused('a measure is {"sum": COLUMN}, {"mean": COLUMN} or {"quantile": COLUMN, "at": "1/2"}')
    if not isinstance(at, str) or not _PART.fullmatch(at) or not 0 < int(at.split("/")[0]) < int(at.split("/")[1]):
        raise Refused("«at» is a share between 0 and 1 such as 1/2 or 9/10")
    return Measure(statistic, column, Fraction(at))


def aggregate(lines: Iterable[bytes], spec: Spec) -> dict[Key, Group]:
    """Count the rows in ``lines`` (UTF-8, each with its end) by group.

    Raises:
        Refused: a row is malformed, with its line; a column is missing; there are too many groups or people, or none.
    """
    groups: dict[Key, Group] = {}
    measured = tuple(dict.fromkeys(each.column for each in spec.measures))
    needed = (*spec.by, spec.person, *spec.where, *measured)
    people = 0
    for at, row in (_csv_rows if spec.form == "csv" else _json_rows)(lines, needed):
        if any(row[column] not in values for column, values in spec.where.items()):
            continue
        key = tuple([_category(row[column], column, at) for column in spec.by])
        group = groups.get(key)
        if group is None:
            if len(groups) == MAX_CELLS:
                _refuse(at, f"more than {MAX_CELLS:,} groups; take fewer or coarser columns")
            group = groups[key] = Group(sums={column: {} for column in measured})
        person = row[spec.person]
        if not person:
            _refuse(at, f"the column «{shown(spec.person)}» is empty, so nobody knows whose row it is")
        people += person not in group.rows
        if people > MAX_CONTRIBUTIONS:
            _refuse(at, f"more than {MAX_CONTRIBUTIONS:,} people in all groups; take fewer rows")
        group.rows[person] = group.rows.get(person, 0) + 1
        for column in measured:
            sums = group.sums[column]
            sums[person] = sums.get(person, Fraction()) + _number(row[column], column, at)
    if not groups:
        raise Refused("no row is one of those that are asked for")
    return groups


def table(groups: Mapping[Key, Group], spec: Spec) -> str:
    """The counted groups in the form that disclosure control reads."""
    dimensions = [
        {"name": column, "categories": sorted({key[at] for key in groups})} for at, column in enumerate(spec.by)
    ]
    head = {
        "disclosure": 1,
        "type": "table",
        "where": {column: sorted(values) for column, values in sorted(spec.where.items())},
        "dimensions": dimensions,
        "measures": [each.name for each in spec.measures],
    }
    cells = ",\n".join(_cell(key, group, spec.measures) for key, group in sorted(groups.items()))
    return f'{json.dumps(head, ensure_ascii=False)[:-1]}, "cells": [\n{cells}]}}\n'


def _cell(key: Key, group: Group, measures: tuple[Measure, ...]) -> str:
    values = ", ".join(f"{_text(each.name)}: {_magnitude(group, each)}" for each in measures)
    told = f', "values": {{{values}}}' if measures else ""
    return f'{{"key": {json.dumps(list(key), ensure_ascii=False)}, "count": {len(group.rows)}{told}}}'


def _magnitude(group: Group, measure: Measure) -> str:
    """A mean is of people, each with the mean of their rows; a quantile is the value of the person at its rank."""
    sums = group.sums[measure.column]
    if measure.statistic == "sum":
        return _contributed(sum(sums.values(), Fraction()), list(sums.values()))
    means = [value / group.rows[person] for person, value in sums.items()]
    if measure.statistic == "mean":
        return _contributed(sum(means, Fraction()) / len(means), means)
    means.sort()
    rank = max(1, -(-len(means) * measure.at.numerator // measure.at.denominator))
    return f'{{"value": {_digits(means[rank - 1])}, "beyond": {min(rank - 1, len(means) - rank)}}}'


def _contributed(value: Fraction, each: list[Fraction]) -> str:
    largest = [_digits(one) for one in nlargest(LARGEST, each)]
    # Rounded, they may be more than their sum by the last digit; they never are.
    total = max(sum(each, Fraction()), sum(map(Fraction, largest), Fraction()) if min(each) >= 0 else Fraction(-1))
    fields = {"value": _digits(value), "total": _up(total), "least": _digits(min(each))}
    told = ", ".join(f'"{name}": {text}' for name, text in fields.items())
    return f'{{{told}, "largest": [{", ".join(largest)}]}}'


def _digits(value: Fraction) -> str:
    """``value`` as a JSON number of at most :data:`DIGITS` digits."""
    return str(Context(prec=DIGITS).divide(Decimal(value.numerator), Decimal(value.denominator)))


def _up(value: Fraction) -> str:
    """The same, never less than ``value``."""
    context = Context(prec=DIGITS, rounding="ROUND_CEILING")
    return str(context.divide(Decimal(value.numerator), Decimal(value.denominator)))


def _csv_rows(lines: Iterable[bytes], needed: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows with the number of the line that each ends in."""
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


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and 1 <= len(each) <= MAX_TEXT for each in value)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def shown(text: str) -> str:
    """``text`` as one short printable line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[:MAX_TEXT])


def _refuse(at: int, why: str) -> NoReturn:
    raise Refused(f"line {at}: {why}")


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a file, none of them read further than what is refused."""
    with open(path, "rb") as file:
        while line := file.readline(MAX_LINE + 1):
            yield line


def main(arguments: list[str]) -> None:
    """Count, and write; with one line and the code 1 where that cannot be."""
    if len(arguments) != 2:
        sys.exit("usage: aggregate.py ROWS SPEC")
    rows, text = arguments
    try:
        spec = read_spec(text)
        counted = table(aggregate(_lines(rows), spec), spec)
    except Refused as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"the rows cannot be read: {error.strerror}")
    with open("table.json", "w", encoding="utf-8") as file:
        file.write(counted)


if __name__ == "__main__":
    main(sys.argv[1:])
