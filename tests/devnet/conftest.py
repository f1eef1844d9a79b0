"""The consortium that the tests of this folder share."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from devnet.topology import Places, topology
from tests.devnet.consortium import Consortium, comity, processes_of, publish_workflow


@pytest.fixture(scope="session")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consortium]:
    """Four sites and a witness that run, so that one may be away, brought up by the command and taken down by it."""
    path = tmp_path_factory.mktemp("devnet") / "net"
    environment = {"COMITY_DEVNET": str(path)}
    up = comity("devnet", "up", "--sites", "4", "--json", environment=environment)
    assert up.returncode == 0, up.stderr
    assert len(json.loads(up.stdout)["sites"]) == 5
    try:
        places, known = Places(path), topology(4)
        yield Consortium(places, known, publish_workflow(places, known, "quick"))
    finally:
        down = comity("devnet", "down", environment=environment)
    assert down.returncode == 0, down.stderr
    assert processes_of(path) == []
