"""A third of the CWL v1.2 conformance suite; all of it is ``make conformance``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.execute.cwl.evaluator import Evaluator
from tests.conformance.judge import judge
from tests.conformance.known import known
from tests.conformance.suite import Case, cases, copied

try:
    THIRD = cases()[::3]
except FileNotFoundError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="session")
def suite() -> Iterator[Path]:
    with copied() as place:
        yield place


@pytest.mark.parametrize("case", THIRD, ids=[each.id for each in THIRD])
def test_a_case_of_the_suite(suite: Path, case: Case) -> None:
    """Lost: what is CWL to every other implementation means something else here."""

    async def main() -> str:
        evaluator = Evaluator()
        try:
            return await judge(evaluator, suite, folder, case)
        finally:
            await evaluator.aclose()

    folder = Path(suite.parent, f"run-{case.id}")
    folder.mkdir(mode=0o755)
    fault = trio.run(main)
    assert (fault != "") == (case.id in known()), fault or "it passes, and docs/conformance.md says that it does not"
