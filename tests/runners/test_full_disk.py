"""A disk that is really full while a step runs: a small one in memory, mounted where steps are staged."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from node.execute.docker.runner import Docker
from node.execute.sandbox import Sandbox
from node.execute.step import NO_ROOM, StepExecutor
from node.runnersettings import DockerSettings
from node.step import Finished, Limits, Runner
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.infra.docker import daemon
from tests.infra.machine import run

MIB = 1 << 20
DISK = 24 * MIB
TOOL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {out: {type: statistics}}}
baseCommand: [sh, -c]
arguments: [{valueFrom: "%s"}]
inputs: {}
outputs: {out: {type: File, outputBinding: {glob: out}}}
"""
FILLING = {
    "at once": "head -c 64000000 /dev/zero > out",
    "by and by": "i=0; while :; do head -c 1000000 /dev/zero >> out; sleep 0.05; done",
    "and says nothing of it": "head -c 64000000 /dev/zero > out 2> /dev/null; exit 0",
}
FULL = f"room on the disk where steps are staged: less than {DISK // 20} bytes are left"


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
    """A disk with room for a few steps, and not for what these want to write."""
    folder = tmp_path / "disk"
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK},nr_inodes=200,mode=0711", "comity-test", folder])
    try:
        yield folder
    finally:
        run(["umount", folder])


class Site:
    """Steps staged on the small disk, and stored on another."""

    def __init__(self, runner: Runner, disk: Path, folder: Path) -> None:
        self.folder = folder
        self.disk = disk
        self.blobs = DiskBlobs(folder / "blobs")
        shelf: object = Shelf()
        self.steps = StepExecutor(runner, shelf, self.blobs, disk / "steps", Limits())  # type: ignore[arg-type]

    async def step(self, script: str) -> Finished:
        block = self.folder / "block"
        block.mkdir(exist_ok=True)
        (block / "tool.cwl").write_text(TOOL % script)
        return await self.steps.run(await self.blobs.add_path(block), {}, 60.0, Cid.of(b"order"), PROJECT)

    def left(self) -> list[str]:
        return sorted(each.name for each in (self.disk / "steps").iterdir() if not each.name.startswith("block-"))


@pytest.mark.parametrize("way", FILLING)
def test_a_step_that_fills_the_disk_is_told_so_leaves_nothing_and_the_next_one_runs(
    way: str, runner: Runner, disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: whoever reads «code 1», or that a container was ended by hand, and looks for the fault in the block."""

    async def story() -> None:
        site = Site(runner, disk, tmp_path)
        await site.steps.start()
        assert site.steps.fault == ""
        finished = await site.step(FILLING[way])
        assert finished.failure == f"its command was ended: {FULL}"
        assert finished.products == {}
        assert finished.usage is not None
        assert site.left() == []
        assert str(disk / "steps") in caplog.text, "the operator is told which disk"
        after = await site.step("echo well > out")
        assert (after.failure, list(after.products)) == ("", ["out"])

    with caplog.at_level(logging.WARNING, "comity.steps"):
        trio.run(story)


@pytest.mark.parametrize("what", ["bytes", "files"])
def test_a_step_is_not_begun_on_a_disk_that_others_filled(
    what: str, runner: Runner, disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: a node that ends, or a step that is told of as somebody's fault, since something else took the disk."""

    async def story() -> None:
        site = Site(runner, disk, tmp_path)
        await site.steps.start()
        assert (await site.step("echo well > out")).failure == ""
        fill(disk, what)
        finished = await site.step("echo well > out")
        # The sandbox needs no bytes of it before the command does, which then fails of itself.
        begun = what == "bytes" and runner.name == "sandbox"
        assert finished.failure == ("its command ended with code 1" if begun else f"it could not be run: {NO_ROOM}")
        assert site.left() == []
        assert str(disk / "steps") in caplog.text
        empty(disk)
        assert (await site.step("echo well > out")).failure == ""

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
