"""Lost: that a member with thousands of orders leaves the others a turn."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from catalog.cid import Cid
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.execute.allowed import limits_of
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.execute.turns import Turns
from node.step import Work
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.node.execute.test_allowed import FREE, TOOL

MANY, FEW = (ProjectRef(site=PrivateKey(bytes([n]) * 32).did, name="trial") for n in (1, 2))


def test_whoever_comes_with_one_order_waits_for_one_of_who_came_with_many(tmp_path: Path) -> None:
    ended: list[ProjectRef] = []

    async def story() -> None:
        blobs, block, work = DiskBlobs(tmp_path / "blobs"), tmp_path / "block", tmp_path / "work"
        block.mkdir()
        work.mkdir()
        (block / "tool.cwl").write_text(TOOL % ("", "import time; time.sleep(0.2)"))
        cid = await blobs.add_path(block)
        steps = StepExecutor(Sandbox(), EVALUATOR, Shelf(), blobs, work, limits_of(FREE), at_once=1)

        async def run(project: ProjectRef, number: int) -> None:
            await steps.run(Work(cid, {}), 300.0, Cid.of(bytes([number])), project)
            ended.append(project)

        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(run, MANY, number)
            await trio.sleep(0.3)
            nursery.start_soon(run, FEW, 12)

    trio.run(story)
    assert FEW in ended[:5], ended


@pytest.mark.parametrize("together", [False, True])
def test_whoever_gives_up_waiting_keeps_no_turn(together: bool) -> None:
    """Lost: each order that is cancelled while it waits takes a processor away, until nothing runs any more."""

    async def story() -> None:
        turns, scope, go = Turns(1), trio.CancelScope(), trio.Event()

        async def holds() -> None:
            async with turns.turn("one"):
                await go.wait()

        async def waits() -> None:
            with scope:
                async with turns.turn("two"):
                    await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(holds)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(waits)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
            if not together:
                await trio.testing.wait_all_tasks_blocked()
            go.set()
        with trio.fail_after(1):
            async with turns.turn("three"):
                pass

    trio.run(story)
