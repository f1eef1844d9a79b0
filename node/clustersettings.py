"""What ``site.toml`` says of the cluster in which steps run: the section ``[kubernetes]``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from catalog.error import BadInput
from node.sections import section_of

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PLACE: Final = re.compile(r"[a-z0-9]([a-z0-9.:_/-]{0,198}[a-z0-9])?")
_PATHS: Final = ("config", "containerd", "registry_login")
_NAMES: Final = ("namespace", "claim", "runtime_class")
_NUMBERS: Final = ("millicpus", "patience_seconds")
_EXAMPLE: Final = """\
# [kubernetes]
# config = "/srv/comity/kubeconfig"           # who the node is there; without it, it runs in the cluster itself
# namespace = "comity"
# registry = "registry.anna.example/comity"   # where images of environments are put, and the cluster gets them
# registry_login = "/srv/comity/registry"     # a file of mode 0600 with «user:password», if the registry wants them
# containerd = "/run/containerd/containerd.sock"   # instead, for a cluster of this machine alone
# claim = "staging"                           # a volume that lies here at [steps] staging; else data go over the API
# runtime_class = "no-network"                # how pods are made
"""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where in a cluster steps run, and how what they need gets there.

    ``config`` is the kubeconfig of this node, none if it runs in the cluster itself. ``claim`` is a volume whose
    content lies at ``[steps] staging`` on this machine; without one, inputs and outputs go through a container beside
    the step. ``runtime_class`` is how the cluster makes pods. Images go to the ``containerd`` whose socket that is, of
    a cluster of one machine, or to the ``registry`` from which the cluster pulls, as who the file ``registry_login``
    says. A step gets ``millicpus``, and is waited for ``patience_seconds`` where there is no room for it.
    """

    namespace: str = "comity"
    config: Path | None = None
    claim: str = ""
    runtime_class: str = ""
    containerd: Path | None = None
    registry: str = ""
    millicpus: int = 1000
    patience_seconds: int = 600
    registry_login: Path | None = None


def cluster_settings(table: Mapping[str, object]) -> ClusterSettings:
    """The section ``[kubernetes]`` of a file's ``table``; what it does not say is as it is without.

    Raises:
        BadInput: a setting is none, or of no known name; the message names it.
    """
    read = {name: _setting(name, value) for name, value in section_of(table, "kubernetes", ClusterSettings).items()}
    if read.get("containerd") and read.get("registry"):
        raise BadInput("[kubernetes] containerd and registry are two ways for images: name one")
    if read.get("registry_login") and not read.get("registry"):
        raise BadInput("[kubernetes] registry_login is for a registry, and none is named: name it in registry")
    return ClusterSettings(**read)  # type: ignore[arg-type]  # each was looked at by its name


def cluster_toml(settings: ClusterSettings) -> str:
    """The commented section."""
    text = """\
# The cluster that steps run in, if [steps] runner is "kubernetes" or "argo"; «comity site deploy» makes it ready.
"""
    if settings == ClusterSettings():
        return text + _EXAMPLE
    lines = [
        f"{each.name} = {json.dumps(value if isinstance(value, int) else str(value))}"
        for each in fields(settings)
        if (value := getattr(settings, each.name)) != each.default
    ]
    return text + "\n".join(["[kubernetes]", *lines, ""])


def _setting(name: str, value: object) -> str | int | Path:
    if name in _NUMBERS:
        if type(value) is not int or not 1 <= value < 1 << 20:
            raise BadInput(f"[kubernetes] {name} must be a whole number of at least 1")
        return value
    if not isinstance(value, str) or not value:
        raise BadInput(f"[kubernetes] {name} must be text")
    if name in _PATHS:
        if not value.startswith("/") or "\0" in value:
            raise BadInput(f"[kubernetes] {name} must be a whole path")
        return Path(value)
    if not (_NAME if name in _NAMES else _PLACE).fullmatch(value):
        raise BadInput(f"[kubernetes] {name} is none that Kubernetes takes: «{value}»")
    return value
