"""Outputs of every type: made by a real command in the sandbox, stored, and given to another step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from catalog.cid import Cid
from catalog.error import VerificationFailed
from node.execute.evaluation import Evaluation
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.execute.view import View
from node.step import Finished, Limits, Product, Work
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from workflow.alone import Alone
from workflow.argument import Argument, Data, Literal
from workflow.receipt import Form
from workflow.value import VALUE

MAKES = """cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [sh, -c]
arguments: ["mkdir d; echo one > d/x; echo two > a.txt; echo index > a.txt.i; echo three > b.txt"]
inputs: {n: {type: int, default: 20}}
outputs:
  number: {type: int, outputBinding: {outputEval: $(inputs.n + 1)}}
  words: {type: "string[]", outputBinding: {outputEval: '$(["p", "q"])'}}
  nothing: {type: File?, outputBinding: {glob: none}}
  file: {type: File, outputBinding: {glob: b.txt}}
  folder: {type: Directory, outputBinding: {glob: d}}
  files: {type: "File[]", outputBinding: {glob: "[ab].txt"}}
  indexed: {type: File, secondaryFiles: [.i], outputBinding: {glob: a.txt}}
  mixed: {type: Any, outputBinding: {glob: b.txt, outputEval: '$({"size": 7, "where": self[0]})'}}
"""
READS = """cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
baseCommand: [cat]
inputs:
  given: {type: %s, inputBinding: {position: 1%s}}
stdout: said
outputs: {said: stdout}
"""
EXPRESSION = """cwlVersion: v1.2
class: ExpressionTool
requirements: {InlineJavascriptRequirement: {}}
inputs: {given: {type: %s}}
outputs: {made: Any}
expression: "${return {made: %s};}"
"""


class Bench:
    """Steps in a sandbox, and where they store what they make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = DiskBlobs(folder / "blobs")
        self.steps = StepExecutor(
            Sandbox(), EVALUATOR, Shelf(), self.blobs, folder / "work", Limits(output_bytes=1 << 20)
        )
        self._blocks = 0

    async def run(
        self, tool: str, inputs: Mapping[str, Argument] | None = None, around: Alone | None = None
    ) -> Finished:
        if not self._blocks:
            await self.steps.start()
        self._blocks += 1
        block = self.folder / f"block-{self._blocks}"
        block.mkdir()
        (block / "tool.cwl").write_text(tool)
        cid = await self.blobs.add_path(block)
        return await self.steps.run(Work(cid, inputs or {}, around), 60.0, Cid.of(b"order"), PROJECT)

    async def said(self, product: Product, kind: str, at: str | None, further: str = "") -> str:
        """What a step reads that is given a product, or a part of it."""
        data = Data(site=PROJECT.site, cid=product.cid, name=product.name, at=at)
        finished = await self.run(READS % (kind, further), {"given": data})
        assert finished.failure == "", await self.why(finished)
        return (await self.blobs.read(finished.products["said"].cid)).decode()

    async def why(self, finished: Finished) -> str:
        """Of what a step failed."""
        held = finished.errors
        return f"{finished.failure}: {(await self.blobs.read(held.cid)).decode() if held is not None else ''}"

    async def made(self, kind: str, expression: str, product: Product) -> Product:
        """What an expression makes of a stored value."""
        data = Data(site=PROJECT.site, cid=product.cid, name=product.name, at="")
        finished = await self.run(EXPRESSION % (kind, expression), {"given": data})
        assert finished.failure == "", await self.why(finished)
        return finished.products["made"]

    async def json(self, product: Product) -> Any:
        """A stored value without files."""
        return json.loads(await self.blobs.read(product.cid))


def on_a_bench(folder: Path, story: Any) -> None:
    trio.run(story, Bench(folder))


def test_every_output_is_delivered_in_its_form_and_the_same_twice(tmp_path: Path) -> None:
    """Lost: an output that is no file; a bit that is told by an output that lacks; a rerun that differs."""

    async def story(bench: Bench) -> None:
        first = await bench.run(MAKES)
        assert first.failure == "", await bench.why(first)
        made = first.products
        assert {name: str(each.form) for name, each in made.items()} == {
            "number": "value", "words": "value", "nothing": "value", "file": "file", "folder": "folder",
            "files": "value", "indexed": "value", "mixed": "value",
        }  # fmt: skip
        assert [await bench.json(made[name]) for name in ("number", "words", "nothing")] == [21, ["p", "q"], None]
        assert (made["file"].name, made["folder"].name, made["files"].name) == ("b.txt", "d", VALUE)
        assert (await bench.run(MAKES)).products == made
        other = await bench.run(MAKES, {"n": Literal(json="30")})
        assert {name for name in made if other.products[name] != made[name]} == {"number"}

    on_a_bench(tmp_path, story)


def test_a_later_step_is_given_all_of_a_value_or_a_part_of_it(tmp_path: Path) -> None:
    """Lost: what one step made cannot be computed on; or a file comes without what belongs to it."""

    async def story(bench: Bench) -> None:
        made = (await bench.run(MAKES)).products
        assert await bench.said(made["files"], '"File[]"', "") == "two\nthree\n"
        assert await bench.said(made["files"], "File", "/1") == "three\n"
        index = ", valueFrom: '$(self.secondaryFiles[0])'"
        assert await bench.said(made["indexed"], "File", "", index) == "index\n"
        assert await bench.said(made["mixed"], "File", "/where") == "three\n"
        assert await bench.said(made["folder"], "Directory", None, ", valueFrom: $(self.path + '/x')") == "one\n"
        assert await bench.json(await bench.made("int", "2 * inputs.given", made["number"])) == 42
        assert await bench.json(await bench.made("File?", "inputs.given === null", made["nothing"])) is True

    on_a_bench(tmp_path, story)


def test_an_expression_makes_files_and_hands_on_those_that_it_was_given(tmp_path: Path) -> None:
    """Lost: an ExpressionTool that sorts files, or writes a small one, cannot be a step."""

    async def story(bench: Bench) -> None:
        made = (await bench.run(MAKES)).products
        turned = await bench.made('"File[]"', "inputs.given.reverse()", made["files"])
        assert await bench.said(turned, '"File[]"', "") == "three\ntwo\n"
        first = await bench.made('"File[]"', "inputs.given[0]", made["files"])
        assert (first.form, first.name, await bench.blobs.read(first.cid)) == (Form.FILE, "a.txt", b"two\n")
        literal = "{'class': 'File', 'basename': 'small.txt', 'contents': 'hello'}"
        small = await bench.made('"File[]"', literal, made["files"])
        assert (small.form, small.name, await bench.blobs.read(small.cid)) == (Form.FILE, "small.txt", b"hello")

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize(
    "outputs",
    [
        '{o: {type: int, outputBinding: {outputEval: $("x")}}}',
        "{o: {type: File, outputBinding: {glob: none}}}",
        "{o: {type: Any, outputBinding: {outputEval: '${while (true) {}}'}}}",
        "{o: {type: Any, outputBinding: {outputEval: '${throw new Error(\"patient 17\")}'}}}",
        "{o: {type: Any, outputBinding: {outputEval: '${return \"x\".repeat(5000000)}'}}}",
        '{o: {type: Any, outputBinding: {outputEval: \'$({"class": "File", "location": "file:///etc/passwd"})\'}}}',
    ],
)
def test_an_output_that_is_not_as_the_block_says_fails_in_words_that_are_not_its_own(
    outputs: str, tmp_path: Path
) -> None:
    """Lost: a step tells what it likes by how it fails; or a value of another type goes on."""
    tool = (
        "cwlVersion: v1.2\nclass: CommandLineTool\nrequirements: {InlineJavascriptRequirement: {}}\n"
        f"baseCommand: [true]\ninputs: {{}}\noutputs: {outputs}\n"
    ).replace("[true]", '["true"]')

    async def story(bench: Bench) -> None:
        finished = await bench.run(tool)
        assert finished.failure.startswith("its outputs are not to be taken")
        assert "17" not in finished.failure
        assert finished.products == {}
        assert finished.usage is not None
        assert finished.errors is not None, "its own words are held"

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize(
    ("kind", "value", "at"),
    [
        ("File", b'{"class":"File","location":"../../work"}', ""),
        ("int", b"[1]", "/1"),
        ("int", b"NaN", ""),
        ("int", b"[", ""),
    ],
)
def test_a_value_that_was_stored_by_somebody_else_is_read_as_a_strangers(
    kind: str, value: bytes, at: str, tmp_path: Path
) -> None:
    """Lost: whoever makes a value's bytes has the next site read its own files, or end."""

    async def story(bench: Bench) -> None:
        cid = await bench.blobs.add(value)
        data = Data(site=PROJECT.site, cid=cid, name=VALUE, at=at)
        finished = await bench.run(READS % (kind, ""), {"given": data})
        assert finished.failure
        assert (finished.products, finished.usage) == ({}, None)

    on_a_bench(tmp_path, story)


@pytest.mark.parametrize("name", ["../x", "../../work/x", "a/b/../../../x", "..", "/", "a//b"])
def test_what_a_file_of_a_value_is_called_is_no_path(name: str, tmp_path: Path) -> None:
    """Lost: whoever makes a value has it shown to the next step over its block, or anywhere else."""
    given = View({"/data/0": tmp_path})
    file = {"class": "File", "location": "file:///data/0", "basename": name}
    with pytest.raises(VerificationFailed):
        Evaluation({"a": file}, given, View({}), tmp_path, tmp_path)
    assert Evaluation({"a": file | {"basename": "x"}}, given, View({}), tmp_path, tmp_path).view.places
