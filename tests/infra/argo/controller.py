"""Argo's controller, as a process beside the cluster's own, that knows the API server by its account's token."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kubernetes import client
from kubernetes.dynamic import DynamicClient

from tests.infra import containerd
from tests.infra.argo import build, manifests
from tests.infra.argo.manifests import Manifest
from tests.infra.kubernetes.authority import AUTHORITY, write_config
from tests.infra.kubernetes.cluster import Cluster
from tests.infra.kubernetes.control import SERVER
from tests.infra.machine import RefusedError, run

DAEMON = "argo"
HEALTH = "http://127.0.0.1:6060/healthz"
TOKEN_SECONDS = 7 * 24 * 3600
READY_SECONDS = 60
# Of the interval after which it looks at a workflow again, ten seconds, every step would take most.
SETTINGS = {"DEFAULT_REQUEUE_TIME": "1s", "LEADER_ELECTION_DISABLE": "true"}


@contextmanager
def running(cluster: Cluster) -> Iterator[str]:
    """Argo on a cluster, for a block: the account (``serviceAccountName``) that workflows run as."""
    before = cluster.place.daemons.runs(DAEMON)
    try:
        yield up(cluster)
    finally:
        if not before:
            down(cluster)


@contextmanager
def away(cluster: Cluster) -> Iterator[None]:
    """No Argo on a cluster, for a block in which its API server ends.

    Its controller (4.0.2) would ask for its settings again and again from then on, without a pause, on a whole
    processor, and write each time into its log: gigabytes a minute.
    """
    before = cluster.place.daemons.runs(DAEMON)
    down(cluster)
    try:
        yield
    finally:
        if before:
            up(cluster)


def up(cluster: Cluster) -> str:
    """Start it if it does not run; the account of workflows.

    Raises:
        RefusedError: this machine lacks something, which is named, or it does not start.
    """
    parts = build.parts()
    if not cluster.place.daemons.runs(DAEMON):
        containerd.load(cluster.place, parts / "argoexec.tar")
        with cluster.client() as api:
            _apply(api, manifests.first())
            _apply(api, [*manifests.of_argo(parts), *manifests.of_ours()])
            _wait_for_kinds(cluster, api)
            settings = SETTINGS | {"KUBECONFIG": _config(cluster, api)}
        flags = ["--executor-image", build.IMAGE, "--executor-image-pull-policy", "Never"]
        command = cluster.place.inside(parts / "workflow-controller", *flags)
        cluster.place.daemons.start(DAEMON, command, settings)
        cluster.place.daemons.wait(READY_SECONDS, "Argo's controller", lambda: _healthy(cluster))
    return manifests.EXECUTOR


def down(cluster: Cluster) -> None:
    """End the controller; what is in the cluster stays as long as that."""
    cluster.place.daemons.stop(DAEMON)


def let_run(cluster: Cluster, namespace: str) -> str:
    """Let workflows with pods of Argo's own run in ``namespace`` too; the account that they are."""
    with cluster.client() as api:
        _apply(api, manifests.of_workflows(namespace))
    return manifests.EXECUTOR


def _apply(api: client.ApiClient, values: Sequence[Manifest]) -> None:
    """By the server: the client's way would keep each twice, for which the largest is too large."""
    dynamic = DynamicClient(api)
    for value in values:
        resource = dynamic.resources.get(api_version=value["apiVersion"], kind=value["kind"])
        resource.server_side_apply(body=value, field_manager="comity-infra", force_conflicts=True)


def _wait_for_kinds(cluster: Cluster, api: client.ApiClient) -> None:
    """Wait until the API server serves Argo's resources."""
    extensions = client.ApiextensionsV1Api(api)

    def served() -> bool:
        kinds = [
            kind for kind in extensions.list_custom_resource_definition().items if kind.spec.group == "argoproj.io"
        ]
        states = [{state.type: state.status for state in kind.status.conditions or []} for kind in kinds]
        return bool(states) and all(state.get("Established") == "True" for state in states)

    cluster.place.daemons.wait(READY_SECONDS, "Argo's resources", served)


def _config(cluster: Cluster, api: client.ApiClient) -> str:
    request = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=TOKEN_SECONDS)
    )
    given = client.CoreV1Api(api).create_namespaced_service_account_token(
        manifests.ACCOUNT, manifests.NAMESPACE, request
    )
    path, authority = cluster.keys / "argo.config", cluster.keys / AUTHORITY
    return str(write_config(path, SERVER, authority, {"token": given.status.token}, manifests.NAMESPACE))


def _healthy(cluster: Cluster) -> bool:
    asks = f"import urllib.request; urllib.request.urlopen({HEALTH!r}, timeout=5)"
    try:
        run(cluster.place.inside(sys.executable, "-c", asks))
    except RefusedError:
        return False
    return True
