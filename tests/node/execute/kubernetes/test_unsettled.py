"""A runner of a cluster that no setting names."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import trio

from catalog.error import Denied
from node.clustersettings import ClusterSettings
from node.execute.argo.runner import Argo
from node.execute.kubernetes.runner import Kubernetes


@pytest.mark.parametrize("kind", [Kubernetes, Argo])
def test_who_has_no_section_is_told_so_once(
    kind: type[Kubernetes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Lost: an operator who chose a runner by its name alone, and looks for images and for steps that were left."""
    runner = kind(ClusterSettings(), tmp_path, "a")
    with caplog.at_level(logging.WARNING):
        assert trio.run(runner.recover, tmp_path) == 0
        with pytest.raises(Denied) as raised:
            trio.run(runner.probe)
    told = f"site.toml has no section [kubernetes]; run «comity site deploy {kind.name}», which says what it has"
    assert str(raised.value) == f"no step runs in the cluster: {told}"
    assert caplog.text == ""
