"""What is in the cluster for Argo, beside its own manifests: namespaces, accounts, settings."""

from __future__ import annotations

import json
from pathlib import Path

from tests.infra.argo.build import USER

NAMESPACE = "argo"
ACCOUNT = "argo"
# Where workflows run, and as whom: the executor reports its results, and makes jobs, which can be without network.
WORKFLOWS = "default"
EXECUTOR = "workflow-executor"
RIGHTS = "rbac.authorization.k8s.io"
NAMESPACED = ("Role", "RoleBinding")

Manifest = dict[str, object]


def first() -> list[Manifest]:
    """What others lie in."""
    return [_manifest("v1", "Namespace", NAMESPACE)]


def of_argo(parts: Path) -> list[Manifest]:
    """Its own: definitions of its resources, its controller's rights."""
    values: list[Manifest] = json.loads((parts / "manifests.json").read_text())
    return [_placed(value) for value in values]


def of_ours() -> list[Manifest]:
    """The controller's account and settings; the account of workflows."""
    return [
        _manifest("v1", "ServiceAccount", ACCOUNT, NAMESPACE),
        _manifest("v1", "ConfigMap", "workflow-controller-configmap", NAMESPACE) | {"data": _settings()},
        *of_workflows(WORKFLOWS),
    ]


def of_workflows(namespace: str) -> list[Manifest]:
    """The account of workflows in a namespace, whose pods are Argo's own."""
    reports = {"apiGroups": ["argoproj.io"], "resources": ["workflowtaskresults"], "verbs": ["create", "patch"]}
    makes_jobs = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}
    token_of = {"kubernetes.io/service-account.name": EXECUTOR}
    secret = _manifest("v1", "Secret", f"{EXECUTOR}.service-account-token", namespace, annotations=token_of)
    binding = _manifest(f"{RIGHTS}/v1", "RoleBinding", EXECUTOR, namespace)
    return [
        _manifest("v1", "ServiceAccount", EXECUTOR, namespace),
        secret | {"type": "kubernetes.io/service-account-token"},
        _manifest(f"{RIGHTS}/v1", "Role", EXECUTOR, namespace) | {"rules": [reports, makes_jobs]},
        binding
        | {
            "roleRef": {"apiGroup": RIGHTS, "kind": "Role", "name": EXECUTOR},
            "subjects": [{"kind": "ServiceAccount", "name": EXECUTOR, "namespace": namespace}],
        },
    ]


def _settings() -> dict[str, str]:
    """Values are YAML, of which JSON is a part.

    The root of its containers is not read-only: the first of a pod puts a template's manifest into /tmp there.
    """
    executor = {
        "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    off = json.dumps({"enabled": False})
    return {"executor": json.dumps(executor), "metricsConfig": off, "telemetryConfig": off}


def _manifest(version: str, kind: str, name: str, namespace: str = "", **more: object) -> Manifest:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _placed(value: Manifest) -> Manifest:
    """With the controller's namespace, which its manifests leave to whoever installs them."""
    metadata, subjects = value["metadata"], value.get("subjects", [])
    assert isinstance(metadata, dict)
    assert isinstance(subjects, list)
    where = {"namespace": NAMESPACE}
    placed = value | ({"metadata": metadata | where} if value["kind"] in NAMESPACED else {})
    return placed | ({"subjects": [subject | where for subject in subjects]} if subjects else {})
