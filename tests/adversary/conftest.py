"""Every stage is closed after its test: coroutines that were under way end with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adversary.stage import Stage


@pytest.fixture(autouse=True)
def _curtain() -> Iterator[None]:
    yield
    while Stage.playing:
        Stage.playing.pop().scheduler.close()
