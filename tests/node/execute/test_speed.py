"""How fast a step is, measured by one: numbers that a catalog takes, or none."""

from pathlib import Path

import pytest
import trio

from catalog.capacity import REFERENCE, Speed
from catalog.error import ComityError
from node.execute.sandbox import Sandbox
from node.execute.speed import FLOATING, HASHING, INTEGER, WRITING, Rates, measure
from node.step import AT_ONCE, Ending, Exit, Job, Turn, Usage


class Telling(Sandbox):
    """Says that it measured what it was told to say."""

    def __init__(self, found: bytes, code: int = 0) -> None:
        super().__init__()
        self._found = found
        self._code = code

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        assert job.stdout is not None
        async with turn:
            await (trio.Path(job.work) / job.stdout).write_bytes(self._found)
        return Exit(Ending.EXITED, self._code, Usage(0.1, 0.1, 1))


def test_a_real_step_measures_and_leaves_nothing(tmp_path: Path) -> None:
    """Lost: a node that never says how fast it is, or fills its folder with what it wrote to find out."""
    rates = trio.run(measure, Sandbox(), tmp_path)
    assert Speed(**rates.paces, at=0).integer > 0
    assert list(tmp_path.iterdir()) == []


def test_the_reference_machine_is_a_thousand() -> None:
    rates = Rates(integer=INTEGER, floating=FLOATING, hashing=HASHING, writing=WRITING)
    assert set(rates.paces.values()) == {REFERENCE}


def test_no_number_is_beyond_what_a_catalog_takes() -> None:
    """Lost: a clock that stood still makes a speed that no member reads, and the node is silent for ever."""
    rates = Rates(integer=1e300, floating=1e-300, hashing=float("1e17"), writing=WRITING)
    assert rates.paces == {"integer": 100 * REFERENCE, "floating": 1, "hashing": 100 * REFERENCE, "writing": REFERENCE}


@pytest.mark.parametrize(
    ("found", "code"),
    [(b"", 0), (b"{}", 0), (b"\xff", 0), (b'{"integer": "1"}', 0), (b" " * 5000, 0), (b"", 1),
     (b'{"integer": -1, "floating": 1, "hashing": 1, "writing": 1}', 0),
     (b'{"integer": NaN, "floating": 1, "hashing": 1, "writing": 1}', 0)],
)  # fmt: skip
def test_what_measures_nothing_is_an_error(tmp_path: Path, found: bytes, code: int) -> None:
    with pytest.raises(ComityError):
        trio.run(measure, Telling(found, code), tmp_path)
    assert list(tmp_path.iterdir()) == []
