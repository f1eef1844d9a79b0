"""Lost: that an output file carries out what its counts do not say, or ends a node."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput
from privacy.disclosure.examine import Examined, examine
from privacy.disclosure.form import read_output
from privacy.disclosure.ledger import Ledger
from privacy.disclosure.population import Populations
from privacy.disclosure.rules import Rules

RULES = Rules()
PAST = Ledger(Populations.of(())).past({"data"})

STATISTICS = {
    "disclosure": 1,
    "type": "statistics",
    "by": ["diagnosis"],
    "measures": ["radius", "texture"],
    "groups": {
        "benign": {"count": 357, "sum": [4337.123456789, 6395.5], "product": [[1.5, 2.5], [2.5, 3.5]]},
        "malignant": {"count": 212, "sum": [3702.1, 4581.0], "product": [[1.5, 2.5], [2.5, 3.5]]},
    },
}
TABLE = {
    "disclosure": 1,
    "type": "table",
    "dimensions": [{"name": "stage", "categories": ["i", "ii", "iii"]}],
    "measures": ["cost"],
    "cells": [
        {"key": ["i"], "count": 30, "values": {"cost": {"value": 100.125, "total": 100.125, "largest": [9, 8]}}},
        {"key": ["ii"], "count": 4, "values": {"cost": {"value": 20, "total": 20, "largest": [9, 8]}}},
        {"key": ["iii"], "count": 40, "values": {"cost": {"value": 300, "total": 300, "largest": [9, 8]}}},
    ],
}
MODEL = {
    "disclosure": 1,
    "type": "model",
    "count": 120,
    "parameters": {"age": {"estimate": 0.123456789, "error": 0.01}},
    "fit": {"r2": 0.5},
    "levels": {"sex=f": 60, "sex=m": 60},
}


def examined(of: dict[str, object]) -> Examined:
    return examine(str(of["type"]), json.dumps(of).encode(), "1", RULES, PAST)


def test_statistics_leave_with_seven_digits_and_nothing_else() -> None:
    result = examined(STATISTICS)
    assert result.text is not None
    assert json.loads(result.text)["groups"]["benign"]["sum"] == [4337.123, 6395.5]
    assert examine("statistics", result.text, "2", RULES, PAST).text == result.text


def test_a_table_leaves_without_its_suppressed_cells() -> None:
    result = examined(TABLE)
    assert result.text is not None
    left = json.loads(result.text)
    assert [cell["key"] for cell in left["cells"]] == [["iii"]]
    assert left["suppressed"] == [["i"], ["ii"]]
    assert b"100.1" not in result.text
    assert result.release is not None
    assert result.release.counts == {("iii",): 40}


def test_a_model_leaves_with_its_numbers_rounded() -> None:
    result = examined(MODEL)
    assert result.text is not None
    assert json.loads(result.text)["parameters"]["age"]["estimate"] == 0.1234568


@pytest.mark.parametrize(
    "change",
    [
        {"count": 9},
        {"count": 15, "parameters": {str(at): {"estimate": 1} for at in range(6)}},
        {"levels": {"sex=f": 60, "sex=x": 3}},
    ],
)
def test_a_model_of_too_few_people_stays(change: dict[str, object]) -> None:
    assert examined(MODEL | change).text is None


def test_statistics_of_too_few_people_or_with_a_number_for_each_stay() -> None:
    """The rows themselves, as numbers of their group, are more numbers than people allow."""
    few = {"benign": {"count": 9, "sum": [1, 2]}}
    assert examined(STATISTICS | {"groups": few}).text is None
    rows = {"benign": {"count": 40, "sum": [[at, at + 0.5] for at in range(40)]}}
    result = examined(STATISTICS | {"groups": rows})
    assert result.text is None
    assert "degrees of freedom" in result.rows[0][2]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"disclosure": 1, "type": "model", "count": 50, "count": 60, "parameters": {}}', "count"),
        (b'{"disclosure": 1, "type": "model", "count": NaN, "parameters": {}}', "NaN"),
        (b'{"disclosure": 1, "type": "model", "count": 50, "parameters": {}, "rows": 1}', "rows"),
        (b'{"disclosure": 1, "type": "model", "count": 50, "parameters": {"a": {"b": true}}}', "parameters.a.b"),
        (b'{"disclosure": 1, "type": "model", "count": 50.5, "parameters": {}}', "count"),
        (b'{"disclosure": 1, "type": "model", "count": 50, "parameters": {"a": {"b": 1e999}}}', "parameters.a.b"),
        (b'{"disclosure": 1, "type": "model", "count": 50, "parameters": {"a": {"b": 0.%s}}}' % (b"7" * 60), "a.b"),
        (b'{"disclosure": 1, "type": "model", "count": 50, "parameters": {"\\u001b[2J": {}}}', "parameters"),
        (b'{"disclosure": 2, "type": "model", "count": 50, "parameters": {}}', "disclosure"),
        (b'{"disclosure": 1, "type": "table"}', "type"),
        (b"[" * 100_000, "deep"),
        (b"\xff", "JSON"),
        (b"[" + b"1," * 200_001 + b"1]", "values"),
        (b" " * (9 << 20), "bytes"),
        (b'\\"' * (4 << 20), "JSON"),
        (b'"' + b'\\"' * (1 << 21) + b"\\", "JSON"),
    ],
    ids=lambda given: given[:20].decode("latin-1") if isinstance(given, bytes) else given,
)
def test_a_file_that_is_not_of_its_form_is_refused_with_its_place(text: bytes, place: str) -> None:
    """Lost: that nothing else leaves, or that a file of 8 MiB without an end to its text keeps a node for days."""
    with pytest.raises(BadInput, match=place):
        read_output("model", text)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({*STATISTICS, *TABLE, *MODEL})


def read_or_refused(work: Callable[[], object]) -> bool:
    """Whether it was done, or refused in one line; any other error is the test's."""
    try:
        work()
    except BadInput as error:
        return "\n" not in str(error)
    return True


@given(
    st.sampled_from(["statistics", "table", "model", "row-level"]),
    st.binary(max_size=60) | plain.map(lambda value: json.dumps(value).encode()),
)
def test_whatever_a_block_writes_is_read_or_refused(type: str, data: bytes) -> None:
    assert read_or_refused(lambda: read_output(type, data))


@given(st.sampled_from([STATISTICS, TABLE, MODEL]), st.sampled_from(FIELDS), plain)
def test_whatever_stands_in_a_field_is_read_or_refused(of: dict[str, object], field: str, value: object) -> None:
    data = json.dumps(of | {field: value}).encode()
    assert read_or_refused(lambda: examine(str(of["type"]), data, "1", RULES, PAST))


def test_the_examples_of_the_documentation_are_of_their_forms() -> None:
    """Lost: that a block written after the page is understood."""
    page = (Path(__file__).parents[3] / "docs" / "protocol" / "disclosure.md").read_text()
    examples = re.findall(r"^```(?:json|text)$(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    types = [json.loads(example)["type"] for example in examples]
    assert types == ["statistics", "statistics", "table", "model"], "the second one is what leaves of the first"
    for kind, example in zip(types, examples, strict=True):
        assert examine(kind, example.encode(), kind, RULES, PAST).text is not None
