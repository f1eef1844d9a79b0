"""What a step may use: the site's bounds hold for what really runs, and a block may ask for less, not for more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from node.execute.allowed import limits_of
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import Exit, Finished, Job, Turn, Work
from node.stepsettings import StepSettings
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR

TOOL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {out: {type: statistics}}}
requirements: {%s}
baseCommand: [python3, -c]
arguments: [{valueFrom: "%s"}]
inputs: {}
stdout: out.txt
outputs: {out: {type: stdout}}
"""
USES = {
    "seconds": ("import time; time.sleep(60)", StepSettings(most_seconds=1), "wall time: more than 1 seconds"),
    "processor": ("while True: pass", StepSettings(most_cpu_seconds=1), "CPU: more than 1 seconds"),
    "memory": ("a = bytearray(500000000)", StepSettings(most_mib_memory=64), "memory: more than 67108864 bytes"),
    "output": (
        "open('big', 'wb').write(bytes(3000000))",
        StepSettings(most_mib_output=1),
        "output bytes: more than 1048576",
    ),
    "processes": (
        # Those that have ended count until somebody waits for them.
        "import os; [os.fork() or os._exit(0) for _ in range(20)]",
        StepSettings(most_processes=8),
        "its command",
    ),
}
FREE = StepSettings(most_seconds=20, most_cpu_seconds=20)


async def ran(
    folder: Path, program: str, settings: StepSettings, requirements: str = "", sandbox: Sandbox | None = None
) -> Finished:
    blobs, block = DiskBlobs(folder / "blobs"), folder / "block"
    block.mkdir()
    (block / "tool.cwl").write_text(TOOL % (requirements, program))
    cid = await blobs.add_path(block)
    runner = sandbox or Sandbox()
    steps = StepExecutor(
        runner, EVALUATOR, Shelf(), blobs, folder / "work", limits_of(settings), at_once=settings.at_once
    )
    (folder / "work").mkdir()
    return await steps.run(Work(cid, {}), 300.0, Cid.of(b"order"), PROJECT)


@pytest.mark.parametrize("use", USES)
def test_what_uses_more_than_the_site_gives_is_ended(use: str, tmp_path: Path) -> None:
    """Lost: a bound that is set, and read, and holds nothing back."""
    program, settings, said = USES[use]
    finished = trio.run(ran, tmp_path, program, settings)
    assert said in finished.failure


@pytest.mark.parametrize("use", ["memory", "output", "processes"])
def test_what_is_given_more_does_it(use: str, tmp_path: Path) -> None:
    """Else what is ended above was never able to end well."""
    assert trio.run(ran, tmp_path, USES[use][0], FREE).failure == ""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("ResourceRequirement: {ramMin: 2048}", "it asks for 2,048 MiB of memory, and this site gives 1,024"),
        ("ResourceRequirement: {coresMin: 5000}", "it asks for 5,000 processors, and this site gives "),
        ("ResourceRequirement: {outdirMin: 300}", "300 MiB of room for what it makes, and this site gives 256"),
        ("ResourceRequirement: {tmpdirMin: 513}", "513 MiB of room for scratch files, and this site gives 512"),
    ],
)
def test_a_block_that_needs_more_is_not_begun_and_says_of_what(asked: str, said: str, tmp_path: Path) -> None:
    """Lost: an hour of computing until the site ends it for what it said beforehand."""
    finished = trio.run(ran, tmp_path, "print(1)", StepSettings(), asked)
    assert said in finished.failure
    assert finished.usage is None


@pytest.mark.parametrize(
    ("program", "asked", "said"),
    [
        (USES["seconds"][0], "ToolTimeLimit: {timelimit: 1}", "wall time: more than 1 seconds"),
        (USES["memory"][0], "ResourceRequirement: {ramMax: 100}", "memory: more than 104857600 bytes"),
    ],
)
def test_a_block_may_ask_for_less(program: str, asked: str, said: str, tmp_path: Path) -> None:
    """Lost: its author's bound is read and means nothing."""
    assert said in trio.run(ran, tmp_path, program, FREE, asked).failure


def test_a_block_that_would_take_longer_gets_what_the_site_gives(tmp_path: Path) -> None:
    """Lost: whoever writes a block decides how long it holds a hospital's machine."""
    program, settings, said = USES["seconds"]
    assert said in trio.run(ran, tmp_path, program, settings, "ToolTimeLimit: {timelimit: 9000}").failure


def test_a_block_is_told_what_memory_it_has(tmp_path: Path) -> None:
    """Lost: a program that takes what the tool was told there is, and is ended for it."""

    async def story() -> bytes:
        settings = StepSettings(most_mib_memory=300)
        finished = await ran(tmp_path, "print($(runtime.ram))", settings)
        assert finished.failure == ""
        return await DiskBlobs(tmp_path / "blobs").read(finished.products["out"].cid)

    assert trio.run(story) == b"300\n"


class Turnstile(Sandbox):
    """Runs commands, and knows how many it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.most = 0

    async def command(self, job: Job, turn: Turn) -> Exit:
        """A listing is let go when its command has ended, and is not counted."""
        return await super().command(job, turn if job.argv[0] == "find" else self._counted(turn))

    @asynccontextmanager
    async def _counted(self, turn: Turn) -> AsyncIterator[None]:
        async with turn:
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                yield
            finally:
                self.inside -= 1


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_run_at_once_and_no_more(at_once: int, tmp_path: Path) -> None:
    """Lost: five steps that each may take half of the machine's memory."""
    turnstile = Turnstile()
    blobs, block = DiskBlobs(tmp_path / "blobs"), tmp_path / "block"

    async def story() -> None:
        block.mkdir()
        (block / "tool.cwl").write_text(TOOL % ("", "import time; time.sleep(0.5)"))
        cid = await blobs.add_path(block)
        (tmp_path / "work").mkdir()
        steps = StepExecutor(turnstile, EVALUATOR, Shelf(), blobs, tmp_path / "work", limits_of(FREE), at_once=at_once)
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(steps.run, Work(cid, {}), 300.0, Cid.of(str(number).encode()), PROJECT)

    trio.run(story)
    assert turnstile.most == at_once
