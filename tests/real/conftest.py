"""What real components need: built and started once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, running


@pytest.fixture(scope="session")
def kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubo]:
    with running(ipfs(), tmp_path_factory.mktemp("kubo")) as daemon:
        yield daemon
