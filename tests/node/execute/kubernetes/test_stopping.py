"""A step that is cancelled while its cluster does not answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import trio

from catalog.error import Unreachable
from node.execute.container import Gate
from node.execute.kubernetes.manifest import STEP, Image, Pattern
from node.execute.kubernetes.onejob import OneJob, Place
from node.execute.kubernetes.onestep import OneStep
from node.execute.kubernetes.pod import Container, Pod
from node.execute.kubernetes.way import Volume
from node.step import AT_ONCE, Job, Limits


class _Away:
    """A cluster that was there until the step began."""

    fault = "away"

    async def submit(self, job: object) -> None:
        """It is taken."""

    async def withdraw(self, name: str, *, ended: bool) -> None:
        raise Unreachable(f"{name} {ended}")

    async def until(self, name: str, look: Callable[[Pod], Pod | None]) -> Pod:
        found = look(Pod(name, name, "Running", containers=((STEP, Container(running=True)),)))
        if found is None:
            await trio.sleep_forever()
        assert found is not None
        return found

    def follow(self) -> None:
        """Nothing is seen."""

    def pod(self, name: str) -> None:
        """Nor this."""

    def forget(self, name: str) -> None:
        """Nor this."""


def test_its_supervisor_has_heard_that_it_ends_before_its_gate_goes(tmp_path: Path) -> None:
    """Lost: a step that reads data on after a halt, or after its grant was taken back, as long as its time lasts."""
    work = tmp_path / "step" / "left" / "work"
    work.mkdir(parents=True)
    job = Job(("sleep", "600"), work, limits=Limits())
    gate = Gate(job)
    away = cast("Any", _Away())
    step = OneStep(OneJob(Place(away, away, Pattern("a", 1, 1, 1), 1.0)), job.limits, Volume(job, gate, tmp_path))

    async def main() -> None:
        async def supervise() -> None:
            while not (gate.folder / "stop").exists():  # noqa: ASYNC110 - a file
                await trio.sleep(0.01)
            await trio.sleep(0.3)  # as a volume of another machine's shows it
            (gate.folder / "stop").rename(gate.folder / ".stopped")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise)
            with trio.move_on_after(0.2):
                await step.carry_out(Image("a", False, ("python3",)), (), gate, AT_ONCE)
            assert (gate.folder / ".stopped").exists()
            gate.close()
            nursery.cancel_scope.cancel()

    trio.run(main)
