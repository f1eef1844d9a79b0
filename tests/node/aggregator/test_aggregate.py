"""Lost: that the node's own tables count people, not rows, and that a malformed row is refused and not skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

from node.aggregator.aggregate import MAX_LINE, Refused, Spec, aggregate, read_spec, table
from privacy.disclosure.examine import examine
from privacy.disclosure.form import read_output
from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Populations
from privacy.disclosure.rules import Rules
from privacy.disclosure.table import Table

ROWS = [
    {"person": f"p{at % 40}", "sex": "f" if at % 40 < 25 else "m", "year": str(2020 + at // 80), "cost": f"{at}.5"}
    for at in range(160)
]
ASKED = {
    "person": "person",
    "by": ["sex"],
    "measures": [{"sum": "cost"}, {"mean": "cost"}, {"quantile": "cost"}],
    "where": {"year": ["2020"]},
}
SPEC = read_spec(json.dumps(ASKED))


def csv_lines(rows: list[dict[str, str]]) -> list[bytes]:
    return [f"{','.join(row)}\n".encode() for row in (list(rows[0]), *(list(row.values()) for row in rows))]


def json_lines(rows: list[dict[str, str]]) -> list[bytes]:
    return [json.dumps({**row, "cost": float(row["cost"])}).encode() + b"\n" for row in rows]


def counted(lines: list[bytes], spec: Spec = SPEC) -> Table:
    output = read_output("table", table(aggregate(lines, spec), spec).encode())
    assert isinstance(output, Table)
    return output


def test_people_are_counted_once_and_their_contributions_are_told() -> None:
    found = counted(csv_lines(ROWS))
    assert {key: cell.count for key, cell in found.cells.items()} == {("f",): 25, ("m",): 15}
    total, mean, median = found.cells[("m",)].magnitudes
    each = [Fraction(at) + Fraction(at + 40) + 1 for at in range(25, 40)]
    assert total.value == sum(each)
    assert total.largest == (each[-1], each[-2])
    assert abs(mean.value - Fraction(sum(each), 30)) < Fraction(1, 10**20)
    assert median.value == each[7] / 2
    assert median.beyond == 7


def test_neither_order_nor_form_of_the_rows_matters() -> None:
    shuffled = list(ROWS)
    Random(1).shuffle(shuffled)
    as_json = read_spec(json.dumps({**ASKED, "form": "json-lines"}))
    assert counted(csv_lines(ROWS)) == counted(csv_lines(shuffled)) == counted(json_lines(ROWS), as_json)


def test_somebody_below_zero_is_told_though_not_among_the_largest() -> None:
    """Lost: dominance is looked for where it is not defined, and one person's debt hides another's fortune."""
    rows = [*ROWS, {"person": "p3", "sex": "f", "year": "2020", "cost": "-1e6"}]
    total = counted(csv_lines(rows)).cells[("f",)].magnitudes[0]
    assert total.negative
    assert total.largest is not None
    assert min(total.largest) > 0


def test_one_who_dominates_is_found_in_what_it_tells() -> None:
    """Lost: a table of people and sums tells one person's, since nobody knows who contributed what."""
    rows = [*ROWS, {"person": "p3", "sex": "f", "year": "2020", "cost": "1e9"}]
    for lines, leaves in ((csv_lines(ROWS), True), (csv_lines(rows), False)):
        spec = read_spec(json.dumps({"person": "person", "measures": [{"sum": "cost"}]}))
        text = table(aggregate(lines, spec), spec).encode()
        found = examine("table", text, "one", Rules(), Ledger(Populations.of([])).past(["data"]))
        assert (found.text is not None and b"sum cost" in found.text) is leaves, found.line


def test_the_program_writes_the_table_or_one_line(tmp_path: Path) -> None:
    """Lost: the block does not run by itself, or ends with a traceback that carries rows."""
    program = Path(sys.modules[aggregate.__module__].__file__ or "")
    (tmp_path / "rows.csv").write_bytes(b"".join(csv_lines(ROWS)))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", str(program), *arguments]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("rows.csv", json.dumps(ASKED))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "table.json").read_text() == table(aggregate(csv_lines(ROWS), SPEC), SPEC)
    for spec, why in (("{", "JSON"), ('{"person": "who"}', "missing"), ('{"person": "cost", "rows": 1}', "rows")):
        done = run("rows.csv", spec)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert why in done.stderr
    for missing in ("no.csv", "."):
        done = run(missing, json.dumps(ASKED))
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        "[]",
        '{"by": ["sex"]}',
        '{"person": "p", "by": ["a", "a"]}',
        '{"person": "p", "by": ["a", "b", "c", "d", "e"]}',
        '{"person": "p", "where": {"year": []}}',
        '{"person": "p", "where": ["year"]}',
        '{"person": "p", "form": "xml"}',
        '{"person": "p", "measures": [{"max": "cost"}]}',
        '{"person": "p", "measures": [{"sum": "a", "mean": "a"}]}',
        '{"person": "p", "measures": [{"quantile": "a", "at": "3/2"}]}',
        '{"person": "p", "measures": [{"quantile": "a", "at": "0/2"}]}',
        "[" * 100_000,
    ],
)
def test_a_question_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(Refused):
        read_spec(spec)


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
    with pytest.raises(Refused, match=f"^line {at}: .*{why}"):
        counted(lines)


@pytest.mark.parametrize(
    "line", [b"[]", b'{"person": null}', b'{"a": "1", "a": "2"}', b'{"person": "p"}', b"{", b"[" * 9999]
)
def test_a_line_that_is_no_row_is_refused(line: bytes) -> None:
    with pytest.raises(Refused, match=r"^line 1: "):
        counted([line], read_spec(json.dumps({**ASKED, "form": "json-lines"})))


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(Refused):
        counted([])
