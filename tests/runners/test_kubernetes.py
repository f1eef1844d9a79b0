"""Kubernetes gives what every runner gives: with a volume and without, in a real cluster, by the node's own rights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.execute.kubernetes.runner import Kubernetes
from tests.infra.kubernetes.cluster import Cluster
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


class TestWithAVolume(Conformance):
    @pytest.fixture
    def subject(self, there: Ready) -> Subject:
        return subject_of(there, claim=CLAIM)

    @pytest.fixture
    def place(self, place: Path) -> Path:
        return place


class TestWithoutAVolume(Conformance):
    @pytest.fixture
    def subject(self, there: Ready) -> Subject:
        return subject_of(there)

    @pytest.fixture
    def place(self, place: Path) -> Path:
        return place
