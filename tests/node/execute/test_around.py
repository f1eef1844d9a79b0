"""What a workflow has around a step's block is evaluated where the step runs, from the text that was signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog.error import BadInput
from node.step import Finished
from tests.adversary.test_steps import PROJECT
from tests.node.execute.test_values import Bench, on_a_bench
from workflow.alone import MOST_TEXT, Alone
from workflow.argument import Argument, Data, Literal, Many
from workflow.flow import parse_workflow

SAYS = """cwlVersion: v1.2
class: CommandLineTool
%s
baseCommand: [sh, -c, 'echo "$*" $WHO', says]
inputs:
  word: {type: Any, inputBinding: {position: 1}}
  more: {type: string?, inputBinding: {position: 2}}
stdout: said
outputs: {said: stdout}
"""
FLOW = """cwlVersion: v1.2
class: Workflow
requirements: {%s}
inputs: {a: Any, b: Any, c: Any}
steps:
  says:
    run: says.cwl
    in: {%s}
    out: [said]
    %s
outputs: {said: {type: File, outputSource: says/said}}
"""
ALL = "InlineJavascriptRequirement: {}, StepInputExpressionRequirement: {}, MultipleInputFeatureRequirement: {}"


def around(given: str, step: str = "", requirements: str = ALL) -> Alone | None:
    [found] = parse_workflow(FLOW % (requirements, given, step), "flow.cwl").steps
    return found.alone


def text(value: str) -> Literal:
    return Literal(json=value)


async def said(bench: Bench, alone: Alone | None, requirements: str = "", **inputs: Argument) -> str:
    finished = await bench.run(SAYS % requirements, inputs, alone)
    assert finished.failure == "", await bench.why(finished)
    return (await bench.blobs.read(finished.products["said"].cid)).decode().strip()


@pytest.mark.parametrize(
    ("given", "inputs", "expected"),
    [
        ("word: a", {"word": text("1")}, "1"),
        ("word: {source: a, valueFrom: $(self + 1)}", {"word": text("1")}, "2"),
        ("word: {source: a, valueFrom: $(inputs.more)}, more: b", {"word": text("1"), "more": text('"x"')}, "x x"),
        ("word: {valueFrom: constant}", {}, "constant"),
        ("word: {source: a, default: seven}", {"word": text("null")}, "seven"),
        ("word: {source: a, default: seven}", {"word": text('"one"')}, "one"),
        ("word: {default: seven}", {"word": text('"seven"')}, "seven"),
        (
            "word: {source: [a, b, c], pickValue: first_non_null}",
            {"word": Many(items=(text("null"), text('"p"'), text('"q"')))},
            "p",
        ),
        (
            "word: {source: [a, b, c], pickValue: all_non_null}",
            {"word": Many(items=(text("null"), text('"p"'), text('"q"')))},
            "p q",
        ),
    ],
)
def test_what_a_step_makes_of_its_inputs(given: str, inputs: dict[str, Any], expected: str, tmp_path: Path) -> None:
    """Lost: a block that is given something else than the workflow says."""

    async def story(bench: Bench) -> None:
        assert await said(bench, around(given), **inputs) == expected

    on_a_bench(tmp_path, story)


def test_a_step_reads_the_contents_of_what_it_is_given_where_it_runs(tmp_path: Path) -> None:
    """Lost: whoever wants a number out of a file at a hospital has to have the file."""

    async def story(bench: Bench) -> None:
        cid = await bench.blobs.add(b"41\n")
        data = Data(site=PROJECT.site, cid=cid, name="n.txt")
        given = "word: {source: a, loadContents: true, valueFrom: $(parseInt(self.contents) + 1)}"
        assert await said(bench, around(given), word=data) == "42"

    on_a_bench(tmp_path, story)


def test_a_step_whose_condition_does_not_hold_is_not_run(tmp_path: Path) -> None:
    """Lost: a step that was to be left out runs, on data that it was to be kept from."""

    async def ends(bench: Bench, word: str) -> Finished:
        return await bench.run(SAYS % "", {"word": text(word)}, around("word: a", "when: $(inputs.word > 3)"))

    async def story(bench: Bench) -> None:
        run, left_out = await ends(bench, "4"), await ends(bench, "3")
        assert (run.failure, left_out.failure) == ("", "")
        assert (str(run.products["said"].form), await bench.json(left_out.products["said"])) == ("file", None)
        assert left_out.usage is not None
        assert left_out.usage.peak_bytes == 0
        assert (await ends(bench, '"${"')).products["said"] == left_out.products["said"], "text is no number"

    on_a_bench(tmp_path, story)


WHO = "EnvVarRequirement: {envDef: {WHO: %s}}"


def test_a_block_inherits_what_the_workflow_and_the_step_require(tmp_path: Path) -> None:
    """Lost: a block that runs under other requirements than CWL says."""

    async def story(bench: Bench) -> None:
        of_all = f"{ALL}, {WHO % 'workflow'}"
        of_the_step = f"requirements: {{{WHO % 'step'}}}"
        own = f"requirements: {{{WHO % 'tool'}}}"
        assert await said(bench, around("word: a", "", of_all), word=text("1")) == "1 workflow"
        assert await said(bench, around("word: a", of_the_step, of_all), word=text("1")) == "1 step"
        assert await said(bench, around("word: a", of_the_step), word=text("1")) == "1 step"
        assert await said(bench, around("word: a", "", of_all), own, word=text("1")) == "1 tool"
        library = "StepInputExpressionRequirement: {}, InlineJavascriptRequirement: {expressionLib: ['var n = 9;']}"
        assert await said(bench, around("word: {valueFrom: $(n)}", "", library)) == "9"

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize(
    ("given", "step"),
    [
        ("word: {source: a, valueFrom: '${while (true) {}}'}", ""),
        ("word: {source: a, valueFrom: '${throw new Error(\"patient 17\")}'}", ""),
        ("word: {source: a, valueFrom: $(inputs.none.none)}", ""),
        ("word: a", "when: $(1)"),
        ("word: {source: [a, b], pickValue: the_only_non_null}", ""),
    ],
)
def test_what_cannot_be_evaluated_fails_in_our_words(given: str, step: str, tmp_path: Path) -> None:
    """Lost: an expression tells what it read by how it fails, or holds the node."""

    async def story(bench: Bench) -> None:
        several = "pickValue" in given
        word: Argument = Many(items=(text("1"), text("2"))) if several else text("1")
        finished = await bench.run(SAYS % "", {"word": word}, around(given, step))
        assert finished.failure
        assert "17" not in finished.failure
        assert finished.products == {}

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize(
    ("requirements", "alone"),
    [
        ("ScatterFeatureRequirement: {}", False),
        ("MultipleInputFeatureRequirement: {}", False),
        ("InlineJavascriptRequirement: {}", True),
        (WHO % "x", True),
    ],
)
def test_of_a_step_with_nothing_around_it_nothing_is_said(requirements: str, alone: bool) -> None:
    """Lost: a block that was endorsed counts as another one; or what is around it is passed over."""
    assert (around("word: a", "", requirements) is not None) is alone


def test_more_around_a_block_than_stewards_can_be_shown_is_refused_at_its_line() -> None:
    """Lost: a megabyte of JavaScript that somebody is to say yes to."""
    library = f"InlineJavascriptRequirement: {{expressionLib: ['{'x' * MOST_TEXT}']}}"
    with pytest.raises(BadInput, match=r"^flow.cwl:\d+:\d+: .*stewards are shown"):
        around("word: a", "", library)


def test_the_same_block_with_something_else_around_it_is_another_step(tmp_path: Path) -> None:
    """Lost: what a step made under one text is handed out for another."""
    from node.storage.memo import Memos

    async def story(bench: Bench) -> None:
        bench.steps._memo = Memos(bench.blobs, "here")
        more, less = around("word: {source: a, valueFrom: $(self + 1)}"), around("word: a")
        found = [await bench.run(SAYS % "", {"word": text("1")}, each) for each in (more, more, less, None)]
        assert [each.memo is not None for each in found] == [False, True, False, False]
        assert found[0].products == found[1].products != found[2].products

    on_a_bench(tmp_path, story)
