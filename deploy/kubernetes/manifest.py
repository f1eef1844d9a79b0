"""What is put into a cluster, read from the commented files beside this one and placed in a namespace.

No effects but reading those files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from ruamel.yaml import YAML

from catalog.error import BadInput

Value = dict[str, Any]
"""An object of Kubernetes, as JSON has it."""

NODE: Final = "comity-node"
"""The account of the node."""

OWNER: Final = {"app.kubernetes.io/managed-by": "comity"}
"""The label of what is ours: what has it is removed again."""

LIMITS: Final = {"cpus": "limits.cpu", "gib": "limits.memory"}
"""What a quota calls each bound of a :class:`Room`."""

_CLUSTERS_OWN: Final = re.compile(r"default|kube-.*")
"""Namespaces of Kubernetes itself, which keeps the names in ``kube-`` for its own."""
_PARTS: Final = {"kubernetes": ("kubernetes",), "argo": ("kubernetes", "argo")}
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_GROUPS: Final = {
    "Namespace": ("/api/v1", "namespaces"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "ResourceQuota": ("/api/v1", "resourcequotas"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
}


@dataclass(frozen=True, slots=True)
class Room:
    """What an operator gives to all steps together: ``cpus``, and ``gib`` of memory, in ``namespace``."""

    namespace: str = "comity"
    cpus: int = 16
    gib: int = 64

    def __post_init__(self) -> None:
        """Raises:
        BadInput: no name of a namespace (RFC 1123's labels), or nothing is given.
        """
        if not _NAME.fullmatch(self.namespace):
            raise BadInput(f"«{self.namespace}» is no name of a namespace: small letters, digits and hyphens")
        if min(self.cpus, self.gib) < 1:
            raise BadInput("steps need at least one CPU and one GiB")

    def check_free(self) -> None:
        """Check that the namespace is none of the cluster's own: what else runs there would have no network.

        Raises:
            BadInput: it is.
        """
        if _CLUSTERS_OWN.fullmatch(self.namespace):
            raise BadInput(f"«{self.namespace}» is a namespace of the cluster's own: name another --namespace")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object and where it lies in the API."""

    value: Value

    @property
    def kind(self) -> str:
        """Its kind, such as ``Role``."""
        return str(self.value["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.value["metadata"]["name"])

    @property
    def path(self) -> str:
        """Its path below the API server's address."""
        group, plural = _GROUPS[self.kind]
        namespace = self.value["metadata"].get("namespace")
        return f"{group}/namespaces/{namespace}/{plural}/{self.name}" if namespace else f"{group}/{plural}/{self.name}"


def manifests(kind: str, room: Room) -> tuple[Manifest, ...]:
    """What ``kind`` of runner («kubernetes», «argo») needs, in the order in which it is made.

    Raises:
        BadInput: no such kind.
    """
    if kind not in _PARTS:
        raise BadInput(f"«{kind}» is not deployed by this: kubernetes and argo are")
    values = [value for part in _PARTS[kind] for value in _read(part)]
    return tuple(Manifest(_placed(value, room)) for value in values)


def document(made: Sequence[Manifest]) -> str:
    """All of ``made`` as YAML."""
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = False, 4096, False  # type: ignore[assignment]
    yaml.dump_all([each.value for each in made], out)
    return out.getvalue()


def _read(part: str) -> list[Value]:
    text = files(__package__).joinpath(f"{part}.yaml").read_text(encoding="utf-8")
    return list(YAML(typ="safe", pure=True).load_all(text))


def _placed(value: Value, room: Room) -> Value:
    """``value`` in the namespace of ``room``, with its label, its subjects and its limits."""
    metadata: Value = value["metadata"]
    placed = value | {"metadata": metadata | {"labels": metadata.get("labels", {}) | OWNER}}
    if value["kind"] == "Namespace":
        placed["metadata"]["name"] = room.namespace
        return placed
    placed["metadata"]["namespace"] = room.namespace
    if "subjects" in value:
        placed["subjects"] = [each | {"namespace": room.namespace} for each in value["subjects"]]
    if value["kind"] == "ResourceQuota":
        hard: Mapping[str, str] = value["spec"]["hard"]
        bounds = {LIMITS["cpus"]: str(room.cpus), LIMITS["gib"]: f"{room.gib}Gi"}
        placed["spec"] = {"hard": {**hard, **bounds}}
    return placed
