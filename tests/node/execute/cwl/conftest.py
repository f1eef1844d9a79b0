"""The evaluator that tests share is ended with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from tests.node.execute.cwl.evaluating import EVALUATOR


@pytest.fixture(scope="session", autouse=True)
def _ended() -> Iterator[None]:
    yield
    trio.run(EVALUATOR.aclose)
