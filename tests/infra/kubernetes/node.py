"""The node that runs pods: its bridge, containerd with Kubernetes' interface, the kubelet."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.infra import containerd
from tests.infra.images import PAUSE
from tests.infra.kubernetes.authority import Authority
from tests.infra.kubernetes.control import ADDRESS, NODE, SERVER, SERVICES
from tests.infra.machine import run
from tests.infra.place import Place

DEBIAN_PLUGINS = Path("/usr/lib/cni")
PACKAGES = containerd.PACKAGES | {str(DEBIAN_PLUGINS / "bridge"): "containernetworking-plugins"}
PACKAGES |= {"iptables": "iptables", "mount": "mount"}
DAEMONS = ("containerd", "kubelet")
PODS = "10.244.0.0/24"
NO_NETWORK = "no-network"
POD_PROCESSES = 256

# restrict_oom_score_adj: a negative one needs CAP_SYS_RESOURCE, without which runc dies unnamed.
PLUGINS = """
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{state}/cni/bin"
    conf_dir = "{state}/cni/bridge"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{no_network}]
    runtime_type = "io.containerd.runc.v2"
    cni_conf_dir = "{state}/cni/none"
"""


def make_bridge(place: Place) -> None:
    """Make the interface that has the node's address."""
    for words in (
        ("link", "add", NODE, "type", "bridge"),
        ("address", "add", f"{ADDRESS}/24", "dev", NODE),
        ("link", "set", NODE, "up"),
    ):
        run(["ip", "-n", place.mark, *words])


def start_containerd(place: Place, *archives: Path) -> None:
    """Start containerd, whose pods have the network that their RuntimeClass says, with images."""
    _write_networks(place.state / "cni")
    containerd.start(place, PLUGINS.format(pause=PAUSE, state=place.state, no_network=NO_NETWORK))
    containerd.load(place, *archives)


def start_kubelet(place: Place, program: Path, authority: Authority) -> None:
    """Start the kubelet, which makes this a node."""
    pair = authority.issue("kubelet", f"system:node:{NODE}", ["system:nodes"])
    settings = place.state / "kubelet.json"
    settings.write_text(json.dumps(_kubelet(place, authority)))
    flags = {
        "config": settings,
        "kubeconfig": authority.config("kubelet", SERVER, pair),
        "root-dir": place.state / "kubelet",
        "cert-dir": place.state / "kubelet" / "pki",
        "hostname-override": NODE,
        "node-ip": ADDRESS,
    }
    words = [f"--{flag}={value}" for flag, value in flags.items()]
    place.daemons.start("kubelet", place.inside(program, "kubelet", *words))


def _write_networks(folder: Path) -> None:
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for program in DEBIAN_PLUGINS.iterdir():
        (programs / program.name).symlink_to(program)
    shutil.copy(Path(__file__).parent / "no-network", programs)
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "addresses"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": SERVICES}],
    }
    bridge = {"type": "bridge", "bridge": f"{NODE}-pods", "isGateway": True, "ipMasq": False, "ipam": addresses}
    networks: tuple[tuple[str, dict[str, object]], ...] = (("bridge", bridge), ("none", {"type": "no-network"}))
    for name, plugin in networks:
        (folder / name).mkdir()
        network = {"cniVersion": "1.0.0", "name": name, "plugins": [plugin]}
        (folder / name / f"{name}.conflist").write_text(json.dumps(network))


def _kubelet(place: Place, authority: Authority) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{containerd.socket(place)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{place.mark}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxOpenFiles": 20_000,
        "podPidsLimit": POD_PROCESSES,
        "podLogsDir": str(place.state / "pods"),
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "5s",
        # A full disk of the machine is no business of a test's: nothing is evicted or collected for it.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
    }
