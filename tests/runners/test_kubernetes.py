"""Kubernetes gives what every runner gives: with a volume and without, in a real cluster, by the node's own rights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.execute.kubernetes.runner import Kubernetes
from tests.infra.kubernetes.cluster import Cluster
from tests.runners.attacked import Attacked
from tests.runners.clusters import CLAIM, Ready, ready
from tests.runners.conformance import Conformance
from tests.runners.subject import Subject

OWNER = "the-tests"
CODE = """
            from pathlib import PosixPath
            from node.clustersettings import ClusterSettings
            from node.execute.kubernetes.runner import Kubernetes
            runner = Kubernetes({!r}, {!r}, {!r})"""


@pytest.fixture(scope="session")
def there(cluster: Cluster) -> Iterator[Ready]:
    with ready(cluster) as there:
        yield there


@pytest.fixture
def place(there: Ready) -> Iterator[Path]:
    """Below the volume, which both ways take."""
    with tempfile.TemporaryDirectory(dir=there.volume) as folder:
        one = Path(folder, "steps", "one")
        one.mkdir(parents=True)
        yield one


def subject_of(there: Ready, **more: object) -> Subject:
    settings = there.settings(**more)
    runner = Kubernetes(settings, there.volume, OWNER)
    return Subject(runner, CODE.format(settings, there.volume, OWNER))


def test_what_steps_have_is_the_quota_of_their_namespace(there: Ready) -> None:
    """Lost: others plan for the machine of the node, on which no step runs."""
    machine = trio.run(subject_of(there).runner.machine)
    assert (machine.processors, machine.memory_mib) == (there.room.cpus, there.room.gib << 10)


class TestWithAVolume(Conformance, Attacked):
    @pytest.fixture
    def subject(self, there: Ready) -> Subject:
        return subject_of(there, claim=CLAIM)

    @pytest.fixture
    def place(self, place: Path) -> Path:
        return place


class TestWithoutAVolume(Conformance, Attacked):
    @pytest.fixture
    def subject(self, there: Ready) -> Subject:
        return subject_of(there)

    @pytest.fixture
    def place(self, place: Path) -> Path:
        return place
