"""What an operator's command puts into a real cluster is shown before, is enough, and is taken away again exactly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.error import Denied, NotFound
from cli.main import run
from node.execute.kubernetes.api import Api, connect
from tests.infra.kubernetes.cluster import Cluster
from tests.runners.case import until

NAMESPACE = "comity-deployed"


@pytest.fixture
def admin(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    api = connect(cluster.kubeconfig)
    yield api
    api.delete(f"/api/v1/namespaces/{NAMESPACE}", "Foreground")
    until(lambda: not exists(api, f"/api/v1/namespaces/{NAMESPACE}"))
    api.close()


def exists(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except NotFound:
        return False
    return True


def deploy(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, object]:
    assert run(["--json", "site", "deploy", *words, "--namespace", NAMESPACE]) == code
    captured = capsys.readouterr()
    told: dict[str, object] = json.loads(captured.out or captured.err)
    return told


def changes(told: dict[str, object]) -> set[str]:
    objects = told["objects"]
    assert isinstance(objects, list)
    return {each["change"] for each in objects}


def test_it_is_put_there_once_and_taken_away_exactly(
    admin: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an operator who cannot tell what was done to the cluster, or undo it."""
    out = tmp_path / "node.config"
    first = deploy(capsys, "argo", "--yes", "--out", str(out))
    assert changes(first) == {"is made"}
    assert out.stat().st_mode & 0o777 == 0o600
    assert changes(deploy(capsys, "argo", "--yes", "--out", str(out))) == {"is there already"}
    changed = deploy(capsys, "argo", "--yes", "--out", str(out), "--cpus", "3")
    assert changes(changed) == {"is there already", "is changed"}
    assert changes(deploy(capsys, "argo", "--yes", "--out", str(out))) == {"is there already"}, "its quota stays"
    assert changes(deploy(capsys, "argo", "--remove", "--yes")) == {"is removed"}
    assert not exists(admin, f"/api/v1/namespaces/{NAMESPACE}")
    assert changes(deploy(capsys, "argo", "--remove", "--yes")) == {"is not there"}


def test_a_namespace_that_was_there_is_given_back_as_it_was(
    admin: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an operator's namespace, deleted with what else lies in it."""
    place = f"/api/v1/namespaces/{NAMESPACE}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": {"owner": "someone"}}})
    before = admin.get(place)["metadata"]["labels"]
    deploy(capsys, "kubernetes", "--yes", "--out", str(tmp_path / "config"))
    assert admin.get(place)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    admin.create(f"{place}/configmaps", {"metadata": {"name": "precious"}})
    assert changes(deploy(capsys, "kubernetes", "--remove", "--yes")) == {"is removed", "is given back as it was"}
    assert admin.get(place)["metadata"]["labels"] == before
    again = deploy(capsys, "kubernetes", "--remove", "--yes")
    assert changes(again) == {"is not there", "is not ours, and stays"}, "it was given back"
    assert exists(admin, f"{place}/configmaps/precious")


def test_what_is_somebody_elses_is_not_touched(admin: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a role of the operator's own, overwritten."""
    admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles"
    admin.create(roles, {"metadata": {"name": "comity-node"}, "rules": []})
    told = deploy(capsys, "kubernetes", "--yes", "--out", str(tmp_path / "config"), code=1)
    assert "not ours" in json.dumps(told)
    assert admin.get(f"{roles}/comity-node")["rules"] in ([], None)


def test_the_node_may_do_no_more_than_it_needs(admin: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: whoever steals the node's kubeconfig has the cluster."""
    out = tmp_path / "config"
    deploy(capsys, "argo", "--yes", "--out", str(out))
    node = connect(out)
    try:
        assert node.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"] == []
        for path in (
            "/api/v1/nodes",
            "/api/v1/namespaces",
            "/apis/batch/v1/namespaces/default/jobs",
            f"/api/v1/namespaces/{NAMESPACE}/secrets",
            f"/api/v1/namespaces/{NAMESPACE}/configmaps",
            f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/comity-node",
        ):
            with pytest.raises(Denied, match=r"cannot (get|list)"):
                node.get(path)
        pod = {"metadata": {"name": "own"}, "spec": {"containers": [{"name": "own", "image": "own"}]}}
        with pytest.raises(Denied, match="cannot create"):
            node.create(f"/api/v1/namespaces/{NAMESPACE}/pods", pod)
    finally:
        node.close()


def test_it_is_shown_without_a_cluster(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an operator must let it loose on a cluster to learn what it does."""
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    shown = deploy(capsys, "kubernetes", "--show")
    assert isinstance(shown["manifests"], list)
    assert {each["kind"] for each in shown["manifests"]} >= {"Role", "NetworkPolicy", "ResourceQuota"}
