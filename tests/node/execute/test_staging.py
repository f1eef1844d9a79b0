"""What is staged for steps, and when: data in the clear lie on a hospital's disk for those whose turn it is alone."""

from __future__ import annotations

from pathlib import Path

import trio
import trio.testing

from catalog.cid import Cid
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import Exit, Finished, Job, Limits, Turn, Work
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from workflow.argument import Data

TOOL = """cwlVersion: v1.2
class: CommandLineTool
baseCommand: [cat]
inputs: {table: {type: File, inputBinding: {position: 1}}}
stdout: out.txt
outputs: {out: {type: stdout}}
"""


class Gated(Sandbox):
    """Commands wait until the test lets them go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = trio.Event(), trio.Event()

    async def command(self, job: Job, turn: Turn) -> Exit:
        """The command, once it may."""
        if job.argv[0] != "find":
            self.begun.set()
            await self.go.wait()
        return await super().command(job, turn)


def test_who_waits_for_a_turn_has_no_copy_of_its_data_on_the_disk(tmp_path: Path) -> None:
    """Lost: thousands of orders for large data, and the disk is full before the third of them has run."""
    ended: list[Finished] = []

    async def story() -> list[Path]:
        blobs, block, work, gated = DiskBlobs(tmp_path / "blobs"), tmp_path / "block", tmp_path / "work", Gated()
        block.mkdir()
        work.mkdir()
        (block / "tool.cwl").write_text(TOOL)
        (tmp_path / "table.csv").write_text("age\n30\n")
        cid, table = await blobs.add_path(block), await blobs.add_path(tmp_path / "table.csv")
        steps = StepExecutor(gated, EVALUATOR, Shelf(), blobs, work, Limits(), at_once=1)

        async def run(number: int) -> None:
            data = Data(site=PROJECT.site, cid=table, name="table.csv")
            ended.append(await steps.run(Work(cid, {"table": data}), 300.0, Cid.of(bytes([number])), PROJECT))

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in range(8):
                    nursery.start_soon(run, number)
                await gated.begun.wait()
                await trio.testing.wait_all_tasks_blocked(0.3)
                staged = list(work.glob("*/input-*"))
                gated.go.set()
        return staged

    staged = trio.run(story)
    assert 1 <= len(staged) <= 2, "one that runs, and one that is next"
    assert [each.failure for each in ended] == [""] * 8
    assert list((tmp_path / "work").glob("*/input-*")) == []
