"""What a requester gives is what the tool declares, or the input is named."""

from __future__ import annotations

import pytest

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.job import check_inputs
from workflow.parse import parse_tool
from workflow.tool import Tool
from workflow.type import Carried, Staged

INPUTS = """
  n: {type: int, default: 3}
  f: File
  s: string?
  many: {type: "File[]?"}
  e: {type: [ "null", {type: enum, symbols: [a, b]} ]}
  b: {type: boolean, default: false}
  code: {type: File, default: {class: File, location: c.py}}
"""


@pytest.fixture
def tool() -> Tool:
    return parse_tool(
        f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: x\noutputs: {{}}\ninputs:{INPUTS}", "t.cwl"
    )


def test_a_job_is_completed_with_defaults(tool: Tool) -> None:
    file = Staged("/inputs/f/x")
    job = check_inputs(tool, {"f": file, "many": [file], "b": None})
    assert job == {
        "n": 3, "f": file, "s": None, "many": (file,), "e": None, "b": False, "code": Carried("c.py"),
    }  # fmt: skip


def test_files_may_be_content_identifiers_before_they_are_staged(tool: Tool) -> None:
    file = Cid.of(b"x")
    assert check_inputs(tool, {"f": file, "many": [file]}, (Cid,))["many"] == (file,)
    with pytest.raises(BadInput, match="input «f»"):
        check_inputs(tool, {"f": file})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "input «f»: nothing given, File expected"),
        ({"f": "/etc/passwd"}, "input «f»: «/etc/passwd» given, File expected"),
        ({"f": Carried("c.py")}, "input «f»"),
        ({"g": 1}, "there is no input «g»; the inputs are: b, code, e, f, many, n, s"),
        ({"n": True}, "input «n»: «True» given, int expected"),
        ({"n": 1 << 31}, "int expected"),
        ({"n": 1.0}, "int expected"),
        ({"s": 1}, "input «s»: «1» given, string[?] expected"),
        ({"s": "a\0b"}, "input «s»"),
        ({"s": "\ud800"}, "input «s»"),
        ({"many": Staged("/x")}, "an array"),
        ({"many": "ab"}, "an array"),
        ({"many": [None]}, "nothing given, File expected"),
        ({"e": "c"}, "one of a, b expected"),
        ({"b": 1}, "boolean expected"),
    ],
)
def test_a_value_that_does_not_fit_names_its_input(tool: Tool, values: dict[str, object], message: str) -> None:
    """Else a step fails at a hospital with the tool's own words, or runs on what nobody meant."""
    given = values if "f" in values or not values else {"f": Staged("/inputs/f/x"), **values}
    with pytest.raises(BadInput, match=message):
        check_inputs(tool, given)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1"])
def test_a_number_is_finite(value: object) -> None:
    tool = parse_tool("cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {x: double}\noutputs: {}\n", "t.cwl")
    with pytest.raises(BadInput, match="input «x»"):
        check_inputs(tool, {"x": value})
