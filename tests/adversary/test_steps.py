"""Attacks from inside a step, and by a block's text, on the step executor; the sandbox's own walls are tried in
``tests/node/execute``. A runner that does what a hostile command would leaves its work folder behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, Denied, VerificationFailed
from catalog.project import ProjectRef
from node.automator.automator import RAN_AND_FAILED
from node.execute.collect import listing_command
from node.execute.evaluation import CHANGED
from node.execute.machine import this_machine
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import AT_ONCE, Description, Ending, Exit, Finished, Job, Limits, Machine, Runner, Turn, Usage, Work
from node.storage.disk import DiskBlobs
from tests.adversary.stage import Stage
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.simulation.steps import SimulatedSteps
from workflow.argument import Argument, Data, Literal, Many
from workflow.receipt import Status

SITE = "did:key:z6MkehRgf7yJbgaGfYsdoAsKdBPE3dj2CYhowQdcjqSJgvVd"
SECRET = "SECRET-of-patient-17"
PROJECT = ProjectRef(site=SITE, name="trial")
TOOL = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [tool]
inputs:
  words: {type: "string[]?", inputBinding: {position: 1%s}}
  number: {type: long?, inputBinding: {position: 2}}
  data: {type: File?, inputBinding: {position: 3}}
outputs:
  out: {type: File, outputBinding: {glob: "*.json"}}
"""


def look_through(work: Path) -> bytes:
    """What the node's own command finds in a work folder, run outside."""
    return subprocess.run(listing_command(str(work)), capture_output=True, check=True).stdout


class Hostile:
    """A runner whose command is a Python function of its work folder."""

    name = "hostile"

    def __init__(self, act: Callable[[Path], object], code: int = 0) -> None:
        self._act = act
        self._code = code

    async def describe(self) -> Description:
        """It is none."""
        return Description(self.name, "")

    async def machine(self) -> Machine:
        """This one."""
        return this_machine()

    async def probe(self) -> None:
        """It shows nothing."""

    async def recover(self, folder: Path) -> int:
        """It left nothing."""
        return 0

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        async with turn:
            self._act(job.work)
        errors = f"{SECRET} on standard error".encode()
        return Exit(Ending.EXITED, self._code, Usage(0.1, 0.1, 1), errors, left=look_through(job.work))


class Shelf:
    """Materials that are here; a resident file is what the test says it is now."""

    def __init__(self, resident: Callable[[], Path | None] = lambda: None) -> None:
        self._resident = resident

    async def block(self, cid: Cid) -> None:
        """It is here."""

    async def resident(self, data: Data) -> Path | None:
        return self._resident()

    async def opened(self, data: Data, order: Cid, target: Path) -> bool:
        return False

    async def stored(self, data: Data, project: ProjectRef) -> Cid:
        return data.cid


def ran(
    folder: Path,
    runner: Runner,
    inputs: Mapping[str, Argument] | None = None,
    *,
    files: Mapping[str, str] | None = None,
    materials: Shelf | None = None,
) -> Finished:
    """How a step of a block with these ``files`` ends."""

    async def play() -> Finished:
        blobs = DiskBlobs(folder / "blobs")
        block = folder / "block"
        block.mkdir()
        for name, text in {"tool.cwl": TOOL % "", **(files or {})}.items():
            place = block / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        cid = await blobs.add_path(block)
        executor = StepExecutor(
            runner, EVALUATOR, materials or Shelf(), blobs, folder / "work", Limits(output_bytes=1 << 16)
        )
        await executor.start()
        return await executor.run(Work(cid, inputs or {}), 30.0, Cid.of(b"order"), PROJECT)

    finished = trio.run(play)
    assert [each for each in (folder / "work").iterdir() if not each.name.startswith("block-")] == []
    return finished


def _writes(name: str) -> Callable[[Path], object]:
    return lambda work: (work / name).write_text("{}")


def _link(work: Path) -> None:
    (work / "out.json").symlink_to("/etc/passwd")


def _hard_link(work: Path) -> None:
    (work / "x").write_text("{}")
    os.link(work / "x", work / "out.json")


def _two(work: Path) -> None:
    for name in (f"{SECRET}.json", "b.json"):
        (work / name).write_text("{}")


OUTPUTS: Mapping[str, Callable[[Path], object]] = {
    "link_to_a_host_file": _link,
    "second_name_of_a_file": _hard_link,
    "pipe": lambda work: os.mkfifo(work / "out.json"),
    "folder_in_place_of_a_file": lambda work: (work / "out.json").mkdir(),
    "name_with_a_line_break": _writes(f"{SECRET}\n.json"),
    "name_that_steers_a_terminal": _writes(f"\x1b]0;{SECRET}.json"),
    "nothing": lambda _: None,
    "two_where_one_is_due": _two,
    "more_than_the_limit": lambda work: (work / "out.json").write_bytes(bytes(1 << 17)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_that_is_not_to_be_taken(name: str, tmp_path: Path) -> None:
    """Else a step reads the host, or what it calls its files tells the asker of the data."""
    finished = ran(tmp_path, Hostile(OUTPUTS[name]))
    assert finished.failure
    assert finished.products == {}
    assert SECRET not in finished.failure
    assert "passwd" not in finished.failure


def test_a_plain_output_is_taken(tmp_path: Path) -> None:
    """Else every output above is refused because all are."""
    finished = ran(tmp_path, Hostile(_writes("out.json")))
    assert (finished.failure, finished.products["out"].name) == ("", "out.json")


def test_data_that_change_while_the_step_runs(tmp_path: Path) -> None:
    """Else a result counts as one of data that nobody published."""
    patients = tmp_path / "patients.csv"
    patients.write_text("1")

    def resident() -> Path:
        if patients.read_text() != "1":
            raise VerificationFailed("the data changed")
        return patients

    def act(work: Path) -> None:
        (work / "out.json").write_text("{}")
        patients.write_text("2")

    data = Data(site=SITE, cid=Cid.of(b"1").keyed(bytes(32)), name="patients.csv")
    finished = ran(tmp_path, Hostile(act), {"data": data}, materials=Shelf(resident))
    assert (finished.failure, finished.products) == (CHANGED, {})


LITERALS: Mapping[str, str] = {
    "number_of_60000_digits": "1" * 60_000,
    "lists_in_lists": "[" * 30_000 + "]" * 30_000,
    "no_json": "{",
    "not_a_number": "NaN",
    "more_than_64_bits": "9" * 30,
    "half_a_character": '"\\ud800"',
    "nul": '"\\u0000"',
    "object": '{"class": "File", "path": "/etc/passwd"}',
}


@pytest.mark.parametrize("name", LITERALS)
def test_a_literal_that_is_a_bomb(name: str, tmp_path: Path) -> None:
    """Else a few bytes in a submission end every node that runs a step of it."""
    for key in ("number", "words"):
        folder = tmp_path / key
        folder.mkdir()
        value = Many(items=(Literal(json=LITERALS[name]),)) if key == "words" else Literal(json=LITERALS[name])
        assert ran(folder, Hostile(_writes("out.json")), {key: value}).failure


def test_an_argument_longer_than_the_system_takes(tmp_path: Path) -> None:
    """Else the system's refusal to start a command ends the node. A real sandbox: the error is the kernel's."""
    words = Many(items=tuple(Literal(json=f'"{"x" * 60_000}"') for _ in range(5)))
    finished = ran(tmp_path, Sandbox(), {"words": words}, files={"tool.cwl": TOOL % ", itemSeparator: ','"})
    assert finished.failure
    assert (finished.products, finished.usage) == ({}, None)
    assert str(tmp_path) not in finished.failure


HOSTILE_NAMES = ["../x", "/etc/passwd", "..", ".", "a/b", "a\nb", "\x1b[2J", "x" * 300, "\x00"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_the_name_of_data_is_no_path(name: str, tmp_path: Path) -> None:
    """Else an order mounts data over the step's own root, or names a file of the host."""
    seen: list[Job] = []

    class Watching(Hostile):
        async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
            seen.append(job)
            return await super().run(job, turn)

    data = Data(site=SITE, cid=Cid.of(b"1"), name=name)
    patients = tmp_path / "patients.csv"
    patients.write_text("1")
    finished = ran(tmp_path, Watching(_writes("out.json")), {"data": data}, materials=Shelf(lambda: patients))
    assert finished.failure.isprintable()
    assert finished.failure
    assert seen == []


BLOCKS: Mapping[str, str] = {
    "output_pattern_that_climbs": 'outputs: {out: {type: File, outputBinding: {glob: "../../*"}}}',
    "output_pattern_of_the_host": "outputs: {out: {type: File, outputBinding: {glob: /etc/passwd}}}",
    "output_name_that_steers_a_terminal": 'outputs: {"\\e[2Jout": {type: File, outputBinding: {glob: x}}}',
    "input_name_that_climbs": 'inputs: {"../../etc": File}',
    "work_file_that_climbs": (
        "requirements: {InitialWorkDirRequirement: {listing: [{entryname: ../x, entry: text}]}}\noutputs: {}"
    ),
    "work_file_that_the_block_has_not": (
        "requirements: {InitialWorkDirRequirement: {listing: [{class: File, location: none.py}]}}\noutputs: {}"
    ),
    "work_file_with_a_path_too_long": (
        "requirements: {InitialWorkDirRequirement: {listing: [{entryname: %s, entry: text}]}}\noutputs: {}".replace(
            "%s", "/".join(["x" * 200] * 40)
        )
    ),
    "output_stream_elsewhere": "stdout: ../../x\noutputs: {}",
    "variable_with_a_nul": 'requirements: {EnvVarRequirement: {envDef: {A: "x\\0--bind\\0/\\0/mnt"}}}\noutputs: {}',
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_blocks_text_that_reaches_out(name: str, tmp_path: Path) -> None:
    """Else whoever writes a block writes to, or reads from, every hospital that runs it, or ends its node."""
    text = BLOCKS[name]
    rest = "" if text.startswith("inputs") or "\ninputs" in text else "inputs: {}\n"
    rest += "" if "outputs:" in text else "outputs: {}\n"
    files = {
        "tool.cwl": f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [tool]\n{rest}{text}\n",
        "folder/x": "x",
    }
    try:
        failure = ran(tmp_path, Hostile(_writes("x")), files=files).failure
    except (BadInput, Denied) as error:
        failure = str(error)
    assert failure


# --- what of it all reaches the asker --------------------------------------------------------------------------------


def test_what_a_failed_step_says_reaches_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step writes rows of data into an exit code, a file's name or its errors, and its asker reads them."""
    told: list[str] = []
    for said in (f"its command ended with code {number}" for number in (1, 17, 255)):
        stage = Stage()

        async def fails(*_: object, said: str = said) -> Finished:
            return Finished({}, Usage(0.1, 0.1, 1), f"{said}, {SECRET}")

        monkeypatch.setattr(SimulatedSteps, "run", fails)
        receipt = stage.place(stage.honest())
        assert (receipt.status, receipt.outputs, receipt.cost) == (Status.FAILED, {}, 0)
        assert SECRET.encode() not in encode(receipt)
        told.append(receipt.reason)
        kept = b"".join(body for _, body in stage.anna.disk.audit.bodies.values())
        assert SECRET.encode() in kept, "the steward can see of what it failed"
    assert set(told) == {RAN_AND_FAILED}


def test_usage_tells_no_more_than_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a step tells a number of its choice by how long it takes or how much memory it fills."""
    stage = Stage()

    async def fails(*_: object) -> Finished:
        return Finished({}, Usage(1.234567, 0.777, 123_456_789), "x")

    monkeypatch.setattr(SimulatedSteps, "run", fails)
    spent = stage.place(stage.honest()).spent
    assert spent is not None
    assert all(each & (each - 1) == 0 for each in (spent.wall_millis, spent.cpu_millis, spent.peak_bytes))
