"""The evaluator answers as CWL says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from catalog.error import BadInput, Unreachable
from node.execute.cwl.evaluator import MOST_KEPT, Evaluator
from node.execute.cwl.message import Begin, Collect, Command, Ended, Load, Loaded, Outputs, Placed, Ready, Wanted
from node.execute.cwl.sandbox import isolated
from tests.node.execute.cwl.evaluating import TOOL, WORKFLOW, Texts, evaluated, loaded, with_evaluator


def test_a_tool_is_a_command_and_its_outputs_are_what_was_left() -> None:
    """Lost: what every workflow is made of."""
    document = TOOL | {
        "requirements": {
            "InlineJavascriptRequirement": {},
            "InitialWorkDirRequirement": {"listing": [{"entryname": "note", "entry": "of $(inputs.scan.basename)"}]},
        },
        "baseCommand": "wc",
        "inputs": {"scan": {"type": "File", "inputBinding": {}, "loadContents": True}},
        "outputs": {
            "lines": {
                "type": "int",
                "outputBinding": {"glob": "out.*", "loadContents": True, "outputEval": "$(parseInt(self[0].contents))"},
            },
            "kept": {"type": "File", "outputBinding": {"glob": "out.txt"}},
        },
        "stdout": "out.txt",
    }

    async def main(made: Evaluator) -> None:
        tree = Texts({"/block/tool.cwl": json.dumps(document), "/inputs/0/scan.txt": "a\nb\n"})
        async with made.tool(tree) as tool:
            await loaded(tool)
            scan = {"class": "File", "location": "file:///inputs/0/scan.txt"}
            ready = await tool.ask(Command(inputs={"scan": scan}, cores=2, ram_mib=1024), Ready)
            assert ready.argv == ["wc", "/inputs/0/scan.txt"]
            assert ready.stdout == "out.txt"
            assert ready.placed == [Placed(target="/work/note", text="of scan.txt")]
            tree.texts["/work/out.txt"] = "2 /inputs/0/scan.txt\n"
            values = (await tool.ask(Collect(code=0), Outputs)).values
            assert values["lines"] == 2
            assert values["kept"]["location"] == "file:///work/out.txt"

    with_evaluator(main)


def test_a_workflow_wishes_for_jobs_and_the_same_answers_make_the_same_wishes() -> None:
    """Lost: a submission that goes on after a crash asks for something else than it did before."""

    async def gone_through(made: Evaluator, order: Callable[[list[Any]], list[Any]]) -> tuple[list[Any], Any]:
        seen: list[Any] = []
        async with made.workflow(Texts({"/block/tool.cwl": json.dumps(WORKFLOW)})) as flow:
            await loaded(flow)
            told = await flow.ask(Begin(inputs={"numbers": [1, 2, 3]}), Wanted)
            for wish in order(list(told.wishes)):
                seen.append((wish.step, wish.shards, wish.inputs))
                told = await flow.ask(Ended(number=wish.number, outputs={"made": wish.inputs["number"] + 1}), Wanted)
        assert told.over
        return seen, told.outputs

    async def main(made: Evaluator) -> None:
        seen, outputs = await gone_through(made, list)
        assert seen == [("outer/inner", [n], {"number": 10 * (n + 1)}) for n in range(3)]
        assert outputs == {"all": [11, 21, 31]}
        assert await gone_through(made, lambda wishes: wishes[::-1]) == (seen[::-1], outputs)

    with_evaluator(main)


def test_what_a_step_runs_is_read_from_the_workflow_with_what_it_inherits() -> None:
    """Lost: the site evaluates another tool, or under other requirements, than the workflow that was signed says."""

    async def main(made: Evaluator) -> None:
        async with made.tool(Texts({"/block/tool.cwl": json.dumps(WORKFLOW)})) as tool:
            await tool.ask(Load(uri="file:///block/tool.cwl", step="outer/inner"), Loaded)
            ready = await tool.ask(Command(inputs={"number": 7}, cores=1, ram_mib=1024), Ready)
            assert ready.argv == ["echo", "7"]
        async with made.tool(Texts({"/block/tool.cwl": json.dumps(WORKFLOW)})) as tool:
            with pytest.raises(BadInput, match="no step"):
                await tool.ask(Load(uri="file:///block/tool.cwl", step="outer/other"), Loaded)

    with_evaluator(main)


@pytest.mark.parametrize(("where", "work"), [("requirements", "/other"), ("hints", "/work")])
def test_a_tool_that_asks_for_it_has_its_own_name_for_its_folder(where: str, work: str) -> None:
    """Lost: commands that were written for an image; or a hint that only an image can follow is taken for more."""
    document = TOOL | {
        where: {"DockerRequirement": {"dockerPull": "x", "dockerOutputDirectory": "/other"}},
        "baseCommand": ["touch", "$(runtime.outdir)/made"],
        "arguments": ["$(runtime.outdir)"],
        "outputs": {"made": {"type": "File", "outputBinding": {"glob": "made"}}},
    }

    async def main(made: Evaluator) -> None:
        tree = Texts({"/block/tool.cwl": json.dumps(document)})
        async with made.tool(tree) as tool:
            await loaded(tool)
            ready = await tool.ask(Command(inputs={}, cores=1, ram_mib=1024), Ready)
            assert (ready.work, ready.argv[-1]) == (work, work)
            tree.texts["/work/made"] = ""
            values = (await tool.ask(Collect(code=0), Outputs)).values
            assert values["made"]["location"] == "file:///work/made"

    with_evaluator(main)


@pytest.mark.parametrize("asked", [True, False])
def test_a_tool_says_whether_it_changes_its_inputs_in_place(asked: bool) -> None:
    """Lost: what is only a copy for every other tool takes the place of the value that it was made of."""
    document = TOOL | {
        "requirements": {
            "InitialWorkDirRequirement": {"listing": [{"entry": "$(inputs.r)", "writable": True}]},
            "InplaceUpdateRequirement": {"inplaceUpdate": asked},
        },
        "inputs": {"r": "File"},
        "baseCommand": "true",
    }

    async def main(made: Evaluator) -> None:
        async with made.tool(Texts({"/block/tool.cwl": json.dumps(document), "/inputs/0/r": "3"})) as tool:
            await loaded(tool)
            given = {"class": "File", "location": "file:///inputs/0/r"}
            ready = await tool.ask(Command(inputs={"r": given}, cores=1, ram_mib=1024), Ready)
            assert ready.placed == [Placed(target="/work/r", source="/inputs/0/r", writable=True)]
            assert ready.inplace is asked

    with_evaluator(main)


def _runs(*inputs: str) -> dict[str, Any]:
    return {
        "class": "CommandLineTool",
        "baseCommand": "true",
        "inputs": dict.fromkeys(inputs, "Directory"),
        "outputs": {"out": "Directory"},
    }


UPDATING = {
    "cwlVersion": "v1.2",
    "class": "Workflow",
    "inputs": {},
    "steps": {
        "one": {"in": {}, "out": ["out"], "run": _runs()},
        "two": {"in": {"r": "one/out"}, "out": ["out"], "run": _runs("r")},
        "three": {"in": {"r": "two/out"}, "out": ["out"], "run": _runs("r")},
        "four": {"in": {"r": "one/out", "wait": "three/out"}, "out": ["out"], "run": _runs("r", "wait")},
    },
    "outputs": {
        "first": {"type": "Directory", "outputSource": "one/out"},
        "last": {"type": "Directory", "outputSource": "four/out"},
    },
}


def test_what_was_updated_in_place_is_read_as_it_is_now() -> None:
    """Lost: a step that comes after an update works with the value from before it."""

    def folder(name: str) -> dict[str, Any]:
        return {"class": "Directory", "location": f"file://{name}", "basename": "a", "listing": []}

    async def main(made: Evaluator) -> None:
        tree = Texts({"/block/tool.cwl": json.dumps(UPDATING), "/out/1/a/x": "", "/out/2/a/x": "", "/out/3/a/x": ""})
        async with made.workflow(tree) as flow:
            await loaded(flow)
            seen: list[Any] = []
            told = await flow.ask(Begin(inputs={}), Wanted)
            for number in range(1, 5):
                (wish,) = told.wishes
                seen.append({name: each["location"] for name, each in wish.inputs.items()})
                updated = {f"/out/{number - 1}/a": f"/out/{number}/a"} if number in (2, 3) else {}
                outputs = {"out": folder(f"/out/{number}/a")}
                told = await flow.ask(Ended(number=wish.number, outputs=outputs, updated=updated), Wanted)
        assert seen == [
            {},
            {"r": "file:///out/1/a"},
            {"r": "file:///out/2/a"},
            {"r": "file:///out/3/a", "wait": "file:///out/3/a"},
        ]
        assert told.outputs is not None
        assert told.outputs["first"]["location"] == "file:///out/3/a"
        assert told.outputs["last"]["location"] == "file:///out/4/a"

    with_evaluator(main)


def test_one_that_was_killed_is_started_again() -> None:
    """Lost: every workflow until the node is started again, once the kernel took the evaluator's memory."""

    async def main(made: Evaluator) -> None:
        await evaluated(made, TOOL | {"baseCommand": "true"})
        process = made._process
        assert process is not None
        process.kill()
        process.wait()
        for _ in range(2):  # what was on its way may be lost
            try:
                assert await evaluated(made, TOOL | {"baseCommand": "true"})
            except Unreachable:
                continue

        assert await evaluated(made, TOOL | {"baseCommand": "true"})

    with_evaluator(main)


def test_its_sandbox_has_no_network_and_nothing_of_the_machine() -> None:
    """Lost: whoever breaks out of an expression reads keys and data, and sends them."""
    probe = """
import os, socket
print(sorted(os.listdir("/")))
for name in ("/home", "/var", "/etc/passwd", "/etc/shadow", "/run"):
    print(name, os.path.exists(name))
print([name for _, name in socket.if_nameindex()])
print(sorted(os.environ))
try:
    open("/new", "w")
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run(
        [*isolated(), sys.executable, "-c", probe], capture_output=True, text=True, check=True, env={"SECRET": "x"}
    )
    lines = done.stdout.splitlines()
    assert not {"home", "var", "run", "srv", "mnt", "media", "sys"} & set(json.loads(lines[0].replace("'", '"')))
    assert all(line.endswith("False") for line in lines[1:6])
    assert lines[6] == "['lo']"
    assert "SECRET" not in lines[7]
    assert lines[8] == "Read-only file system"


def test_a_tool_that_is_kept_is_read_once_and_serves_each_step_by_itself() -> None:
    """Lost: each of a thousand steps reads the same text again; or one is told what another was given."""

    async def main(evaluator: Evaluator) -> None:
        text = json.dumps(TOOL | {"baseCommand": ["echo"], "inputs": {"n": {"type": "int", "inputBinding": {}}}})
        tree = Texts({"/block/tool.cwl": text})
        load = Load(uri="file:///block/tool.cwl")
        for number in range(3):
            async with evaluator.kept("echo", load, tree) as tool, evaluator.kept("echo", load, tree) as beside:
                asked = Command(inputs={"n": number}, cores=1, ram_mib=1024)
                assert (await tool.ask(asked, Ready)).argv == ["echo", str(number)]
                with pytest.raises(BadInput):
                    await beside.ask(Command(inputs={}, cores=1, ram_mib=1024), Ready)
        assert tree.asked.count("/block/tool.cwl") <= 2, "looked at and read, once"

    with_evaluator(main)


def test_more_tools_than_are_kept_are_read_again_and_a_bad_one_is_told_each_time() -> None:
    """Lost: a process for each block that ever ran; or a text that is no CWL is remembered as one."""

    async def main(evaluator: Evaluator) -> None:
        bad = Texts({"/block/tool.cwl": json.dumps(TOOL | {"inputs": 7})})
        load = Load(uri="file:///block/tool.cwl")
        for _ in range(2):
            with pytest.raises(BadInput):
                async with evaluator.kept("bad", load, bad):
                    pass
        trees = [Texts({"/block/tool.cwl": json.dumps(TOOL | {"baseCommand": [str(n)]})}) for n in range(MOST_KEPT + 1)]
        for _ in range(2):
            for number, tree in enumerate(trees):
                async with evaluator.kept(number, load, tree) as tool:
                    ready = await tool.ask(Command(inputs={}, cores=1, ram_mib=1024), Ready)
                    assert ready.argv == [str(number)]
        assert all(tree.asked for tree in trees)

    with_evaluator(main)


def test_a_kept_tool_whose_process_ended_is_read_anew() -> None:
    """Lost: a block that no step can run any more until the node is started again."""

    async def main(evaluator: Evaluator) -> None:
        tree = Texts({"/block/tool.cwl": json.dumps(TOOL | {"baseCommand": ["true"]})})
        load = Load(uri="file:///block/tool.cwl")
        for _ in range(2):
            async with evaluator.kept("ends", load, tree) as tool:
                assert (await tool.ask(Command(inputs={}, cores=1, ram_mib=1024), Ready)).argv == ["true"]
            assert tree.asked
            tree.asked.clear()
            evaluator._kept["ends"].shutdown(socket.SHUT_RDWR)  # as if its process had ended

    with_evaluator(main)
