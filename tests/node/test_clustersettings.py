"""The section ``[kubernetes]`` of a site's settings."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from catalog.error import BadInput
from node.clustersettings import ClusterSettings, cluster_settings, cluster_toml


def test_what_is_written_is_read_again() -> None:
    """Lost: an operator's settings, when a site's file is written anew."""
    for settings in (
        ClusterSettings(),
        ClusterSettings(
            "steps", Path("/k"), "staging", "no-network", None, "registry.anna.example:5000/comity", 250, 9
        ),
        ClusterSettings(registry="registry.anna.example/comity", registry_login=Path("/l")),
        ClusterSettings(containerd=Path("/run/containerd.sock")),
    ):
        assert cluster_settings(tomllib.loads(cluster_toml(settings))) == settings


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("nonsense = 1", "nonsense is no setting"),
        ('namespace = "A B"', "namespace is none that Kubernetes takes"),
        ('config = "relative"', "config must be a whole path"),
        ("millicpus = 0", "millicpus must be a whole number"),
        ("millicpus = true", "millicpus must be a whole number"),
        ('registry = "a/b"\ncontainerd = "/c"', "name one"),
        ('registry_login = "/l"', "none is named"),
        ('claim = ""', "claim must be text"),
    ],
)
def test_what_cannot_be_is_named(section: str, told: str) -> None:
    """Lost: a node that starts, and fails at its first step."""
    with pytest.raises(BadInput, match=told):
        cluster_settings(tomllib.loads(f"[kubernetes]\n{section}"))
