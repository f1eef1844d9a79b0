"""A text that is no CWL is told why, and one that attacks the evaluator ends nothing but its own session."""

from __future__ import annotations

import json
import posixpath
from pathlib import Path

import pytest
import trio

from catalog.error import BadInput, ComityError
from node.execute.cwl.evaluator import Evaluator
from node.execute.cwl.message import Begin, Command, Outputs, Ready, Wanted
from tests.node.execute.cwl.evaluating import EXPRESSION, TOOL, WORKFLOW, Texts, evaluated, loaded, with_evaluator


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("${ while (true) {} }", "longer than"),
        ("${ var a = []; while (true) { a.push(new Array(1000000).fill(7)); } }", "MiB"),
        ("${ return process.env; }", "process"),
        ("${ return require('fs'); }", "require"),
        ("${ function f() { return f() + 1; } return f(); }", "stack"),
        ("${ return std.open('/etc/passwd', 'r'); }", "std"),
        ("$(inputs.n.nothing.there)", ""),
        ("${ return 'x'.repeat(1 << 29).length; }", ""),
        ("$({made: 'x'.repeat(1 << 27)})", ""),
    ],
)
def test_an_expression_that_goes_too_far_is_refused_and_the_next_one_is_not(expression: str, told: str) -> None:
    """Lost: the node, its memory or its environment, to a text that a stranger wrote."""

    async def main(made: Evaluator) -> None:
        with pytest.raises(ComityError) as refused:
            await evaluated(made, EXPRESSION | {"expression": expression}, {"n": 1})
        assert told in str(refused.value)
        assert str(refused.value).isprintable()
        said = await evaluated(made, EXPRESSION | {"expression": "$({made: inputs.n + 1})"}, {"n": 1})
        assert said == Outputs(values={"made": 2})

    with_evaluator(main)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "&r {cwlVersion: v1.2, class: CommandLineTool, inputs: {}, outputs: {}, doc: *r}",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        json.dumps(TOOL | {"$import": "/etc/passwd"}),
        json.dumps(TOOL | {"baseCommand": {"$include": "file:///etc/passwd"}}),
        json.dumps(TOOL | {"baseCommand": {"$include": "http://127.0.0.1:9/x"}}),
        json.dumps(TOOL | {"requirements": {"NoSuchRequirement": {}}, "baseCommand": "true"}),
        json.dumps({"cwlVersion": "v9", "class": "CommandLineTool", "inputs": {}, "outputs": {}}),
        "[" * 100_000,
    ],
    ids=["nothing", "a list", "itself", "a bomb", "import", "include", "an address", "requirement", "version", "deep"],
)
def test_a_document_that_is_none_is_refused_in_a_line(document: str) -> None:
    """Lost: the node, to a text that makes its reader run on, fall over, or read what is not the text's."""

    async def main(made: Evaluator) -> None:
        with pytest.raises(ComityError) as refused:
            await evaluated(made, document)
        assert str(refused.value).isprintable()
        assert await evaluated(made, TOOL | {"baseCommand": "true"})

    with_evaluator(main)


TYPO = "cwlVersion: v1.2\nclass: CommandLineTool\ninputs: {}\noutputs: {}\nbasecommand: a\n"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (TYPO, "/block/tool.cwl:5:1: invalid field 'basecommand', expected one of: 'id', 'label'"),
        (
            TYPO.replace("basecommand: a", "baseCommand: {a: 3}"),
            "/block/tool.cwl:5:1: value is a CommentedMap, expected",
        ),
        (
            TYPO.replace("{}", "{a: strin}", 1),
            "/block/tool.cwl:3:10: Field 'type' references unknown identifier 'strin'",
        ),
        (TYPO.partition("inputs")[0] + "inputs: {\n", "/block/tool.cwl:4:1: expected the node content"),
        (TYPO.replace("inputs", "\tinputs"), "/block/tool.cwl:3:1: found character"),
        (TYPO.replace("inputs: {}", ""), "/block/tool.cwl:1:1: missing required field 'inputs'"),
        (TYPO.replace("CommandLineTool", "Tool"), "/block/tool.cwl:2:1: Field 'class' contains undefined reference"),
    ],
)
def test_what_is_no_cwl_is_told_by_its_place_and_what_was_expected(document: str, told: str) -> None:
    """Lost: whoever wrote it looks for the fault in all of it."""

    async def main(made: Evaluator) -> None:
        with pytest.raises(BadInput) as refused:
            await evaluated(made, document)
        assert str(refused.value).startswith(told)
        assert str(refused.value).isprintable()

    with_evaluator(main)


def _running(what: str) -> str:
    steps = {"a": {"in": {}, "out": [], "run": what}}
    return json.dumps({"cwlVersion": "v1.2", "class": "Workflow", "inputs": {}, "outputs": {}, "steps": steps})


@pytest.mark.parametrize(
    "texts",
    [
        {"tool.cwl": _running("tool.cwl")},
        {"tool.cwl": _running("b.cwl"), "b.cwl": _running("tool.cwl")},
        {"tool.cwl": json.dumps(TOOL | {"inputs": {"$import": "b.yml"}}), "b.yml": "$import: b.yml"},
        {
            "tool.cwl": json.dumps(TOOL | {"inputs": {"$import": "b.yml"}}),
            "b.yml": "a: {$import: c.yml}",
            "c.yml": "a: {$import: b.yml}",
        },
    ],
    ids=["itself", "another", "import", "imports"],
)
def test_documents_that_name_one_another_in_a_circle_are_refused(texts: dict[str, str]) -> None:
    """Lost: the node reads on for ever."""

    async def main(made: Evaluator) -> None:
        async with made.workflow(Texts({f"/block/{name}": text for name, text in texts.items()})) as flow:
            with pytest.raises(ComityError) as refused:
                await loaded(flow)
        assert str(refused.value).isprintable()
        assert await evaluated(made, TOOL | {"baseCommand": "true"})

    with_evaluator(main)


def test_a_workflow_that_scatters_over_more_than_can_be_waited_for_is_ended() -> None:
    """Lost: the memory and the processors of a site, to a number that a stranger wrote."""

    async def main() -> None:
        made = Evaluator(4)
        try:
            async with made.workflow(Texts({"/block/tool.cwl": json.dumps(WORKFLOW)})) as flow:
                await loaded(flow)
                with pytest.raises(ComityError) as refused:
                    await flow.ask(Begin(inputs={"numbers": list(range(100_000))}), Wanted)
            assert str(refused.value).isprintable()
            assert await evaluated(made, TOOL | {"baseCommand": "true"})
        finally:
            await made.aclose()

    trio.run(main)


def test_what_nobody_waits_for_any_more_ends_by_itself() -> None:
    """Lost: a processor, for each question that was given up."""

    async def main() -> None:
        made = Evaluator(2)
        try:
            async with made.workflow(Texts({"/block/tool.cwl": json.dumps(WORKFLOW)})) as flow:
                await loaded(flow)
                with trio.move_on_after(0.5):
                    await flow.ask(Begin(inputs={"numbers": list(range(100_000))}), Wanted)
            assert made._process is not None
            assert _below(made._process.pid) == 3  # of bubblewrap: its first inside, the evaluator, and this copy of it
            for _ in range(600):
                if _below(made._process.pid) == 2:
                    return
                await trio.sleep(0.1)
            pytest.fail("it goes on")
        finally:
            await made.aclose()

    trio.run(main)


def _below(pid: int) -> int:
    """How many processes ``pid`` has started, and they."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(children) + sum(_below(int(each)) for each in children)


def test_what_a_document_names_is_asked_of_the_node_alone() -> None:
    """Lost: a path of this machine, read since a document named it."""
    document = TOOL | {
        "baseCommand": "cat",
        "inputs": {"code": {"type": "File", "default": {"class": "File", "location": "../x"}}},
    }

    async def main(made: Evaluator) -> None:
        tree = Texts({"/block/tool.cwl": json.dumps(document), "/etc/passwd": "of the tree"})
        async with made.tool(tree) as tool:
            await loaded(tool)
            scan = {"class": "File", "location": "file:///block/../etc/passwd"}
            await tool.ask(Command(inputs={"code": scan}, cores=1, ram_mib=1024), Ready)
        assert tree.asked
        assert all(posixpath.normpath(each) == each for each in tree.asked)

    with_evaluator(main)
