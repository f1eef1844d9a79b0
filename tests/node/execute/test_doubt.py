"""A runner that goes, or refuses a step, is asked at once whether it isolates still."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
import trio.testing

from catalog.cid import Cid
from catalog.error import ComityError, Denied, Unreachable
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import AT_ONCE, Exit, Job, Limits, Turn, Work
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.node.execute.test_allowed import TOOL


class Going(Sandbox):
    """One whose daemon is there when it is proved first, and not when it is to run a step."""

    def __init__(self, error: ComityError) -> None:
        super().__init__()
        self._error = error
        self.proved = 0

    async def probe(self) -> None:
        self.proved += 1
        if self.proved > 1:
            raise Denied("its daemon does not answer")

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        raise self._error


@pytest.mark.parametrize("error", [Unreachable("it went"), Denied("it takes no step")], ids=["gone", "refusing"])
def test_a_runner_that_fails_a_step_is_doubted_at_once(error: ComityError, tmp_path: Path) -> None:
    """Lost: for an hour every order is taken, written down and failed, and the site says that all is well."""
    runner = Going(error)

    async def main() -> str:
        blobs, block = DiskBlobs(tmp_path / "blobs"), tmp_path / "block"
        block.mkdir()
        (block / "tool.cwl").write_text(TOOL % ("", "print(1)"))
        cid = await blobs.add_path(block)
        steps = StepExecutor(runner, EVALUATOR, Shelf(), blobs, tmp_path / "work", Limits())
        await steps.start()
        assert steps.fault == ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(steps.keep_proving)
            with pytest.raises(type(error)):
                await steps.run(Work(cid, {}), 300.0, Cid.of(b"order"), PROJECT)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return steps.fault

    assert trio.run(main) == "its daemon does not answer"
    assert runner.proved == 2
