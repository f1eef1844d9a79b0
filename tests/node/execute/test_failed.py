"""What a command that failed said: its end is held for the project alone, sealed, and nothing where it said nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import Full
from node.step import Finished
from node.stepsettings import StepSettings
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT
from tests.node.execute.test_allowed import FREE, ran

BRIEF = StepSettings(most_seconds=1)
KILLED = "import sys, time; print(17, file=sys.stderr, flush=True); time.sleep(60)"
LONG = "import sys; sys.stderr.write('x' * 5000 + 'patient 17'); sys.exit(3)"


@pytest.mark.parametrize(
    ("program", "settings", "end"),
    [(LONG, FREE, b"x" * 4086 + b"patient 17"), (KILLED, BRIEF, b"17\n")],
)
def test_the_end_of_what_it_said_is_held_under_the_projects_key(
    program: str, settings: StepSettings, end: bytes, tmp_path: Path
) -> None:
    """Lost: nobody learns why a step fails; or rows of data lie in the clear, and as many as it likes."""

    async def story() -> tuple[Finished, bytes]:
        finished = await ran(tmp_path, program, settings)
        assert finished.errors is not None
        return finished, await DiskBlobs(tmp_path / "blobs").read(finished.errors.cid)

    finished, said = trio.run(story)
    assert said == end
    assert finished.errors is not None
    assert finished.errors.size == len(end)
    blobs = DiskBlobs(tmp_path / "blobs")
    assert blobs.size_in_clear(finished.errors.cid) is None
    assert blobs.sealed.key_of(PROJECT).size(finished.errors.cid) == len(end)


def test_of_one_that_said_nothing_nothing_is_held(tmp_path: Path) -> None:
    """Lost: a row that names an empty value."""
    finished = trio.run(ran, tmp_path, "import os; os._exit(3)", FREE)
    assert (finished.failure, finished.errors) == ("its command ended with code 3", None)


def test_of_one_that_succeeded_nothing_is_held(tmp_path: Path) -> None:
    """Lost: each warning that a library prints fills a hospital's disk."""
    finished = trio.run(ran, tmp_path, "import sys; print('careful', file=sys.stderr); print(1)", FREE)
    assert (finished.failure, finished.errors) == ("", None)


def test_on_a_full_disk_what_it_said_is_lost_and_how_it_ended_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a command that ran is told of as one that could not be run, and what it used is charged to nobody."""

    async def refuses(*_: object) -> Cid:
        raise Full("the store has no room")

    monkeypatch.setattr(DiskBlobs, "hold", refuses)
    finished = trio.run(ran, tmp_path, "raise SystemExit('patient 17')", FREE)
    assert (finished.failure, finished.errors) == ("its command ended with code 1", None)
    assert finished.usage is not None
