"""A third of the CWL v1.2 conformance suite, another one for each commit; all of it is ``make conformance``."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.execute.cwl.evaluator import Evaluator
from tests.conformance.judge import judge
from tests.conformance.known import known
from tests.conformance.suite import ROOT, Case, cases, copied, third

try:
    EVERY = cases()
except FileNotFoundError as error:
    pytest.skip(str(error), allow_module_level=True)


def commit() -> int:
    """The commit that is tested, as a number, so that it always has the same third; 0 where there is none."""
    told = subprocess.run(["git", "rev-parse", "--verify", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    return int(told.stdout or b"0", 16)


THIRD = third(EVERY, commit())


@pytest.fixture(scope="session")
def suite() -> Iterator[Path]:
    with copied() as place:
        yield place


@pytest.fixture(scope="session")
def evaluator() -> Iterator[Evaluator]:
    """One for all cases of a worker: to start it takes longer than a case."""
    one = Evaluator()
    yield one
    trio.run(one.aclose)


@pytest.mark.parametrize("case", THIRD, ids=[each.id for each in THIRD])
def test_a_case_of_the_suite(evaluator: Evaluator, suite: Path, case: Case) -> None:
    """Lost: what is CWL to every other implementation means something else here."""
    folder = Path(suite.parent, f"run-{case.id}")
    folder.mkdir(mode=0o755)
    fault = trio.run(judge, evaluator, suite, folder, case)
    assert (fault != "") == (case.id in known()), fault or "it passes, and docs/conformance.md says that it does not"


def test_the_thirds_are_the_suite_and_each_has_some_of_every_tag() -> None:
    """Lost: what no commit happens to run breaks unseen."""
    parts = [third(EVERY, number) for number in range(3)]
    assert sorted(each.id for part in parts for each in part) == sorted(each.id for each in EVERY)
    often = Counter(tag for each in EVERY for tag in each.tags)
    enough = {tag for tag, times in often.items() if times >= 3}
    for part in parts:
        assert enough <= {tag for each in part for tag in each.tags}
