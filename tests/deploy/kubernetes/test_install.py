"""What is found in a cluster before anything is put there; in a real one: ``tests/runners/test_deploy.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.error import NotFound
from deploy.kubernetes.install import Change, in_force, plan, plan_removal, replaced, strangers
from deploy.kubernetes.manifest import Room, manifests

PLACE = "/api/v1/namespaces/place"
MADE = manifests("kubernetes", Room("place"))


class Answers:
    """An API server that has the objects ``found``, by their paths, and takes every change."""

    host = "https://cluster.example"

    def __init__(self, found: dict[str, dict[str, Any]]) -> None:
        self._found = found

    def get(self, path: str, **query: str) -> dict[str, Any]:
        assert query in ({}, {"labelSelector": "app.kubernetes.io/managed-by!=comity"})
        if path not in self._found:
            raise NotFound(path)
        return self._found[path]

    def apply(self, _path: str, value: dict[str, Any], _manager: str, *, dry: bool) -> dict[str, Any]:
        assert dry
        return value


def cluster(**objects: dict[str, Any]) -> Any:
    """A cluster whose namespace holds two pods of somebody's, and ``objects`` by their kinds."""
    pods = {"items": [{"metadata": {"name": name}} for name in ("web", "queue")]}
    paths = {each.kind: each.path for each in MADE}
    return Answers({f"{PLACE}/pods": pods} | {paths[kind]: value for kind, value in objects.items()})


def test_pods_of_others_are_found_before_their_network_is_taken() -> None:
    """Lost: what an operator runs in a namespace, cut off by a command that said nothing of it."""
    api = cluster(Namespace={"metadata": {"name": "place"}})
    assert strangers(api, plan(api, MADE)) == ["web", "queue"]


def test_pods_beside_what_is_deployed_already_lose_nothing() -> None:
    """Lost: the node's token, which is not renewed by itself because somebody looks around in a pod there."""
    api = cluster(**{each.kind: each.value for each in MADE})
    assert strangers(api, plan(api, MADE)) == []


@pytest.mark.parametrize(
    ("kept", "hard"),
    [
        ({"cpus", "gib"}, ("2500m", "1Ti")),
        ({"gib"}, ("16", "1Ti")),
        ({"cpus"}, ("2500m", "64Gi")),
        (set(), ("16", "64Gi")),
    ],
)
def test_what_is_not_said_stays_in_force(kept: set[str], hard: tuple[str, str]) -> None:
    """Lost: the bounds of all steps, widened by whoever renews the token and names them not again."""
    (quota,) = [each.value for each in MADE if each.kind == "ResourceQuota"]
    there = quota | {"spec": {"hard": {"limits.cpu": "2500m", "limits.memory": "1Ti", "pods": "7"}}}
    (found,) = [
        each.value["spec"]["hard"]
        for each in in_force(cluster(ResourceQuota=there), MADE, kept)
        if each.kind == "ResourceQuota"
    ]
    assert (found["limits.cpu"], found["limits.memory"], found["pods"]) == (*hard, "200")


def test_where_nothing_is_in_force_the_defaults_are() -> None:
    """Lost: a quota of somebody else's, taken for what this operator gave."""
    foreign = {"metadata": {"labels": {}}, "spec": {"hard": {"limits.cpu": "1"}}}
    for api in (cluster(), cluster(ResourceQuota=foreign)):
        assert in_force(api, MADE, {"cpus", "gib"}) == MADE


def test_a_namespace_in_which_we_say_nothing_is_not_given_back() -> None:
    """Lost: an operator who misspelt the namespace, and believes that all is taken away."""
    theirs: dict[str, Any] = {"metadata": {"name": "place", "managedFields": [{"manager": "kubectl"}]}}
    assert {change for _, change in plan_removal(cluster(Namespace=theirs), MADE)} == {Change.ABSENT, Change.FOREIGN}
    theirs["metadata"]["managedFields"] += [{"manager": "comity"}]
    assert {change for _, change in plan_removal(cluster(Namespace=theirs), MADE)} == {Change.ABSENT, Change.RETURNED}


def test_whose_kubeconfig_would_be_replaced_is_told(tmp_path: Path) -> None:
    """Lost: the kubeconfig of a node that runs, or an administrator's own, by one option."""
    file, room = tmp_path / "kubeconfig", Room("place")
    assert replaced(cluster(), room, file) == ""
    for server, namespace, told in (
        ("https://cluster.example", "place", ""),
        ("https://cluster.example", "first", "the kubeconfig of «first» at https://cluster.example"),
        ("https://other.example", "place", "the kubeconfig of «place» at https://other.example"),
    ):
        clusters, contexts = [{"cluster": {"server": server}}], [{"context": {"namespace": namespace}}]
        file.write_text(json.dumps({"clusters": clusters, "contexts": contexts}))
        assert replaced(cluster(), room, file) == told
    for other in ("", "apiVersion: v1\nclusters: []", "[]", '{"clusters": [], "contexts": []}'):
        file.write_text(other)
        assert replaced(cluster(), room, file) == "what is no kubeconfig of a node"
