"""What Argo shows of steps, and what a step is told where Argo does not let it run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from catalog.error import Unreachable
from node.execute.argo.runner import Argo
from node.execute.argo.workflow import turns
from node.step import Exit, Job
from tests.infra.argo import controller
from tests.infra.kubernetes.cluster import Cluster
from tests.runners.case import until
from tests.runners.clusters import CLAIM, Ready, ready
from tests.runners.subject import SMALL, SUCCEEDS


@pytest.fixture(scope="module")
def there(cluster: Cluster) -> Iterator[Ready]:
    with controller.running(cluster), ready(cluster, "argo") as there:
        yield there


@pytest.fixture
def works(there: Ready) -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(dir=there.volume) as folder:
        made = [Path(folder, "steps", str(number), "left", "work") for number in range(3)]
        for each in made:
            each.mkdir(parents=True)
        yield made


def argo(there: Ready, **more: object) -> Argo:
    return Argo(there.settings(claim=CLAIM, **more), there.volume, "argo-faults")


def workflows(there: Ready) -> list[dict[str, Any]]:
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{there.room.namespace}/workflows"
    found: list[dict[str, Any]] = there.admin.get(path)["items"]
    return found


def phases(there: Ready) -> list[str]:
    return sorted(turn.phase for each in workflows(there) for turn in turns(each).values())


def jobs_of_pods(there: Ready) -> set[str]:
    found = there.admin.get(f"/api/v1/namespaces/{there.room.namespace}/pods")["items"]
    return {each["metadata"]["labels"].get("batch.kubernetes.io/job-name", "") for each in found}


@pytest.fixture(autouse=True)
def none_before(there: Ready) -> None:
    for each in workflows(there):
        there.admin.delete(f"/apis/argoproj.io/v1alpha1/namespaces/{there.room.namespace}/workflows/{_name(each)}")


def _name(workflow: dict[str, Any]) -> str:
    return str(workflow["metadata"]["name"])


def test_steps_that_come_at_once_are_one_workflow_that_shows_each_and_starts_no_pod(
    there: Ready, works: list[Path]
) -> None:
    """Lost: an operator who sees in Argo what runs; or pods of Argo's own beside steps, which have a network."""
    runner = argo(there)
    seen: set[str] = set()
    ended: list[Exit] = []

    async def main() -> None:
        await runner.image(None)  # else the first that comes brings it, and the others come later
        async with trio.open_nursery() as steps:

            async def one(work: Path) -> None:
                ended.append(await runner.run(Job(("sleep", "3"), work, limits=SMALL, succeeds=SUCCEEDS)))

            for each in works:
                steps.start_soon(one, each)
            while not ended:
                seen.update(await trio.to_thread.run_sync(jobs_of_pods, there))
                await trio.sleep(0.2)
        with trio.fail_after(30):
            while await trio.to_thread.run_sync(phases, there) != ["Succeeded"] * 3:  # noqa: ASYNC110
                await trio.sleep(0.2)

    trio.run(main)
    assert [each.code for each in ended] == [0, 0, 0]
    assert len(workflows(there)) == 1
    assert seen == set(turns(workflows(there)[0])), "every pod is a step's"


def test_a_step_that_is_ended_is_shown_so(there: Ready, works: list[Path]) -> None:
    """Lost: a Workflow that waits for ever for a step that is gone."""
    runner = argo(there)

    async def main() -> None:
        with trio.move_on_after(0.3):
            await runner.run(Job(("sleep", "600"), works[0], limits=SMALL))
        with trio.fail_after(30):
            while await trio.to_thread.run_sync(phases, there) != ["Failed"]:  # noqa: ASYNC110
                await trio.sleep(0.2)

    trio.run(main)
    jobs = f"/apis/batch/v1/namespaces/{there.room.namespace}/jobs"
    until(lambda: there.admin.get(jobs)["items"] == [])


def test_a_step_whose_workflow_somebody_deletes_is_told_so(there: Ready, works: list[Path]) -> None:
    """Lost: a step that waits for a turn that never comes, until its time is over."""
    with controller.away(there.cluster):
        told: list[Unreachable] = []

        async def one() -> None:
            try:
                await argo(there).run(Job(("true",), works[0], limits=SMALL))
            except Unreachable as error:
                told.append(error)

        async def main() -> None:
            async with trio.open_nursery() as steps:
                steps.start_soon(one)
                while not (found := await trio.to_thread.run_sync(workflows, there)):  # noqa: ASYNC110
                    await trio.sleep(0.2)
                path = f"/apis/argoproj.io/v1alpha1/namespaces/{there.room.namespace}/workflows/{_name(found[0])}"
                await trio.to_thread.run_sync(there.admin.delete, path)

        trio.run(main)
    assert "which the step is in, was deleted" in str(told[0])


def test_a_step_that_argo_does_not_take_up_is_told_so_and_the_next_runs(there: Ready, works: list[Path]) -> None:
    """Lost: «no room», where a controller does not run."""
    with (
        controller.away(there.cluster),
        pytest.raises(Unreachable, match="Argo's controller has not taken up the Workflow"),
    ):
        trio.run(argo(there, patience_seconds=8).run, Job(("true",), works[0], limits=SMALL))
    assert trio.run(argo(there).run, Job(("true",), works[1], limits=SMALL)).code == 0
