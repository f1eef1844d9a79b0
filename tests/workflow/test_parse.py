"""A tool is read whole: what this node does not do is refused at its line, and what it does is not misread."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from workflow.parse import parse_tool
from workflow.reference import Reference, Template
from workflow.tool import Binding, Disclosure, Resources, Tool, WorkFile
from workflow.type import Carried, Kind, Type

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\n"


def tool(body: str = "", inputs: str = "{}", outputs: str = "{}") -> Tool:
    return parse_tool(f"{HEAD}inputs: {inputs}\noutputs: {outputs}\n{body}", "t.cwl")


def test_the_local_tool_of_a_federated_step_is_read(local: str) -> None:
    read = parse_tool(local, "local.cwl")
    assert (read.id, read.label, read.base_command) == ("local_stats", "Local statistics", ("python3",))
    script, data = read.inputs
    assert script.default == Carried("local_stats.py")
    assert (data.type, data.binding, data.required, script.required) == (Type(Kind.FILE), Binding(1), True, False)
    assert read.files == ("local_stats.py",)
    assert read.outputs[0].globs == (Template(("result.json",)),)
    assert read.outputs[0].disclosure is Disclosure.STATISTICS


def test_an_output_that_declares_nothing_counts_as_rows(pool: str) -> None:
    """Else forgetting a hint is a way to a milder check."""
    assert parse_tool(pool, "pool.cwl").outputs[0].disclosure is Disclosure.ROWS


def test_both_forms_of_cwl_give_the_same_tool(local: str) -> None:
    """Else the same tool has two meanings, by how its author happened to write it."""
    listed = parse_tool(
        """
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {c: "urn:comity:cwl#"}
id: "#local_stats"
label: Local statistics
baseCommand: python3
hints: [{class: "c:Output", result: {type: statistics}}]
inputs:
- {id: "#script", type: File, default: {class: File, path: local_stats.py}, inputBinding: {}}
- {id: data, type: [File], inputBinding: {position: 1}}
outputs: [{id: result, type: File, outputBinding: {glob: [result.json]}}]
""",
        "x",
    )
    assert listed == parse_tool(local, "x")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("string", Type(Kind.STRING)),
        ("'File[]?'", Type(Kind.FILE, 1, True)),
        ("['null', int]", Type(Kind.INT, 0, True)),
        ("{type: array, items: double}", Type(Kind.DOUBLE, 1)),
        ("['null', {type: array, items: long}]", Type(Kind.LONG, 1, True)),
        ("{type: enum, symbols: [a, '#x/b']}", Type(Kind.ENUM, symbols=("a", "b"))),
        ("Directory", Type(Kind.DIRECTORY)),
    ],
)
def test_types(written: str, expected: Type) -> None:
    assert tool(inputs="{x: {type: %s}}" % written).inputs[0].type == expected  # noqa: UP031


def test_requirements_that_are_met_become_values() -> None:
    read = tool(
        """
hints:
  EnvVarRequirement: {envDef: {A: hint}}
  DockerRequirement: {dockerPull: x}
  "http://example.org/Unknown": {}
requirements:
  EnvVarRequirement: {envDef: [{envName: A, envValue: "v-$(inputs.n)"}]}
  ResourceRequirement: {coresMin: 0.5, ramMin: 100, ramMax: 200}
  NetworkAccess: {networkAccess: false}
  InitialWorkDirRequirement:
    listing:
    - {entryname: conf/a.txt, entry: "one\\n", writable: true}
    - {class: File, location: lib/b.py}
    - {class: File, basename: c, contents: three}
    - {class: File, location: e.py, basename: d.py}
successCodes: [3]
permanentFailCodes: [0]
""",
        inputs="{n: int}",
    )
    assert read.environment == (("A", Template(("v-", Reference("n")))),)
    assert read.resources == Resources(cores_min=0.5, ram_min=100, ram_max=200)
    assert read.work_files == (
        WorkFile("conf/a.txt", text="one\n", writable=True),
        WorkFile("b.py", source="lib/b.py"),
        WorkFile("c", text="three"),
        WorkFile("d.py", source="e.py"),
    )
    assert read.files == ("e.py", "lib/b.py")
    assert read.ignored_hints == ("http://example.org/Unknown", "DockerRequirement")
    assert read.successes == {3}


@pytest.mark.parametrize(
    ("body", "inputs", "outputs", "message"),
    [
        ("requirements: {InlineJavascriptRequirement: {}}", "{}", "{}", "6:45: the requirement «InlineJava"),
        ("requirements: [{class: ShellCommandRequirement}]", "{}", "{}", "«ShellCommandRequirement» is not supported"),
        ("requirements: {DockerRequirement: {dockerPull: x}}", "{}", "{}", "«DockerRequirement» is not supported"),
        ("requirements: {NetworkAccess: {networkAccess: true}}", "{}", "{}", "«NetworkAccess» is not supported"),
        ("requirements: {Made: {}}", "{}", "{}", "the requirement «Made» is not supported"),
        ("arguments: ['${return 1}']", "{}", "{}", "6:13: the expression in «${return 1}» is not supported"),
        ("arguments: [$(1 + 1)]", "{}", "{}", "the expression in «$(1 + 1)»"),
        ("arguments: [$(inputs.y)]", "{x: int}", "{}", "there is no input «y»"),
        ("arguments: [$(inputs.x.size)]", "{x: File}", "{}", "«$(inputs.x.size)» on an input of type File"),
        ("arguments: [a$(inputs.x)]", "{x: File}", "{}", "an input of type File as text"),
        ("arguments: ['\\$(inputs.x)']", "{x: int}", "{}", "a backslash before an expression"),
        ("arguments: [$(runtime.exitCode)]", "{}", "{}", "«$(runtime.exitCode)» is not supported"),
        ("stdin: /etc/passwd", "{}", "{}", "«stdin» other than"),
        ("stdout: ../x", "{}", "{}", "the name of a file in the working folder expected"),
        ("stdout: both\nstderr: both", "{}", "{}", "«stdout» and «stderr» in one file"),
        ("", "{x: Any}", "{}", "4:13: the type «Any» here is not supported"),
        ("", "{x: {type: {type: record, fields: {}}}}", "{}", "a type schema of «record» is not supported"),
        ("", "{x: {type: [int, string]}}", "{}", "a union"),
        ("", "{x: 'string[][]'}", "{}", "an array of arrays"),
        ("", "{x: {type: File, secondaryFiles: .bai}}", "{}", "«secondaryFiles» on an input is not supported"),
        ("", "{x: {type: File, format: 'http://x/y'}}", "{}", "«format» on an input is not supported"),
        ("", "{x: {type: File, inputBinding: {valueFrom: $(self)}}}", "{}", "«valueFrom» on an inputBinding"),
        ("", "{x: {type: string, inputBinding: {shellQuote: false}}}", "{}", "«shellQuote: false»"),
        ("", "{x: {type: string, inputBinding: {position: $(1)}}}", "{}", "as a position"),
        ("", "{x: {type: string, inputBinding: {separate: false}}}", "{}", "without a «prefix»"),
        ("", "{x: {type: int, default: one}}", "{}", "4:34: this default does not fit: «one» given, int expected"),
        ("", "{x: {type: int, default: 3000000000}}", "{}", "int expected"),
        ("", "{x: {type: File, default: {class: File, location: ../y}}}", "{}", "«../y» found"),
        ("", "{x: {type: File, default: {class: File, location: /y}}}", "{}", "a relative path"),
        ("", "{x: {type: File, default: {class: File, location: 'file:///y'}}}", "{}", "a relative path"),
        ("", "{x: {type: File, default: {class: File, location: 'a%2e%2e'}}}", "{}", "without «\\», «%»"),
        ("", "{x: {type: File, default: {class: File, contents: y}}}", "{}", "«contents» on a File"),
        ("", "{'..': int}", "{}", "cannot name an input"),
        ("", "[{id: a/x, type: int}, {id: x, type: int}]", "{}", "«x» is given twice"),
        ("", "{x: {type: int, valueForm: 1}}", "{}", "«valueForm» is no field of an input"),
        ("", "{}", "{o: {type: File, outputBinding: {glob: /etc/*}}}", "a pattern inside the working folder"),
        ("", "{}", "{o: {type: File, outputBinding: {glob: a/../../b}}}", "a pattern inside the working folder"),
        ("", "{}", "{o: {type: File, outputBinding: {glob: a, loadContents: true}}}", "«loadContents» on an"),
        ("", "{}", "{o: {type: string, outputBinding: {glob: a}}}", "an output of type string"),
        ("", "{}", "{o: Directory}", "an output of type Directory"),
        ("", "{}", "{o: File}", "without a «glob»"),
        ("$schemas: [http://example.org/s]", "{}", "{}", "6:11: «$schemas» is not supported"),
        ("$base: http://example.org/", "{}", "{}", "«$base» is not supported"),
        ("basecommand: x", "{}", "{}", "6:14: «basecommand» is no field of a CommandLineTool"),
        ("hints: {'comity:Output': {}}", "{}", "{}", "needs its prefix"),
        ("$namespaces: {comity: 'http://x#'}\nhints: {'comity:Output': {}}", "{}", "{}", "needs its prefix"),
        ("hints: {'urn:comity:cwl#Outputs': {}}", "{}", "{}", "is no hint of Comity's"),
        ("hints: {'urn:comity:cwl#Output': {o: {type: table}}}", "{}", "{}", "no output of that name"),
        ("hints: {'urn:comity:cwl#Output': {o: {type: all}}}", "{}", "{o: stdout}", "«all» found, one of statistics"),
        ("requirements: {InitialWorkDirRequirement: {listing: [{entryname: a, entry: x}, {entryname: a/b, entry: y}]}}",
         "{}", "{}", "is a file and a folder"),
        ("requirements: {InitialWorkDirRequirement: {listing: [{entryname: /a, entry: x}]}}", "{}", "{}", "a relative"),
        ("requirements: {InitialWorkDirRequirement: {listing: [{entryname: a, entry: $(inputs.x)}]}}", "{x: File}",
         "{}", "the expression «$(inputs.x)»"),
        ("requirements: {ResourceRequirement: {coresMin: $(inputs.x)}}", "{x: int}", "{}", "in «coresMin»"),
        ("requirements: {EnvVarRequirement: {envDef: {'A=B': c}}}", "{}", "{}", "cannot name an environment variable"),
    ],
)  # fmt: skip
def test_what_this_node_does_not_do_is_refused_by_name_and_place(
    body: str, inputs: str, outputs: str, message: str
) -> None:
    """Else a tool runs, without the feature its author relied on, and its result is believed."""
    with pytest.raises(BadInput) as caught:
        tool(body, inputs, outputs)
    assert str(caught.value).startswith("t.cwl:")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("cwlVersion: v1.2", "cwlVersion: v1.3"), "1:13: «v1.3» found, one of v1.0, v1.1, v1.2 expected"),
        (("cwlVersion: v1.2\n", ""), "1:1: the field «cwlVersion» is missing"),
        (("class: CommandLineTool", "class: Workflow"), "«Workflow» found, CommandLineTool expected"),
        (("inputs: {}", "$graph: []"), "«$graph» is not supported"),
        (("inputs: {}\n", ""), "the field «inputs» is missing"),
    ],
)
def test_the_first_lines_are_checked(change: tuple[str, str], message: str) -> None:
    text = f"{HEAD}inputs: {{}}\noutputs: {{}}\n"
    assert change[0] in text
    with pytest.raises(BadInput, match=message.replace("$", r"\$")):
        parse_tool(text.replace(*change), "t.cwl")


def test_metadata_of_other_vocabularies_is_accepted() -> None:
    assert tool("$namespaces: {s: 'https://schema.org/'}\ns:license: MIT\nintent: [x]\n").outputs == ()


def test_a_stream_that_an_output_asks_for_has_a_name() -> None:
    read = tool(outputs="{o: stdout, e: stderr}")
    assert (read.stdout, read.stderr) == (Template(("o.stdout",)), Template(("e.stderr",)))
