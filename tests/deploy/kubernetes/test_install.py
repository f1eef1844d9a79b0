"""What is found in a cluster before anything is put there; in a real one: ``tests/runners/test_deploy.py``."""

from __future__ import annotations

from typing import Any

from catalog.error import NotFound
from deploy.kubernetes.install import plan, strangers
from deploy.kubernetes.manifest import Room, manifests

PLACE = "/api/v1/namespaces/place"
MADE = manifests("kubernetes", Room("place"))


class Answers:
    """An API server that has the objects ``found``, by their paths, and takes every change."""

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
