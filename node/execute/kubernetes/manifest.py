"""The Job of one step: a pod of «restricted» Pod Security that holds a container of ours, and the command within it.

Where inputs and outputs lie in a volume, that is all. Where there is none, a second container, ``side``, is their way
in and out. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.step import Limits

Value = dict[str, Any]

STEP: Final = "step"
"""The container in which the command runs."""

SIDE: Final = "side"
"""The container beside it, without a volume."""

MANAGED: Final = {"app.kubernetes.io/managed-by": "comity"}
NODE_LABEL: Final = "comity.site/node"
"""The label of all that a node makes, by which it finds it again."""

TTL_SECONDS: Final = 600
"""How long a Job that ended stays, if the node does not remove it."""

WAITING_SECONDS: Final = 6 * 3600
"""How long a pod may stand by before the command in it has its turn."""

_SIDE_MODULE: Final = "node.execute.inside.side"
_MIB: Final = 1 << 20
_SLACK: Final = 96 * _MIB
_SIDE_MEMORY: Final = 192 * _MIB
_SIDE_MILLICPUS: Final = 100
_HIDDEN: Final = tuple(
    {"name": "hidden", "mountPath": path, "readOnly": True} for path in ("/sys", "/dev/pts", "/dev/mqueue")
)
"""The machine's hardware, terminals and queues, of which a step has no use."""

_SCRATCH: Final = ({"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 - inside


@dataclass(frozen=True, slots=True)
class Image:
    """The image of a step: its ``name``, whether machines fetch it themselves, and how Python is called in it."""

    name: str
    pulled: bool
    python: tuple[str, ...]

    def calls(self, function: str) -> tuple[str, ...]:
        """The command that calls a function of the module for the container beside a step."""
        return (*self.python, f"from {_SIDE_MODULE} import {function}; {function}()")


@dataclass(frozen=True, slots=True)
class Part:
    """What a step sees at ``target``: a path ``below`` the claim's root, or an empty volume of that name."""

    target: str
    below: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Pattern:
    """What all steps of a site have in common there."""

    owner: str
    user: int
    group: int
    millicpus: int
    claim: str = ""
    runtime_class: str = ""


def memory_of(limits: Limits) -> int:
    """The bytes at which the kernel ends a step's container: its limit, what /tmp and /dev/shm hold, and our own."""
    return limits.memory_bytes + limits.memory_bytes // 2 + limits.memory_bytes // 4 + _SLACK


def job_manifest(
    name: str,
    image: Image,
    commands: Mapping[str, Sequence[str]],
    limits: Limits,
    parts: Sequence[Part],
    pattern: Pattern,
) -> Value:
    """The Job ``name``: a pod with a container for each of ``commands``, the step's with ``limits`` and ``parts``."""
    labels = MANAGED | {NODE_LABEL: pattern.owner}
    pod = _pod(image, commands, limits, parts, pattern)
    spec = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _pod(
    image: Image,
    commands: Mapping[str, Sequence[str]],
    limits: Limits,
    parts: Sequence[Part],
    pattern: Pattern,
) -> Value:
    mounts = [_mount(part, pattern) for part in parts]
    step = _container(STEP, image, commands[STEP], pattern.millicpus, memory_of(limits))
    containers = [step | {"volumeMounts": [*_SCRATCH, *_HIDDEN, *mounts]}]
    if SIDE in commands:
        side = _container(SIDE, image, commands[SIDE], _SIDE_MILLICPUS, _SIDE_MEMORY)
        containers.append(side | {"volumeMounts": [each | {"readOnly": False} for each in mounts]})
    pod: Value = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(limits.wall_seconds) + WAITING_SECONDS,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostname": STEP,
        # Else it would be told the resolver of the machine that it runs on, and that one's domain.
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pattern.user,
            "runAsGroup": pattern.group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": _volumes(limits, parts, pattern),
    }
    return pod | ({"runtimeClassName": pattern.runtime_class} if pattern.runtime_class else {})


def _container(name: str, image: Image, command: Sequence[str], millicpus: int, memory: int) -> Value:
    amounts = {"cpu": f"{millicpus}m", "memory": str(memory)}
    return {
        "name": name,
        "image": image.name,
        "imagePullPolicy": "IfNotPresent" if image.pulled else "Never",
        "command": list(command),
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _mount(part: Part, pattern: Pattern) -> Value:
    volume = {"name": "staging"} if pattern.claim else {"name": part.below}
    place = {"subPath": part.below} if pattern.claim else {}
    return {"mountPath": part.target, "readOnly": not part.writable} | volume | place


def _volumes(limits: Limits, parts: Sequence[Part], pattern: Pattern) -> list[Value]:
    memory = limits.memory_bytes
    volumes: list[Value] = [_empty("tmp", memory // 2, "Memory"), _empty("shm", memory // 4, "Memory")]
    volumes.append(_empty("hidden", 0, ""))
    if pattern.claim:
        return [*volumes, {"name": "staging", "persistentVolumeClaim": {"claimName": pattern.claim}}]
    for part in parts:
        most = (limits.output_bytes + _SLACK) if part.writable else 0
        volumes.append(_empty(part.below, most, ""))
    return volumes


def _empty(name: str, most: int, medium: str) -> Value:
    bounds = ({"sizeLimit": str(most)} if most else {}) | ({"medium": medium} if medium else {})
    return {"name": name, "emptyDir": bounds}
