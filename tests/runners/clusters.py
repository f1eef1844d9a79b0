"""A real cluster as an operator makes it ready, by our command's own means: the node has no more rights than that."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.kubernetes.install import install, plan_removal, remove, write_config
from deploy.kubernetes.manifest import Manifest, Room, manifests
from node.clustersettings import ClusterSettings
from node.execute.kubernetes.api import Api, connect
from tests.infra.containerd import socket
from tests.infra.kubernetes.cluster import Cluster
from tests.infra.kubernetes.node import NO_NETWORK

CLAIM = "staging"


@dataclass(frozen=True)
class Ready:
    """A cluster with a namespace for steps, the node's kubeconfig, and a folder whose content is the volume's."""

    cluster: Cluster
    admin: Api
    room: Room
    config: Path
    volume: Path

    def settings(self, **more: object) -> ClusterSettings:
        """The node's, with a runtime whose pods have no network."""
        usual: dict[str, object] = {
            "namespace": self.room.namespace,
            "config": self.config,
            "runtime_class": NO_NETWORK,
            "containerd": socket(self.cluster.place),
            "millicpus": 200,
            "patience_seconds": 300,
        }
        return ClusterSettings(**(usual | more))  # type: ignore[arg-type]


@contextmanager
def ready(cluster: Cluster, kind: str = "kubernetes", name: str = "") -> Iterator[Ready]:
    """A namespace of it for a block, by ``name`` or of this worker's own; nothing of ours is left there."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    room = Room(f"comity-{kind}-{name or worker}", cpus=64, gib=512)
    folder = Path(tempfile.mkdtemp(prefix="comity-volume-"))
    folder.chmod(0o755)
    admin = connect(cluster.kubeconfig)
    made = manifests(kind, room)
    _take_away(admin, made, room)  # what a run that was killed left in a cluster that stays
    try:
        install(admin, made)
        _make_volume(admin, room, folder)
        write_config(admin, room, folder / "kubeconfig")
        yield Ready(cluster, admin, room, folder / "kubeconfig", folder)
    finally:
        _take_away(admin, made, room)
        admin.close()
        shutil.rmtree(folder)


def _take_away(admin: Api, made: Sequence[Manifest], room: Room) -> None:
    remove(admin, plan_removal(admin, made))
    admin.delete(f"/api/v1/persistentvolumes/{room.namespace}")


def _make_volume(admin: Api, room: Room, folder: Path) -> None:
    """What an operator does, with a file server in the place of this machine's own folder."""
    much = {"storage": "100Gi"}
    common = {"accessModes": ["ReadWriteMany"], "storageClassName": "here"}
    claimed = {"claimRef": {"namespace": room.namespace, "name": CLAIM}}
    place = {"capacity": much, "hostPath": {"path": str(folder)}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": room.namespace}}
    admin.create("/api/v1/persistentvolumes", volume | {"spec": common | claimed | place})
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}}
    asked = {"resources": {"requests": much}, "volumeName": room.namespace}
    admin.create(f"/api/v1/namespaces/{room.namespace}/persistentvolumeclaims", claim | {"spec": common | asked})
