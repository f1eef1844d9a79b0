"""Argo gives what every runner gives, in a real cluster with a real controller, by the rights that we ship."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.execute.argo.runner import Argo
from tests.infra.argo import controller
from tests.infra.kubernetes.cluster import Cluster
from tests.runners.attacked import Attacked
from tests.runners.clusters import CLAIM, Ready, ready
from tests.runners.conformance import Conformance
from tests.runners.subject import Subject

OWNER = "the-tests-of-argo"
CODE = """
            from pathlib import PosixPath
            from node.clustersettings import ClusterSettings
            from node.execute.argo.runner import Argo
            runner = Argo({!r}, {!r}, {!r})"""


@pytest.fixture(scope="session")
def there(cluster: Cluster) -> Iterator[Ready]:
    with controller.running(cluster), ready(cluster, "argo") as there:  # which Argo must see going
        yield there


class TestArgo(Conformance, Attacked):
    @pytest.fixture
    def subject(self, there: Ready) -> Subject:
        settings = there.settings(claim=CLAIM)
        return Subject(Argo(settings, there.volume, OWNER), CODE.format(settings, there.volume, OWNER))

    @pytest.fixture
    def place(self, there: Ready) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=there.volume) as folder:
            one = Path(folder, "steps", "one")
            one.mkdir(parents=True)
            yield one
