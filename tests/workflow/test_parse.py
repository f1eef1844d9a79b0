"""What a node has to know of a tool is read at its line; what the tool does is left to the evaluator."""

from __future__ import annotations

import pytest

from catalog.error import BadInput
from workflow.parse import parse_tool
from workflow.tool import Disclosure, Tool
from workflow.type import Kind, Type

HEAD = "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\n"


def tool(body: str = "", inputs: str = "{}", outputs: str = "{}") -> Tool:
    return parse_tool(f"{HEAD}inputs: {inputs}\noutputs: {outputs}\n{body}", "t.cwl")


def test_the_local_tool_of_a_federated_step_is_read(local: str) -> None:
    read = parse_tool(local, "local.cwl")
    assert (read.id, read.label, read.kind) == ("local_stats", "Local statistics", "CommandLineTool")
    script, data = read.inputs
    assert (script.carried, data.carried) == (True, False)
    assert (data.type, data.required, script.required) == (Type(Kind.FILE), True, False)
    assert read.files == ("local_stats.py",)
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
- {id: "#script", type: File, default: {class: File, location: local_stats.py}, inputBinding: {}}
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
        ("Any", Type(Kind.ANY)),
        ("{type: record, fields: {}}", Type(Kind.ANY)),
        ("[int, string]", Type(Kind.ANY)),
        ("['null', int, string]", Type(Kind.ANY, optional=True)),
        ("'string[][]'", Type(Kind.ANY)),
        ("{type: array, items: ['null', int]}", Type(Kind.ANY)),
        ("{type: array, items: {type: record, fields: {}}}", Type(Kind.ANY)),
        ("'#named'", Type(Kind.ANY)),
    ],
)
def test_types(written: str, expected: Type) -> None:
    assert tool(inputs="{x: {type: %s}}" % written).inputs[0].type == expected  # noqa: UP031


def test_a_type_is_known_by_the_name_that_the_document_gives_it() -> None:
    """Lost: every tool that defines its types once; or a slip of the pen («strung») that nobody is told."""
    named = "{class: SchemaDefRequirement, types: [{name: person, type: record, fields: {}}]}"
    read = tool(
        f"requirements: [{named}]",
        "{a: person, b: 'person[]?', c: {type: {type: array, items: person}},"
        " d: {type: {type: enum, name: '#how', symbols: [x]}}}",
        "{o: how}",
    )
    assert [each.type for each in read.inputs[:3]] == [Type(Kind.ANY), Type(Kind.ANY, optional=True), Type(Kind.ANY)]
    assert read.inputs[3].type == Type(Kind.ENUM, symbols=("x",))
    assert read.outputs[0].type == Type(Kind.ANY)
    with pytest.raises(BadInput, match="«persons» is no type"):
        tool(f"requirements: [{named}]", "{a: persons}")


def test_what_a_node_acts_on_is_read_and_the_rest_is_left_to_the_evaluator() -> None:
    """Lost: a file that the tool needs and its block lacks; or a tool that is refused for what every runner does."""
    read = tool(
        """
hints:
  EnvVarRequirement: {envDef: {A: hint}}
  DockerRequirement: {dockerPull: x}
  "http://example.org/Unknown": {}
requirements:
  InlineJavascriptRequirement: {expressionLib: ["var x = 1;"]}
  ShellCommandRequirement: {}
  ResourceRequirement: {coresMin: $(inputs.n), ramMax: 200}
  NetworkAccess: {networkAccess: false}
  InitialWorkDirRequirement:
    listing:
    - {entryname: "$(inputs.n)", entry: "one\\n", writable: true}
    - {class: File, location: lib/b.py}
    - {class: Directory, path: pictures}
    - $(inputs.scan)
successCodes: [3]
arguments: [{valueFrom: "${return 1}", shellQuote: false}]
""",
        inputs="""
  n: int
  scan: {type: File, secondaryFiles: [.bai], format: "http://x/y", loadContents: true}
  code: {type: "File[]", default: [{class: File, location: e.py, secondaryFiles: [{class: File, location: f.py}]}]}
""",
        outputs="{o: {type: string, outputBinding: {glob: x, loadContents: true, outputEval: '$(self[0].contents)'}}}",
    )
    assert read.files == ("e.py", "f.py", "lib/b.py", "pictures")
    assert [each.name for each in read.inputs if each.carried] == ["code"]
    assert read.ignored_hints == ("http://example.org/Unknown", "DockerRequirement")
    assert read.outputs[0].type == Type(Kind.STRING)


@pytest.mark.parametrize(
    ("body", "reuse"),
    [
        ("", True),
        ("hints: {WorkReuse: {enableReuse: false}}", False),
        ("requirements: {WorkReuse: {enableReuse: false}}", False),
        ("requirements: {WorkReuse: {enableReuse: $(inputs.n)}}", False),
        ("hints: {WorkReuse: {enableReuse: false}}\nrequirements: {WorkReuse: {enableReuse: true}}", True),
    ],
)
def test_a_tool_that_may_make_something_else_of_the_same_is_not_reused(body: str, reuse: bool) -> None:
    """Lost: a simulation that draws lots is run once, and its answer given ten times."""
    assert tool(body, "{n: boolean}").reuse is reuse


@pytest.mark.parametrize(
    ("body", "inputs", "outputs", "message"),
    [
        ("requirements: {DockerRequirement: {dockerPull: x}}", "{}", "{}", "6:35: no site meets the requirement «Doc"),
        ("requirements: [{class: NetworkAccess, networkAccess: true}]", "{}", "{}", "a step has no network"),
        ("requirements: {NetworkAccess: {networkAccess: $(inputs.x)}}", "{x: boolean}", "{}", "a step has no network"),
        ("requirements: {MPIRequirement: {processes: 2}}", "{}", "{}", "a step runs on one machine"),
        ("$namespaces: {c: 'http://commonwl.org/cwltool#'}\nrequirements: {'c:MPIRequirement': {processes: 2}}", "{}",
         "{}", "«c:MPIRequirement»: it is none of CWL's"),
        ("requirements: {SoftwareRequirement: {packages: {}}}", "{}", "{}", "no site meets the requirement «Software"),
        ("", "{x: {type: strung}}", "{}", "4:20: «strung» is no type"),
        ("", "{x: {type: File, default: {class: File, location: ../y}}}", "{}", "«../y» found"),
        ("", "{x: {type: File, default: {class: File, location: /y}}}", "{}", "a relative path"),
        ("", "{x: {type: File, default: {class: File, location: 'file:///y'}}}", "{}", "a relative path"),
        ("", "{x: {type: File, default: {class: File, location: 'a%2e%2e'}}}", "{}", "without «\\», «%»"),
        ("", "{'..': int}", "{}", "cannot name an input"),
        ("", "[{id: a/x, type: int}, {id: x, type: int}]", "{}", "«x» is given twice"),
        ("", "{x: {type: int, valueForm: 1}}", "{}", "«valueForm» is no field of an input"),
        ("$schemas: [http://example.org/s]", "{}", "{}", "6:11: «$schemas» is not supported"),
        ("$base: http://example.org/", "{}", "{}", "«$base» is not supported"),
        ("basecommand: x", "{}", "{}", "6:14: «basecommand» is no field of a CommandLineTool"),
        ("hints: {'comity:Output': {}}", "{}", "{}", "needs its prefix"),
        ("$namespaces: {comity: 'http://x#'}\nhints: {'comity:Output': {}}", "{}", "{}", "needs its prefix"),
        ("hints: {'urn:comity:cwl#Outputs': {}}", "{}", "{}", "is no hint of Comity's"),
        ("hints: {'urn:comity:cwl#Output': {o: {type: table}}}", "{}", "{}", "no output of that name"),
        ("hints: {'urn:comity:cwl#Output': {o: {type: all}}}", "{}", "{o: stdout}", "«all» found, one of statistics"),
        ("requirements: {InitialWorkDirRequirement: {listing: [{class: File, location: ../x}]}}", "{}", "{}", "«../x»"),
        ("requirements: {InitialWorkDirRequirement: {listing: [{class: Directory, location: /etc}]}}", "{}", "{}",
         "a relative path"),
    ],
)  # fmt: skip
def test_what_no_site_may_run_is_refused_by_name_and_place(body: str, inputs: str, outputs: str, message: str) -> None:
    """Lost: a tool runs elsewhere than its author relied on, or its block is packed with other files of theirs."""
    with pytest.raises(BadInput) as caught:
        tool(body, inputs, outputs)
    assert str(caught.value).startswith("t.cwl:")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "k:requirements: {DockerRequirement: {dockerPull: x}}",
        "w:cwl/cwl#requirements: {DockerRequirement: {dockerPull: x}}",
        "cwl:requirements: {DockerRequirement: {dockerPull: x}}",
        "'https://w3id.org/cwl/cwl#requirements': {DockerRequirement: {dockerPull: x}}",
        "'requirements:': {DockerRequirement: {dockerPull: x}}",
        "r:valueFrom: x",
        "requirements: {'k:DockerRequirement': {dockerPull: x}}",
        "requirements: [{class: 'k:DockerRequirement', dockerPull: x}]",
        "requirements: [{class: 'DockerRequirement:', dockerPull: x}]",
        "requirements: [{class: NetworkAccess, networkAccess: false, 'networkAccess:': true}]",
        "requirements: [{class: NetworkAccess, networkAccess: false, 'k:NetworkAccess/networkAccess': true}]",
        "requirements: [{class: WorkReuse, enableReuse: true, 'WorkReuse:/enableReuse': null}]",
        "arguments: [{valueFrom: a, 'CommandLineBinding:/prefix': b}]",
    ],
)
def test_no_word_of_cwl_has_a_second_spelling(body: str) -> None:
    """Lost: what a steward reads as metadata, and this reader passes over, is a requirement to the evaluator."""
    spaces = "$namespaces: {k: 'https://w3id.org/cwl/cwl#', w: 'https://w3id.org/', r: 'cwl:'}\n"
    assert tool(spaces + "w:else: 1\n").ignored_hints == ()
    with pytest.raises(BadInput, match=r"^t\.cwl:7:\d+: «.*» (is a word of CWL's own|needs its prefix)"):
        tool(spaces + body)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("cwlVersion: v1.2", "cwlVersion: v1.3"), "1:13: «v1.3» found, one of v1.0, v1.1, v1.2 expected"),
        (("cwlVersion: v1.2\n", ""), "1:1: the field «cwlVersion» is missing"),
        (("class: CommandLineTool", "class: Workflow"), "«Workflow» found, CommandLineTool or ExpressionTool expected"),
        (("inputs: {}", "$graph: []"), "«$graph» is not supported"),
        (("inputs: {}\n", ""), "the field «inputs» is missing"),
    ],
)
def test_the_first_lines_are_checked(change: tuple[str, str], message: str) -> None:
    text = f"{HEAD}inputs: {{}}\noutputs: {{}}\n"
    assert change[0] in text
    with pytest.raises(BadInput, match=message.replace("$", r"\$")):
        parse_tool(text.replace(*change), "t.cwl")


def test_a_name_in_a_refusal_is_one_line_of_text() -> None:
    """Lost: a document that a peer wrote clears the terminal of whoever is told why it is refused."""
    with pytest.raises(BadInput, match="no output of that name") as caught:
        tool('hints: {"urn:comity:cwl#Output": {"a\\u001b[2J\\nb": {type: table}}}')
    assert str(caught.value).isprintable()


def test_metadata_of_other_vocabularies_is_accepted() -> None:
    assert tool("$namespaces: {s: 'https://schema.org/'}\ns:license: MIT\nintent: [x]\n").outputs == ()


def test_an_output_that_is_a_stream_is_a_file() -> None:
    """Lost: what a tool prints flows into no step that takes a file."""
    assert {each.type for each in tool(outputs="{o: stdout, e: stderr}").outputs} == {Type(Kind.FILE)}


def test_an_expression_is_a_tool() -> None:
    """Lost: a step that only computes a value from others cannot be a block."""
    read = parse_tool(
        "cwlVersion: v1.2\nclass: ExpressionTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
        "inputs: {n: int}\noutputs: {twice: int}\nexpression: '${return {twice: 2 * inputs.n};}'\n",
        "e.cwl",
    )
    assert (read.kind, read.outputs[0].type) == ("ExpressionTool", Type(Kind.INT))
