"""A disk that is full while a step runs, or before: the sandbox and a real Docker; a cluster is in test_faults."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import trio

from node.execute.docker.runner import Docker
from node.execute.sandbox import Sandbox
from node.execute.step import NO_ROOM
from node.runnersettings import DockerSettings
from node.step import Runner
from tests.infra.docker import daemon
from tests.runners.filled import FILLING, GOOD, MIB, Site, fill_by_a_step, small_disk


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with daemon.running() as address:
        yield address


@pytest.fixture(params=["sandbox", "docker"])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "sandbox":
        return Sandbox()
    return Docker(DockerSettings(request.getfixturevalue("address")))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.mark.parametrize("way", FILLING)
def test_a_step_that_fills_the_disk_is_told_so_leaves_nothing_and_the_next_one_runs(
    way: str, runner: Runner, disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: whoever reads «code 1», or that a container was ended by hand, and looks for the fault in the block."""
    with caplog.at_level(logging.WARNING, "comity.steps"):
        trio.run(fill_by_a_step, Site(runner, disk, tmp_path), way)
    assert str(disk / "steps") in caplog.text, "the operator is told which disk"


@pytest.mark.parametrize("what", ["bytes", "files"])
def test_a_step_is_not_begun_on_a_disk_that_others_filled(
    what: str, runner: Runner, disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: a node that ends, or a step that is told of as somebody's fault, since something else took the disk."""

    async def story() -> None:
        site = Site(runner, disk, tmp_path)
        await site.steps.start()
        assert (await site.step(GOOD)).failure == ""
        fill(disk, what)
        finished = await site.step(GOOD)
        # The sandbox needs no bytes of it before the command does, which then fails of itself.
        begun = what == "bytes" and runner.name == "sandbox"
        assert finished.failure == ("its command ended with code 1" if begun else f"it could not be run: {NO_ROOM}")
        assert site.left() == []
        assert str(disk / "steps") in caplog.text
        empty(disk)
        assert (await site.step(GOOD)).failure == ""

    with caplog.at_level(logging.WARNING, "comity.steps"):
        trio.run(story)


def fill(disk: Path, what: str) -> None:
    """Take all that is left of the disk, its bytes or its files."""
    with suppress(OSError):
        for number in count():
            (disk / f"ballast-{number}").write_bytes(bytes(MIB if what == "bytes" else 0))


def empty(disk: Path) -> None:
    """Give it back."""
    for each in disk.glob("ballast*"):
        each.unlink()
