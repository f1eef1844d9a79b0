"""Put what is deployed into a cluster by server-side apply, and take exactly that away again."""

from __future__ import annotations

import json
import os
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from catalog.error import BadInput, Conflict, NotFound, Unreachable
from deploy.kubernetes.manifest import LIMITS, NODE, OWNER, Manifest, Room, Value
from node.execute.kubernetes.api import Api, connect

__all__ = [
    "Api",
    "Change",
    "connect",
    "in_force",
    "install",
    "plan",
    "plan_removal",
    "remove",
    "replaced",
    "strangers",
    "write_config",
]

MANAGER: Final = "comity"
"""The name under which the server notes which fields are ours."""

TOKEN_DAYS: Final = 365
_GONE_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.5


class Change(StrEnum):
    """What becomes of an object."""

    MADE = "is made"
    CHANGED = "is changed"
    KEPT = "is there already"
    REMOVED = "is removed"
    RETURNED = "is given back as it was"
    ABSENT = "is not there"
    FOREIGN = "is not ours, and stays"


Step = tuple[Manifest, Change]


def in_force(api: Api, made: Sequence[Manifest], bounds: Collection[str]) -> tuple[Manifest, ...]:
    """``made``, whose quota leaves those ``bounds`` of a room («cpus», «gib») as they are, where there is one of ours.

    Raises:
        Denied, Unreachable: the administrator may not look, or the server does not answer.
    """
    kept = {LIMITS[each] for each in bounds}
    return tuple(_bounded(api, each, kept) if each.kind == "ResourceQuota" else each for each in made)


def _bounded(api: Api, quota: Manifest, kept: Collection[str]) -> Manifest:
    found = _found(api, quota)
    if found is None or not _is_ours(found):
        return quota
    # Word for word: the server may write a quantity otherwise than we did, and an operator may have changed it.
    left = {what: most for what, most in found["spec"]["hard"].items() if what in kept}
    return Manifest(quota.value | {"spec": {"hard": quota.value["spec"]["hard"] | left}})


def plan(api: Api, made: Sequence[Manifest]) -> list[Step]:
    """What :func:`install` would do, as the server says, which changes nothing.

    Raises:
        Conflict: something of that name is there that somebody else manages.
        Denied, Unreachable: the administrator may not, or the server does not answer.
    """
    return [(each, _planned(api, each)) for each in made]


def strangers(api: Api, steps: Sequence[Step]) -> list[str]:
    """The pods, none of ours, that what :func:`plan` said would take the network from.

    Raises:
        Denied, Unreachable: the administrator may not look, or the server does not answer.
    """
    (mark,) = (f"{name}!={value}" for name, value in OWNER.items())
    places = [
        each.value["metadata"]["namespace"]
        for each, change in steps
        if each.kind == "NetworkPolicy" and change is Change.MADE
    ]
    found = [api.get(f"/api/v1/namespaces/{place}/pods", labelSelector=mark)["items"] for place in places]
    return [str(pod["metadata"]["name"]) for pods in found for pod in pods]


def install(api: Api, made: Sequence[Manifest]) -> None:
    """Put all of it there.

    Raises:
        Conflict, Denied, Unreachable: as :func:`plan`.
    """
    for each in made:
        api.apply(each.path, _ours(api, each), MANAGER)


def plan_removal(api: Api, made: Sequence[Manifest]) -> list[Step]:
    """What :func:`remove` would do.

    Raises:
        Denied, Unreachable: the administrator may not look, or the server does not answer.
    """
    return [(each, _removal(_found(api, each), each)) for each in reversed(made)]


def remove(api: Api, steps: Sequence[Step]) -> None:
    """Do what :func:`plan_removal` said, and wait until all of it is gone.

    Raises:
        Denied, Unreachable: the administrator may not, or something does not go, which is named.
    """
    # Nobody makes more steps, and those that run end, before what denies them the network goes.
    for each, change in sorted(steps, key=lambda step: step[0].kind != "RoleBinding"):
        if each.kind == "NetworkPolicy" and change is Change.REMOVED:
            _end_steps(api, each)
        if change is Change.REMOVED:
            api.delete(each.path, "Foreground")
        elif change is Change.RETURNED:
            # Fields that their only manager does not say any more are gone.
            bare = {key: each.value[key] for key in ("apiVersion", "kind")}
            api.apply(each.path, bare | {"metadata": {"name": each.name}}, MANAGER)
    for each, change in steps:
        if change is Change.REMOVED:
            _wait(partial(_is_gone, api, each), f"{each.kind} «{each.name}» is")


def _end_steps(api: Api, policy: Manifest) -> None:
    """End what runs in the namespace of ``policy``, and wait for the last of it."""
    namespace, mark = (
        policy.value["metadata"]["namespace"],
        ",".join(f"{name}={value}" for name, value in OWNER.items()),
    )
    jobs, pods = f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}/pods"
    api.ask("DELETE", jobs, {"propagationPolicy": "Foreground"}, {"labelSelector": mark})
    _wait(lambda: not api.get(pods, labelSelector=mark)["items"], f"the steps in «{namespace}» are")


def _wait(gone: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _GONE_SECONDS
    while not gone():
        if time.monotonic() > deadline:
            raise Unreachable(f"{what} still there after {_GONE_SECONDS:.0f} s; say --remove again")
        time.sleep(_LOOK_SECONDS)


def replaced(api: Api, room: Room, path: Path) -> str:
    """What :func:`write_config` would put another kubeconfig in the place of; an empty string if nothing is lost.

    Raises:
        BadInput: it cannot be read.
    """
    try:
        found = json.loads(path.read_bytes())
        (cluster,), (context,) = found["clusters"], found["contexts"]
        server, namespace = str(cluster["cluster"]["server"]), str(context["context"]["namespace"])
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BadInput(f"{path}, where the node's kubeconfig goes, cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        return "what is no kubeconfig of a node"
    return "" if (server, namespace) == (api.host, room.namespace) else f"the kubeconfig of «{namespace}» at {server}"


def write_config(api: Api, room: Room, path: Path) -> str:
    """A kubeconfig for the node's account, 0600, in place of the one at ``path``; the day on which its token ends.

    Raises:
        BadInput: it cannot be written there.
        Denied, Unreachable: the server gives no token.
    """
    account = f"/api/v1/namespaces/{room.namespace}/serviceaccounts/{NODE}/token"
    asked = {"spec": {"expirationSeconds": TOKEN_DAYS * 24 * 3600}}
    status: Value = api.create(account, asked)["status"]
    value = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "steps", "cluster": _cluster(api)}],
        "users": [{"name": NODE, "user": {"token": status["token"]}}],
        "contexts": [{"name": "steps", "context": {"cluster": "steps", "user": NODE, "namespace": room.namespace}}],
        "current-context": "steps",
    }
    try:
        _write(path, json.dumps(value, indent=1).encode())
    except OSError as error:
        raise BadInput(f"the node's kubeconfig cannot be written to {path}: {error.strerror}") from error
    return str(status["expirationTimestamp"])[:10]


def _write(path: Path, data: bytes) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)


def _cluster(api: Api) -> Value:
    authority = api.settings.ssl_ca_cert
    known = {"certificate-authority-data": b64encode(Path(authority).read_bytes()).decode()} if authority else {}
    return {"server": api.host} | known


def _planned(api: Api, each: Manifest) -> Change:
    before = _found(api, each)
    if before is None:
        return Change.MADE
    if _belongs(before, each):
        raise Conflict(
            f"there is a {each.kind} «{each.name}» in that namespace which is not ours: name another --namespace"
        )
    after = api.apply(each.path, _ours(api, each), MANAGER, dry=True)
    return Change.KEPT if _content(after) == _content(before) else Change.CHANGED


def _belongs(found: Value, each: Manifest) -> bool:
    """Whether an object, which is no namespace, is somebody else's."""
    return each.kind != "Namespace" and not _is_ours(found)


def _ours(api: Api, each: Manifest) -> Value:
    """What is applied: to a namespace that was there before us, without the mark by which it would be removed."""
    if each.kind != "Namespace":
        return each.value
    found = _found(api, each)
    if found is None or _is_ours(found):
        return each.value
    labels = {name: value for name, value in each.value["metadata"]["labels"].items() if name not in OWNER}
    return each.value | {"metadata": {"name": each.name, "labels": labels}}


def _removal(found: Value | None, each: Manifest) -> Change:
    if found is None:
        return Change.ABSENT
    if _is_ours(found):
        return Change.REMOVED
    return Change.RETURNED if each.kind == "Namespace" and _says_some(found) else Change.FOREIGN


def _says_some(found: Value) -> bool:
    """Whether some of what somebody else's object says is what we say."""
    return any(each.get("manager") == MANAGER for each in found["metadata"].get("managedFields", ()))


def _is_ours(found: Value) -> bool:
    labels: Value = found["metadata"].get("labels", {})
    return OWNER.items() <= labels.items()


def _content(value: Value) -> Value:
    """An object without what the server notes of each change."""
    left_out = ("managedFields", "resourceVersion", "generation")
    metadata = {name: each for name, each in value["metadata"].items() if name not in left_out}
    return value | {"metadata": metadata}


def _is_gone(api: Api, each: Manifest) -> bool:
    return _found(api, each) is None


def _found(api: Api, each: Manifest) -> Value | None:
    try:
        return api.get(each.path)
    except NotFound:
        return None
