"""The three forms that an output file may have to be released automatically, and how what may leave is written.

Each says which it is: ``{"disclosure": 1, "type": "statistics" | "table" | "model", …}``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Final

from privacy.disclosure.estimate import Group, Model, Statistics, read_numbers
from privacy.disclosure.reading import Part, read, sets
from privacy.disclosure.rounding import to_digits, written
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Cell, Dimension, Key, Magnitude, Released, Table

VERSION: Final = 1
ALL: Final = "all"
"""The one group of statistics that are by no column."""

MOST_LARGEST: Final = 16
Output = Table | Statistics | Model


def read_output(type: str, data: bytes) -> Output:
    """Read the output file of a block that declares it as ``type``.

    Raises:
        BadInput: the type is not checked automatically, or the file is not of its form; the message has the place.
    """
    root = read(data)
    fields = root.members()
    version, said = fields.get("disclosure"), fields.get("type")
    if version is None or version.count() != VERSION:
        root.refuse(f"«disclosure»: {VERSION} is expected, which says that the file is of such a form")
    if said is None or said.text() != type:
        root.refuse(f"«type» is expected, and to be «{type}», as its block declares it")
    form = _FORMS.get(type)
    if form is None:
        root.refuse(f"outputs of the type «{type}» are for a steward to look at")
    return form(root)


def write_table(released: Released) -> bytes:
    """A table as it leaves: suppressed cells are named, and nothing of them is there."""
    cells = []
    for key, count in sorted(released.counts.items()):
        values = ", ".join(
            f"{_text(name)}: {written(value)}"
            for name, value in zip(released.measures, released.values.get(key, ()), strict=False)
            if value is not None
        )
        cells.append(
            f'{{"key": {_texts(key)}, "count": {count}' + (f', "values": {{{values}}}' if values else "") + "}"
        )
    dimensions = ", ".join(
        f'{{"name": {_text(each.name)}, "categories": {_texts(each.categories)}}}' for each in released.dimensions
    )
    suppressed = ", ".join(map(_texts, sorted(released.suppressed)))
    return (
        f'{{"disclosure": {VERSION}, "type": "table", "dimensions": [{dimensions}], "measures":'
        f' {_texts(released.measures)}, "base": {released.base}, "cells": [{", ".join(cells)}],'
        f' "suppressed": [{suppressed}]}}\n'
    ).encode()


def write_estimate(estimate: Statistics | Model, rules: Rules) -> bytes:
    """Statistics or a model as they leave: numbers with the rules' significant digits, names in order."""
    if isinstance(estimate, Statistics):
        groups = ", ".join(
            f'{_text(name)}: {{"count": {group.count}{_further(group.values, rules.digits)}}}'
            for name, group in sorted(estimate.groups.items())
        )
        by = _texts((estimate.by,) if estimate.by else ())
        fields = f'"type": "statistics", "by": {by}, "measures": {_texts(estimate.measures)}, "groups": '
        return f'{{"disclosure": {VERSION}, {fields}{{{groups}}}}}\n'.encode()
    parts = {"parameters": estimate.parameters, "fit": estimate.fit}
    levels = json.dumps(dict(sorted(estimate.levels.items())), ensure_ascii=False)
    return (
        f'{{"disclosure": {VERSION}, "type": "model", "count": {estimate.count}{_further(parts, rules.digits)},'
        f' "levels": {levels}}}\n'
    ).encode()


def _read_table(root: Part) -> Table:
    fields = root.record(("disclosure", "type", "dimensions", "cells"), ("where", "measures"))
    dimensions = []
    for each in fields["dimensions"].items():
        of = each.record(("name", "categories"))
        dimensions.append(Dimension(of["name"].text(), tuple(one.text() for one in of["categories"].items())))
    measures = _names(fields.get("measures"))
    cells: dict[Key, Cell] = {}
    for part in fields["cells"].items():
        key, cell = _read_cell(part, measures)
        if key in cells:
            part.refuse("this cell stands twice")
        cells[key] = cell
    return Table(tuple(dimensions), cells, measures, sets(fields.get("where")))


def _read_cell(part: Part, measures: tuple[str, ...]) -> tuple[Key, Cell]:
    fields = part.record(("key", "count"), ("values",))
    count = fields["count"].count()
    key = tuple(each.text() for each in fields["key"].items())
    values = fields["values"].record(measures) if "values" in fields else {}
    if count and len(values) != len(measures):
        part.refuse("«values» of each measure are expected")
    return key, Cell(count, tuple(_read_magnitude(values[name], count) for name in measures) if count else ())


def _read_magnitude(part: Part, count: int) -> Magnitude:
    fields = part.record(("value",), ("total", "largest", "least", "beyond"))
    value = fields["value"].number()
    if "beyond" in fields:
        if len(fields) > 2:
            fields["beyond"].refuse("a quantile has no contributions")
        return Magnitude(value, beyond=fields["beyond"].count())
    if "total" not in fields or "largest" not in fields:
        return Magnitude(value)
    total = fields["total"].number()
    largest = tuple(each.number() for each in fields["largest"].items())
    place = fields["largest"]
    if len(largest) > MOST_LARGEST or len(largest) < min(2, count) or list(largest) != sorted(largest, reverse=True):
        place.refuse(f"the 2 to {MOST_LARGEST} largest contributions are expected, the largest first")
    least = (*largest, fields["least"].number()) if "least" in fields else largest
    negative = bool(least) and min(least) < 0
    if not negative and sum(largest, Fraction()) > total:
        place.refuse("they are more than the total")
    return Magnitude(value, total, largest, negative)


def _read_statistics(root: Part) -> Statistics:
    fields = root.record(("disclosure", "type", "groups"), ("by", "measures", "where"))
    by = _names(fields.get("by"))
    if len(by) > 1:
        fields["by"].refuse("at most one column; tables are by several")
    groups = {name: _read_group(part) for name, part in fields["groups"].members().items()}
    if not by and list(groups) != [ALL]:
        fields["groups"].refuse(f"without «by» there is one group, «{ALL}»")
    where = sets(fields.get("where"))
    return Statistics(by[0] if by else "", _names(fields.get("measures")), groups, where)


def _read_group(part: Part) -> Group:
    members = part.members()
    count = members.pop("count", None)
    if count is None:
        part.refuse("«count», how many people are in the group, is missing")
    return Group(count.count(), {name: read_numbers(each) for name, each in members.items()})


def _read_model(root: Part) -> Model:
    fields = root.record(("disclosure", "type", "count", "parameters"), ("fit", "levels", "where"))
    parameters = {
        name: {one: value.number() for one, value in part.members().items()}
        for name, part in fields["parameters"].members().items()
    }
    fit = {name: part.number() for name, part in fields["fit"].members().items()} if "fit" in fields else {}
    levels = {name: part.count() for name, part in fields["levels"].members().items()} if "levels" in fields else {}
    return Model(fields["count"].count(), parameters, fit, levels, sets(fields.get("where")))


_FORMS: Final[Mapping[str, Callable[[Part], Output]]] = {
    "table": _read_table,
    "statistics": _read_statistics,
    "model": _read_model,
}


def _names(part: Part | None) -> tuple[str, ...]:
    names = tuple(each.text() for each in part.items()) if part is not None else ()
    if part is not None and len(set(names)) != len(names):
        part.refuse("each name stands once")
    return names


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _texts(texts: tuple[str, ...]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


def _further(members: Mapping[str, object], digits: int) -> str:
    """The members of an object that go on after others."""
    inside = _json(members, digits)[1:-1]
    return f", {inside}" if inside else ""


def _json(value: object, digits: int) -> str:
    """Nested maps by name, lists and numbers, these with so many significant digits."""
    if isinstance(value, Fraction):
        return written(to_digits(value, digits))
    if isinstance(value, tuple):
        return "[" + ", ".join(_json(each, digits) for each in value) + "]"
    if not isinstance(value, Mapping):
        raise TypeError(f"{type(value)} has no place in an output")
    return "{" + ", ".join(f"{_text(name)}: {_json(each, digits)}" for name, each in sorted(value.items())) + "}"
