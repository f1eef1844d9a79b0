"""A workflow is refused before anything runs if it cannot run: a link to nothing, a wrong type, a circle."""

from __future__ import annotations

import pytest

from catalog.cid import Cid
from catalog.error import BadInput
from workflow.flow import parse_workflow
from workflow.graph import Merge, Source, StepInput, Workflow, order_of_steps
from workflow.parse import parse_tool
from workflow.tool import Tool
from workflow.type import Kind, Type

LOCAL, POOL = Cid.of(b"local"), Cid.of(b"pool")
PACKED = {"local.cwl": LOCAL, "pool.cwl": POOL}


@pytest.fixture
def tools(local: str, pool: str) -> dict[Cid | str, Tool]:
    known = {"local.cwl": parse_tool(local, "local.cwl"), "pool.cwl": parse_tool(pool, "pool.cwl")}
    return {**known, **{PACKED[path]: tool for path, tool in known.items()}}


def test_the_workflow_of_three_hospitals_is_read(hospitals: str, tools: dict[Cid | str, Tool]) -> None:
    workflow = parse_workflow(hospitals, "w.cwl", PACKED, tools)
    assert workflow.inputs[0].type == Type(Kind.FILE, 1)
    assert workflow.blocks == (POOL, LOCAL)
    assert workflow.unpacked == ()
    assert [step.id for step in order_of_steps(workflow)] == ["local", "pool"]
    step = workflow.step("local")
    assert step is not None
    assert (step.scatter, step.outputs) == (("data",), ("result",))
    assert step.inputs == (StepInput("data", (Source("", "data"),)),)
    assert workflow.outputs[0].sources == (Source("pool", "pooled"),)


def test_a_step_is_pinned_to_a_site_in_our_namespace_alone(hospitals: str) -> None:
    """Lost: a step that must run at one site runs elsewhere, because a word was read as something else."""
    pinned = hospitals.replace("run: local.cwl", 'comity:site: "St. Anna Hospital"\n    run: local.cwl')
    declared = pinned.replace("class: Workflow", 'class: Workflow\n$namespaces: {comity: "urn:comity:cwl#"}')
    steps = {step.id: step.site for step in parse_workflow(declared, "w.cwl", PACKED).steps}
    assert steps == {"local": "St. Anna Hospital", "pool": ""}
    with pytest.raises(BadInput, match="«comity:site» needs its prefix"):
        parse_workflow(pinned, "w.cwl", PACKED)
    with pytest.raises(BadInput, match="the name of a site"):
        parse_workflow(declared.replace('"St. Anna Hospital"', '" "'), "w.cwl", PACKED)


def test_paths_stay_until_they_are_packed(hospitals: str, tools: dict[Cid | str, Tool]) -> None:
    """An author checks a workflow before its blocks have CIDs; a node sees what is not packed."""
    assert parse_workflow(hospitals, "w.cwl", tools=tools).unpacked == ("pool.cwl", "local.cwl")
    packed = hospitals.replace("run: local.cwl", f"run: comity:{LOCAL}").replace("run: pool.cwl", f"run: comity:{POOL}")
    assert parse_workflow(packed, "w.cwl", tools=tools) == parse_workflow(hospitals, "w.cwl", PACKED, tools)


def test_the_declared_namespace_does_not_change_what_a_step_runs(hospitals: str) -> None:
    """Else a line at the top of the text makes a step run another block than the one that is read."""
    packed = hospitals.replace("run: local.cwl", f"run: comity:{LOCAL}")
    text = packed.replace("class: Workflow", f"class: Workflow\n$namespaces: {{comity: 'comity:{POOL}#'}}")
    assert parse_workflow(text, "w.cwl", PACKED).blocks == (POOL, LOCAL)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("local/result", "local/results", "9:17: the source «local/results» does not exist"),
        ("local/result", "locl/result", "the source «locl/result» does not exist"),
        ("in: {data: data}", "in: {data: dta}", "the source «dta» does not exist; the workflow's inputs are: data"),
        ("in: {data: data}", "in: {dta: data}", "scatter over «data»"),
        ("in: {data: data}", "in: {data: data, x: data}", "has no input «x»; its inputs are: script, data"),
        ("out: [result]", "out: [result, more]", "has no output «more»"),
        ("in: {parts: local/result}", "in: {}", "step «pool» gives nothing to the input «parts»"),
        ("    scatter: data\n", "", "input «parts» of step «pool» is File[], and its source is File"),
        ("data: File[]", "data: File", "scatter over «data», whose source is File"),
        ("data: File[]", "data: string[]", "is File[], and its source is string[]"),
        ("data: File[]", "data: 'File[]?'", "its source may be null"),
        ("parts: local/result", "parts: data, script: local/result", "is File?, and its source is File[]"),
        ("pooled: {type: File,", "pooled: {type: 'File[]',", "output «pooled» is File[], and its source is File"),
        ("in: {data: data}", "in: {data: pool/pooled}", "scatter over «data», whose source is File"),
        ("requirements: {ScatterFeatureRequirement: {}}\n", "", "add «ScatterFeatureRequirement: {}»"),
        ("parts: local/result", "parts: [local/result, data]", "add «MultipleInputFeatureRequirement: {}»"),
        ("scatter: data", "scatter: data\n    scatterMethod: flat_crossproduct", "scatter by «flat_crossproduct»"),
        ("scatter: data", "scatter: [data, data]", "each once"),
        ("in: {data: data}", "in: {data: {default: {class: File, location: x}}}", "a File as a step's default"),
        ("run: local.cwl", "run: http://example.org/t.cwl", "a relative path inside the tool's folder expected"),
        ("run: local.cwl", "run: file:///t.cwl", "a relative path"),
        ("run: local.cwl", "run: ../t.cwl", "«..»"),
        ("run: local.cwl", "run: '#local'", "without «\\», «%», «?» and «#»"),
        ("run: local.cwl", "run: comity:bafy", "is not a CID"),
        ("run: local.cwl", "run: {class: CommandLineTool}", "a process written inside a step"),
        ("data: File[]", "data: {type: 'File[]', default: [{class: File, location: x}]}", "a File as a workflow's"),
        ("out: [pooled]", "out: [pooled]\n    requirements: {MPIRequirement: {}}", "no site meets the requirement"),
        ("class: Workflow", "class: Workflow\nhints: {'urn:comity:cwl#Output': {}}", "it belongs on a tool"),
        ("  local:", "  '#pool':", "the step «pool» is given twice"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_at_its_line(
    hospitals: str, tools: dict[Cid | str, Tool], old: str, new: str, message: str
) -> None:
    """Else three hospitals run their steps before the fourth finds out."""
    assert old in hospitals
    with pytest.raises(BadInput) as caught:
        parse_workflow(hospitals.replace(old, new), "w.cwl", tools=tools)
    assert str(caught.value).startswith("w.cwl:")
    assert message in str(caught.value)


def chain(links: dict[str, str], requirements: str = "{}") -> Workflow:
    steps = "".join(
        f"  {name}:\n    run: {name}.cwl\n    in: {{x: {source}}}\n    out: [o]\n" for name, source in links.items()
    )
    head = (
        f"cwlVersion: v1.2\nclass: Workflow\nrequirements: {requirements}\ninputs: {{i: int}}\noutputs: {{}}\nsteps:\n"
    )
    return parse_workflow(head + steps, "w.cwl")


def test_a_circle_is_named_step_by_step() -> None:
    with pytest.raises(BadInput) as caught:
        chain({"d": "i", "a": "c/o", "b": "a/o", "c": "b/o"})
    assert "steps wait for one another: " in str(caught.value)
    circle = str(caught.value).split("another: ")[1].split(";")[0].split(" → ")
    assert (circle[0], set(circle)) == (circle[-1], {"a", "b", "c"})


def test_a_step_that_waits_for_itself_is_a_circle() -> None:
    with pytest.raises(BadInput, match="a → a"):
        chain({"a": "a/o"})


def test_the_order_of_steps_is_the_same_each_time_and_respects_every_link() -> None:
    """Else two nodes that plan one submission disagree about it."""
    links = {f"s{index}": f"s{index + 1}/o" for index in range(30)} | {"s30": "i", "free": "i"}
    orders = [[step.id for step in order_of_steps(chain(links))] for _ in range(2)]
    assert orders[0] == orders[1]
    assert orders[0].index("s30") < orders[0].index("s0")


@pytest.mark.parametrize(
    ("source", "merge", "expected"),
    [
        ("[i, i]", "", (Merge.NESTED, 2)),
        ("[i]", "", (Merge.NONE, 1)),
        ("{source: [i], linkMerge: merge_nested}", "", (Merge.NESTED, 1)),
        ("{source: [i, i], linkMerge: merge_flattened}", "", (Merge.FLATTENED, 2)),
    ],
)
def test_several_sources_merge_as_cwl_says(source: str, merge: str, expected: tuple[Merge, int]) -> None:
    step = chain({"a": source}, "{MultipleInputFeatureRequirement: {}}").steps[0]
    assert (step.inputs[0].merge, len(step.inputs[0].sources)) == expected


def test_version_1_0_with_its_full_identifiers_is_read_alike() -> None:
    text = """
cwlVersion: v1.0
class: Workflow
id: "#main"
inputs: [{id: "#main/i", type: string}]
outputs: [{id: "#main/o", type: File, outputSource: "#main/a/out"}]
steps: [{id: "#main/a", run: a.cwl, in: [{id: "#main/a/x", source: "#main/i"}], out: ["#main/a/out"]}]
"""
    workflow = parse_workflow(text, "w.cwl")
    assert workflow.steps[0].inputs == (StepInput("x", (Source("", "i"),)),)
    assert workflow.outputs[0].sources == (Source("a", "out"),)
