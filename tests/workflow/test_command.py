"""The command that runs is the one that CWL prescribes, and no value given to it reaches outside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from catalog.error import BadInput
from workflow.command import Collect, command_line, stage_path
from workflow.parse import parse_tool
from workflow.reference import Runtime
from workflow.type import Kind, Staged, Type

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\n"


def argv(body: str, **values: object) -> tuple[str, ...]:
    return command_line(parse_tool(f"{HEAD}baseCommand: x\noutputs: {{}}\n{body}", "t.cwl"), values).argv


def suite_tool(folder: Path, name: str) -> str:
    """A tool of the suite with its output taken out: a list of text that its helper program reports by itself."""
    text = (folder / name).read_text()
    changed = re.sub(r"(?ms)^(outputs:\n.*?)(?=^\S|\Z)", "outputs: {}\n", text)
    changed = changed.replace('"outputs": [{"id": "args", "type": "string[]"}]', '"outputs": []')
    assert changed != text
    return changed


def suite_values(folder: Path, name: str) -> dict[str, object]:
    def read(name: str, value: object) -> object:
        if isinstance(value, dict):
            return stage_path(name, value["location"])
        return [read(name, each) for each in value] if isinstance(value, list) else value

    return {key: read(key, value) for key, value in json.loads((folder / name).read_text()).items()}


def test_general_command_line_of_the_suite(conformance: Path) -> None:
    """The suite's ``cl_basic_generation``: positions, names, prefixes, separators, a default file, runtime.cores."""
    tool = parse_tool(suite_tool(conformance, "bwa-mem-tool.cwl"), "bwa-mem-tool.cwl")
    assert tool.files == ("args.py",)
    command = command_line(tool, suite_values(conformance, "bwa-mem-job.json"), runtime=Runtime(cores=2))
    assert command.argv == (
        "python", "/block/args.py", "bwa", "mem", "-t", "2", "-I", "1,2,3,4", "-m", "3",
        "/inputs/reference/chr20.fa",
        "/inputs/reads/example_human_Illumina.pe_1.fastq", "/inputs/reads/example_human_Illumina.pe_2.fastq",
    )  # fmt: skip
    assert command.stdout == "output.sam"


def test_prefixes_of_an_array_and_of_its_items(conformance: Path) -> None:
    """The suite's ``nested_prefixes_arrays``."""
    tool = parse_tool(suite_tool(conformance, "binding-test.cwl"), "binding-test.cwl")
    values = suite_values(conformance, "bwa-mem-job.json")
    given = {name: values[name] for name in ("reference", "reads")}
    assert command_line(tool, given).argv == (
        "python", "/block/args.py", "bwa", "mem", "/inputs/reference/chr20.fa",
        "-XXX",
        "-YYY", "/inputs/reads/example_human_Illumina.pe_1.fastq",
        "-YYY", "/inputs/reads/example_human_Illumina.pe_2.fastq",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("cat", "/inputs/file1/hello.txt")),
        ({"numbering": True}, ("cat", "-n", "/inputs/file1/hello.txt")),
    ],
)
def test_an_optional_flag(conformance: Path, values: dict[str, object], expected: tuple[str, ...]) -> None:
    """The suite's ``cl_optional_inputs_missing`` and ``cl_optional_bindings_provided``."""
    tool = parse_tool(suite_tool(conformance, "cat1-testcli.cwl"), "cat1-testcli.cwl")
    values = {"file1": stage_path("file1", "hello.txt"), **values}
    assert command_line(tool, values).argv[2:] == expected


def test_numbers_have_no_exponent(conformance: Path) -> None:
    """The suite's ``very_big_and_very_floats_nojs``."""
    tool = parse_tool((conformance / "floats_small_and_large_nojs.cwl").read_bytes(), "floats.cwl")
    assert command_line(tool, {}).argv == ("echo", "-n", "0.00001", "0.0000123", "123000", "1230000")


def test_positions_then_arguments_before_inputs_then_names() -> None:
    body = """
arguments: [a0, {valueFrom: a1, position: 1}, {valueFrom: $(inputs.b), prefix: -p=, separate: false, position: -1}]
inputs:
  b: {type: string, inputBinding: {position: 1}}
  a: {type: string, inputBinding: {position: 1}}
  z: {type: string, inputBinding: {}}
  unbound: string
"""
    assert argv(body, a="A", b="B", z="Z", unbound="U") == ("x", "-p=B", "a0", "Z", "a1", "A", "B")


@pytest.mark.parametrize(
    ("kind", "binding", "value", "expected"),
    [
        ("boolean", "{prefix: -f}", True, ("-f",)),
        ("boolean", "{prefix: -f}", False, ()),
        ("boolean", "{}", True, ()),
        ("int", "{prefix: -n}", 0, ("-n", "0")),
        ("int", "{prefix: -n, separate: false}", 3, ("-n3",)),
        ("string?", "{prefix: -s}", None, ()),
        ("string", "{prefix: -s}", "", ("-s", "")),
        ("'string[]'", "{prefix: -s}", ["a", "b"], ("-s", "a", "b")),
        ("'string[]'", "{prefix: -s}", [], ()),
        ("'string[]'", "{prefix: -s=, separate: false, itemSeparator: ','}", ["a", "b"], ("-s=a,b",)),
        ("'boolean[]'", "{prefix: -b}", [True, False], ("-b",)),
        ("double", "{}", 1e-7, ("0.0000001",)),
        ("long", "{}", 1 << 40, ("1099511627776",)),
        ("{type: enum, symbols: [a, b]}", "{}", "b", ("b",)),
        ("Directory", "{}", Staged("/inputs/v/d"), ("/inputs/v/d",)),
    ],
)
def test_bindings(kind: str, binding: str, value: object, expected: tuple[str, ...]) -> None:
    assert argv(f"inputs: {{v: {{type: {kind}, inputBinding: {binding}}}}}", v=value) == ("x", *expected)


def test_the_pooling_tool_takes_files_of_one_name_from_several_sites(pool: str) -> None:
    """Else the second hospital's result is mounted over the first one's."""
    parts = [stage_path("parts", "result.json", index) for index in range(2)]
    command = command_line(parse_tool(pool, "pool.cwl"), {"parts": parts})
    assert command.argv == ("python3", "/block/pool.py", "/inputs/parts/0/result.json", "/inputs/parts/1/result.json")
    assert command.outputs == (Collect("pooled", Type(Kind.FILE), ("pooled.json",)),)


def test_references_in_streams_environment_and_patterns() -> None:
    tool = parse_tool(
        HEAD
        + """
baseCommand: sort
stdin: $(inputs.f.path)
stdout: $(inputs.f.nameroot)-[$(inputs.n)]$(inputs.f.nameext)
requirements: {EnvVarRequirement: {envDef: {HOME: $(runtime.outdir), N: "n=$(inputs['n'])"}}}
inputs: {f: File, n: int}
outputs:
  sorted: stdout
  parts: {type: "File[]", outputBinding: {glob: ["$(inputs.f.basename).*", "$(runtime.outdir)/p/*"]}}
""",
        "t.cwl",
    )
    command = command_line(tool, {"f": Staged("/inputs/f/a.b.csv"), "n": 7})
    assert (command.stdin, command.stdout, command.stderr) == ("/inputs/f/a.b.csv", "a.b-[7].csv", None)
    assert command.environment == (("HOME", "/work"), ("N", "n=7"))
    assert [each.patterns for each in command.outputs] == [("a.b-[[]7].csv",), ("a.b.csv.*", "p/*")]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("../../etc/cron.d/x", "names no file"),
        ("", "names no file"),
        ("a\nb", "names no file"),
        ("x" * 300, "names no file"),
    ],
)
def test_a_value_cannot_place_a_stream_outside(value: str, message: str) -> None:
    """Else a requester chooses which of the host's files the runner writes."""
    tool = parse_tool(f"{HEAD}baseCommand: x\ninputs: {{n: string}}\noutputs: {{}}\nstdout: $(inputs.n)\n", "t.cwl")
    with pytest.raises(BadInput, match=message):
        command_line(tool, {"n": value})


@pytest.mark.parametrize("value", ["/etc/passwd", "../x", "a/../../x", ""])
def test_a_value_cannot_make_a_pattern_reach_outside(value: str) -> None:
    """Else a requester collects the host's files as its output."""
    outputs = "{o: {type: File, outputBinding: {glob: $(inputs.n)}}}"
    tool = parse_tool(f"{HEAD}baseCommand: x\ninputs: {{n: string}}\noutputs: {outputs}\n", "t.cwl")
    with pytest.raises(BadInput, match="outside the working folder"):
        command_line(tool, {"n": value})


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\0b", "x" * 256])
def test_a_data_file_cannot_be_staged_beside_its_input(name: str) -> None:
    with pytest.raises(BadInput, match="file's name"):
        stage_path("data", name)


@pytest.mark.parametrize("path", ["x", "/a/../b", "//a", "/a//b", "/a/.", "/a\0"])
def test_a_staged_path_is_absolute_and_normal(path: str) -> None:
    with pytest.raises(BadInput):
        Staged(path)


def test_a_tool_without_a_command_is_refused() -> None:
    with pytest.raises(BadInput, match="empty command"):
        command_line(parse_tool(f"{HEAD}inputs: {{}}\noutputs: {{}}\n", "t.cwl"), {})


def test_an_absent_input_that_text_needs_is_named() -> None:
    tool = parse_tool(f"{HEAD}baseCommand: x\ninputs: {{n: string?}}\noutputs: {{}}\nstdout: $(inputs.n)\n", "t.cwl")
    with pytest.raises(BadInput, match="the input «n» is needed"):
        command_line(tool, {})
