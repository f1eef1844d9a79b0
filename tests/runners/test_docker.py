"""Docker gives what every runner gives, with a real daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.execute.docker.runner import Docker
from node.runnersettings import DockerSettings
from tests.infra.docker import daemon
from tests.runners.attacked import Attacked
from tests.runners.conformance import Conformance
from tests.runners.subject import Subject

CODE = "from tests.runners.test_docker import Docker, DockerSettings; runner = Docker(DockerSettings({!r}))"


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with daemon.running() as address:
        yield address


@pytest.fixture
def subject(address: str) -> Subject:
    return Subject(Docker(DockerSettings(address)), CODE.format(address))


class TestDocker(Conformance, Attacked):
    pass
