"""Lost: that the node's own tables count people, not rows, and that a malformed row is refused and not skipped."""

from __future__ import annotations

import json
from fractions import Fraction
from random import Random

import pytest

from catalog.error import BadInput
from privacy.disclosure.aggregate import MAX_LINE, Form, Measure, Spec, aggregate
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Contributors, Table

ROWS = [
    {"person": f"p{at % 40}", "sex": "f" if at % 40 < 25 else "m", "year": str(2020 + at // 80), "cost": f"{at}.5"}
    for at in range(160)
]
SPEC = Spec(
    by=("sex",),
    contributor="person",
    measures=(Measure("sum", "cost"), Measure("mean", "cost"), Measure("quantile", "cost")),
    where={"year": frozenset({"2020"})},
)


def csv_lines(rows: list[dict[str, str]]) -> list[bytes]:
    return [f"{','.join(row)}\n".encode() for row in (list(rows[0]), *(list(row.values()) for row in rows))]


def json_lines(rows: list[dict[str, str]]) -> list[bytes]:
    return [json.dumps({**row, "cost": float(row["cost"])}).encode() + b"\n" for row in rows]


def counted(lines: list[bytes], form: Form = "csv", spec: Spec = SPEC) -> Table:
    return aggregate(lines, form, spec, Rules())


def test_people_are_counted_once_and_their_contributions_are_known() -> None:
    table = counted(csv_lines(ROWS))
    assert table.contributors is Contributors.KNOWN
    assert {key: cell.count for key, cell in table.cells.items()} == {("f",): 25, ("m",): 15}
    total, mean, median = table.cells[("m",)].magnitudes
    each = [Fraction(at) + Fraction(at + 40) + 1 for at in range(25, 40)]
    assert total.value == sum(each)
    assert total.largest == (each[-1], each[-2])
    assert mean.value == sum(each) / 2 / 15
    assert median.value == each[7] / 2
    assert median.beyond == 7


def test_neither_order_nor_form_of_the_rows_matters() -> None:
    shuffled = list(ROWS)
    Random(1).shuffle(shuffled)
    assert counted(csv_lines(ROWS)) == counted(csv_lines(shuffled)) == counted(json_lines(ROWS), "json-lines")


@pytest.mark.parametrize(
    ("at", "line", "why"),
    [
        (3, b"p1,f,2020\n", "fields"),
        (3, b"p1,f,2020,many\n", "number"),
        (3, b"p1,f,2020,NaN\n", "number"),
        (3, b"p1,f,2020,1_0\n", "number"),
        (3, b"p1,f,2020,1e99\n", "number"),
        (3, b",f,2020,1\n", "whose row"),
        (3, b"p1,\x1b[2J,2020,1\n", "category"),
        (3, b"p1,\xff,2020,1\n", "UTF-8"),
        (3, b'p1,"f"x,2020,1\n', "CSV"),
        (1, b"person,sex,year,year\n", "twice"),
        (1, b"person,sex,year,price\n", "cost"),
        (3, b"p1,f,2020,1" + b" " * MAX_LINE, "bytes"),
    ],
)
def test_a_malformed_row_is_refused_with_its_line(at: int, line: bytes, why: str) -> None:
    lines = csv_lines(ROWS)
    lines[at - 1] = line
    with pytest.raises(BadInput, match=f"^line {at}: .*{why}"):
        counted(lines)


@pytest.mark.parametrize(
    "line", [b"[]", b'{"person": null}', b'{"a": "1", "a": "2"}', b'{"person": "p"}', b"{", b"[" * 9999]
)
def test_a_line_that_is_no_row_is_refused(line: bytes) -> None:
    with pytest.raises(BadInput, match=r"^line 1: "):
        counted([line], "json-lines")


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(BadInput):
        counted([])
