"""``comity site deploy`` before it has found a cluster; in a real one: ``tests/runners/test_deploy.py``."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from catalog.error import Conflict
from cli.deploy import _check_alone, _farewell, _settings
from cli.main import run
from deploy.kubernetes.manifest import Room
from node.clustersettings import cluster_settings
from node.stepsettings import step_settings

# Nobody listens at port 1.
AWAY = """{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
"users": [{"name": "u", "user": {"token": "a-secret-token"}}],
"contexts": [{"name": "c", "context": {"cluster": "a", "user": "u"}}]}"""


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"apiVersion": "v1", "kind": "Config", "clusters": []}'])
def test_an_administrator_without_a_kubeconfig_learns_how_to_name_it(
    text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: who has no cluster yet is told to run the very command that failed."""
    config, out = tmp_path / "config", tmp_path / "kubeconfig"
    if text is not None:
        config.write_text(text)
    words = ["site", "deploy", "kubernetes", "--kubeconfig", str(config), "--out", str(out), "--yes"]
    assert run(words) == 2
    told = capsys.readouterr().err
    assert told.endswith("name yours, as for kubectl, with --kubeconfig\n")
    assert told.count("\n") == 1
    assert not out.exists()


def test_a_cluster_that_is_away_is_named_and_the_token_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an administrator's token in a terminal's history or a support ticket."""
    config, out = tmp_path / "config", tmp_path / "kubeconfig"
    config.write_text(AWAY)
    words = ["site", "deploy", "argo", "--kubeconfig", str(config), "--out", str(out), "--yes"]
    assert run(words) == 4
    told = capsys.readouterr()
    assert "https://127.0.0.1:1" in told.err
    assert "a-secret-token" not in told.err + told.out
    assert not out.exists()


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease", "default"])
@pytest.mark.parametrize("how", ["--yes", "--show"])
def test_the_clusters_own_namespaces_are_refused(
    namespace: str, how: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the network of the control plane itself, by one word."""
    config = tmp_path / "config"
    config.write_text(AWAY)
    words = ["site", "deploy", "kubernetes", "--kubeconfig", str(config), "--out", str(tmp_path / "out")]
    assert run([*words, "--namespace", namespace, how]) == 2
    told = capsys.readouterr()
    assert f"«{namespace}» is a namespace of the cluster's own: name another --namespace" in told.err
    assert told.out == ""


def test_nothing_is_taken_from_others_unless_somebody_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a script that cuts off what runs in a namespace."""
    pods = ["web", "queue", "store", "mail"]
    with pytest.raises(Conflict, match=r"in «place» .* no network: web, queue, store, …; name another --namespace"):
        _check_alone(pods, Room("place"), yes=True)
    _check_alone(pods, Room("place"), yes=False)
    assert "web, queue, store" in "".join(capsys.readouterr())
    _check_alone([], Room("place"), yes=True)


def test_what_was_not_there_is_not_said_to_be_gone() -> None:
    """Lost: an operator who deletes the kubeconfig of a node whose place in the cluster is still there."""
    assert _farewell(()).startswith("Nothing of ours is there: nothing was changed")
    assert "kubeconfig" not in _farewell({"Namespace", "ResourceQuota"})
    assert "delete it" in _farewell({"ServiceAccount", "Namespace"})


@pytest.mark.parametrize("runner", ["kubernetes", "argo"])
def test_the_settings_that_are_printed_lack_nothing(runner: str) -> None:
    """Lost: a node that starts with what its operator was told to write, and can bring no image to the cluster."""
    text = _settings(runner, Path('/srv/a "site"/kubeconfig'), Room("place"))
    table = tomllib.loads(text)
    made = cluster_settings(table)
    assert step_settings(table).runner == runner
    assert (made.config, made.namespace) == (Path('/srv/a "site"/kubeconfig'), "place")
    assert made.registry
    assert "site's own registry" in text
    instead = text.replace("registry =", "# registry =").replace("# containerd", "containerd")
    assert cluster_settings(tomllib.loads(instead)).containerd
