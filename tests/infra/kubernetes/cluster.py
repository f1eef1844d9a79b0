"""A cluster of one node, in a network namespace of its own, that this machine reaches at a port of loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3
from kubernetes import client, config

from tests.infra import containerd, images, session
from tests.infra.forward import forward
from tests.infra.kubernetes import build, control, node
from tests.infra.kubernetes.authority import Authority
from tests.infra.kubernetes.control import Control
from tests.infra.machine import need_programs, need_rights
from tests.infra.place import Place

PLACE = Place("kubernetes")
DAEMONS = (*control.DAEMONS, *node.DAEMONS, "forward")
ANSWER_SECONDS = 60
NODE_SECONDS = 90


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs: where it is, and how its administrator is known there."""

    place: Place
    kubeconfig: Path

    @property
    def keys(self) -> Path:
        """The folder of its keys, certificates and kubeconfigs."""
        return self.place.state / "keys"

    def client(self) -> client.ApiClient:
        """A client for the administrator; to be closed."""
        settings = client.Configuration()
        config.load_kube_config(str(self.kubeconfig), client_configuration=settings)
        settings.retries = False
        return client.ApiClient(settings)


@contextmanager
def running() -> Iterator[Cluster]:
    """A cluster for a block; it has the images of busybox and Python, and the RuntimeClass ``no-network``."""
    with session.running(PLACE, up, down) as cluster:
        yield cluster


def up() -> Cluster:
    """Start it if it does not run.

    Raises:
        RefusedError: this machine lacks something, which is named, or it does not start.
    """
    need_rights()
    need_programs(node.PACKAGES)
    program = build.program()
    archives = images.pause(), images.busybox(), images.python()
    cluster = Cluster(PLACE, PLACE.state / "keys" / "admin.config")
    if not _ready():
        down()
        PLACE.make()
        _start(cluster, program, *archives)
        (PLACE.state / "ready").touch()
    return cluster


def down() -> None:
    """End it with its pods, and remove all that it left."""
    daemons = PLACE.daemons
    # Whatever starts containers goes first, and containerd last, which the shims tell of their end.
    daemons.stop(*(name for name in daemons.names() if name != "containerd"))
    containerd.end_containers(PLACE)
    daemons.stop("containerd")
    PLACE.remove()


def _start(cluster: Cluster, program: Path, *archives: Path) -> None:
    authority = Authority(PLACE.state / "keys")
    plane = Control(PLACE, program, authority)
    node.make_bridge(PLACE)
    port = forward(PLACE, control.ADDRESS, control.PORT)
    admin = authority.issue("admin", "admin", ["system:masters"])
    authority.config("admin", f"https://127.0.0.1:{port}", admin)
    plane.start_api()
    node.start_containerd(PLACE, *archives)
    with cluster.client() as api:
        PLACE.daemons.wait(ANSWER_SECONDS, "the API server", lambda: _answers(api))
        plane.start_controllers()
        node.start_kubelet(PLACE, program, authority)
        _create_runtime(api)
        PLACE.daemons.wait(NODE_SECONDS, "the node", lambda: _usable(api))


def _ready() -> bool:
    return (PLACE.state / "ready").exists() and all(PLACE.daemons.runs(name) for name in DAEMONS)


def _answers(api: client.ApiClient) -> bool:
    try:
        client.CoreV1Api(api).read_namespace("default")
    except (urllib3.exceptions.HTTPError, client.ApiException):
        return False
    return True


def _usable(api: client.ApiClient) -> bool:
    """Whether the node takes pods, and they have an account to run as."""
    core = client.CoreV1Api(api)
    accounts = [account.metadata.name for account in core.list_namespaced_service_account("default").items]
    states = [state for each in core.list_node().items for state in each.status.conditions or []]
    return "default" in accounts and any(state.type == "Ready" and state.status == "True" for state in states)


def _create_runtime(api: client.ApiClient) -> None:
    name = node.NO_NETWORK
    kind = client.V1RuntimeClass(handler=name, metadata=client.V1ObjectMeta(name=name))
    client.NodeV1Api(api).create_runtime_class(kind)
