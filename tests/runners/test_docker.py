"""Docker gives what every runner gives, with a real daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from node.execute.account import NOBODY
from node.execute.docker.runner import Docker
from node.runnersettings import DockerSettings
from tests.infra.docker import daemon
from tests.runners.attacked import Attacked
from tests.runners.conformance import Conformance
from tests.runners.subject import Subject

CODE = "from tests.runners.test_docker import Docker, DockerSettings; runner = Docker(DockerSettings({!r}))"


ROOTLESS = os.environ.get("COMITY_ROOTLESS_DOCKER", "")
"""The socket of a rootless daemon of this user's, to be tested in place of one that is root."""


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    if ROOTLESS:
        yield ROOTLESS
        return
    with daemon.running() as address:
        yield address


@pytest.fixture
def subject(address: str) -> Subject:
    return Subject(Docker(DockerSettings(address)), CODE.format(address), user=0 if ROOTLESS else NOBODY)


class TestDocker(Conformance, Attacked):
    pass
