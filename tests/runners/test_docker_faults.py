"""A Docker daemon that goes, and images and containers that somebody else changes: what a node makes of it."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import trio

from catalog.error import BadInput, Denied, Unreachable
from node.execute.docker.daemon import Daemon
from node.execute.docker.runner import Docker
from node.execute.image import File, Image, Layer
from node.execute.machine import architecture
from node.execute.step import StepExecutor
from node.runnersettings import DockerSettings
from node.step import Ending, Exit, Job, Limits, Mount
from tests.infra.docker import daemon
from tests.infra.images import BUSYBOX
from tests.runners.case import ROOT, until
from tests.runners.subject import SMALL, processes_with
from tests.runners.test_docker import CODE

REPOSITORY = "comity.local/step"


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A daemon of this test's own."""
    with tempfile.TemporaryDirectory(prefix="comity-") as home:
        monkeypatch.setenv("XDG_STATE_HOME", home)
        with daemon.running() as address:
            yield address


@pytest.fixture
def runner(address: str) -> Docker:
    return Docker(DockerSettings(address))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "steps" / "one" / "left" / "work"
    folder.mkdir(parents=True)
    return folder


def fresh(work: Path) -> Path:
    folder = work.parents[2] / secrets.token_hex(4) / "left" / "work"
    folder.mkdir(parents=True)
    return folder


def run(runner: Docker, work: Path, *command: str) -> Exit:
    return trio.run(runner.run, Job(command, work, limits=SMALL))


def test_a_daemon_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Lost: an operator who chose Docker and forgot it reads a traceback."""
    runner = Docker(DockerSettings(f"unix://{tmp_path}/docker.sock"))
    with pytest.raises(Denied, match=f"Docker does not answer at unix://{tmp_path}/docker.sock: start it"):
        trio.run(runner.probe)
    assert trio.run(runner.recover, tmp_path) == 0


def test_a_step_whose_daemon_goes_is_ended_and_the_runner_heals_when_it_is_back(
    runner: Docker, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a step that goes on, unseen, on patients' data; or a node that must be started anew with its daemon."""
    monkeypatch.setattr("node.execute.step.PROVEN_AGAIN_SECONDS", 0.2)
    marker = f"600.{secrets.randbits(64)}"
    steps = work.parents[2]
    executor = StepExecutor(runner, None, None, None, steps, Limits())  # type: ignore[arg-type]
    told: list[object] = []

    async def step() -> None:
        try:
            await runner.run(Job(("sleep", marker), fresh(work)))
        except Unreachable as error:
            told.append(error)

    async def main() -> None:
        await runner.recover(steps)
        await runner.probe()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step)
            await _until(lambda: bool(processes_with(marker)))
            daemon.stop()
            await _until(lambda: bool(told))
            assert processes_with(marker) == []
            executor.fault = "it went"
            nursery.start_soon(executor.keep_proving)
            await _until(lambda: "does not answer" in executor.fault)
            daemon.start_again()
            await _until(lambda: executor.fault == "")
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert "ended" in str(told[0])
    with closing(docker.DockerClient(base_url=runner._daemon.host)) as asked:
        assert asked.containers.list(all=True) == [], "what the daemon could not remove is removed when it is back"
    assert run(runner, fresh(work), "true").code == 0


def test_a_step_of_a_killed_node_is_ended_though_the_daemon_is_gone_too(runner: Docker, work: Path) -> None:
    """Lost: a machine crashes half: the step goes on with patients' data, and nobody is there to end it."""
    marker = f"600.{secrets.randbits(64)}"
    code = CODE.format(runner._daemon.host)
    script = f"{code}; import trio; from pathlib import Path; from node.step import Job; "
    script += f"trio.run(runner.run, Job(('sleep', '{marker}'), Path('{work}')))"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) as node:
        until(lambda: len(processes_with(marker)) > 1)  # the node itself has the mark in its arguments
        node.kill()
    daemon.stop()
    assert len(processes_with(marker)) == 1
    assert trio.run(runner.recover, work.parents[2]) == 0
    assert processes_with(marker) == []
    daemon.start_again()
    assert trio.run(runner.recover, work.parents[2]) == 1


async def _until(look: object) -> None:
    with trio.fail_after(60):
        while not look():  # type: ignore[operator]  # noqa: ASYNC110 - daemons do not wake us
            await trio.sleep(0.05)


def test_images_that_were_removed_or_replaced_are_loaded_again(runner: Docker, work: Path, address: str) -> None:
    """Lost: after «docker image prune» no step runs; or a step runs in whatever has the name of its environment."""
    assert run(runner, work, "true").code == 0
    with closing(docker.DockerClient(base_url=address)) as asked:
        (name,) = [tag for image in asked.images.list(REPOSITORY) for tag in image.tags]
        asked.images.remove(name, force=True)
        assert run(runner, fresh(work), "true").code == 0
        asked.images.remove(name, force=True)
        asked.images.get(BUSYBOX).tag(REPOSITORY, tag=name.partition(":")[2])
        again = Docker(DockerSettings(address))
        assert run(again, fresh(work), "python3", "-c", "").code == 0


def test_a_container_that_somebody_removes_or_the_kernel_ends_is_told_so(
    runner: Docker, work: Path, address: str
) -> None:
    """Lost: a step that was ended by hand counts as one that failed of itself."""
    marker = f"600.{secrets.randbits(64)}"
    told: list[object] = []

    async def step() -> None:
        try:
            await runner.run(Job(("sleep", marker), work))
        except Unreachable as error:
            told.append(error)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(step)
            await _until(lambda: bool(processes_with(marker)))
            with closing(docker.DockerClient(base_url=address)) as asked:
                for each in asked.containers.list():
                    each.remove(force=True)

    trio.run(main)
    assert "ended before the step was" in str(told[0])


def test_memory_that_control_groups_end_is_told_with_the_limit(
    runner: Docker, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a step that the kernel killed looks like one that crashed."""
    # A limit of the kernel's below the step's own, which the supervisor therefore does not see exceeded.
    monkeypatch.setattr("node.execute.docker.body._SLACK_BYTES", -(SMALL.memory_bytes + (64 << 20)))
    done = run(runner, work, "python3", "-c", "kept = b'x' * (100 << 20)")
    assert (done.ending, done.reason) == (Ending.OUT_OF_LIMITS, f"memory: more than {SMALL.memory_bytes} bytes")


def test_a_runtime_that_the_daemon_lacks_is_named(address: str) -> None:
    """Lost: a site that asks for gVisor runs without it."""
    with pytest.raises(Denied, match="no runtime «runsc»"):
        trio.run(Docker(DockerSettings(address, "runsc")).probe)


def test_an_image_that_docker_does_not_take_is_refused_by_name(address: str) -> None:
    """Lost: a step in the image before it."""
    asked = Daemon(address)
    image = Image((Layer({"a": File(b"x")}),), architecture())
    asked.load("comity.local/other:1", image)
    assert asked.has("comity.local/other:1", image)
    assert not asked.has("comity.local/other:1", replace(image, layers=(Layer({"a": File(b"y")}),)))
    assert not asked.has("comity.local/other:2", image)


def test_what_is_mounted_below_an_input_is_refused(runner: Docker, work: Path) -> None:
    """Lost: Docker makes read-only what is shown, and what is mounted below it stays writable."""
    with pytest.raises(BadInput, match="/proc is mounted below /"):
        trio.run(runner.run, Job(("true",), work, (Mount(Path("/"), "/inputs/all"),)))


def test_nothing_is_left_of_a_step_but_what_it_made(runner: Docker, work: Path, address: str) -> None:
    """Lost: containers and folders that pile up until the machine stands still."""
    assert run(runner, work, "touch", "made").code == 0
    assert sorted(each.name for each in work.parents[1].rglob("*")) == ["left", "made", "work"]
    with closing(docker.DockerClient(base_url=address)) as asked:
        assert asked.containers.list(all=True) == []
