"""The control plane: etcd, API server, controllers, scheduler."""

from __future__ import annotations

from pathlib import Path

from tests.infra.kubernetes.authority import Authority, Pair
from tests.infra.place import Place

NODE = "comity"
# The node's address is the first of the services', so that pods reach the API without a kube-proxy.
ADDRESS = "10.254.0.1"
SERVICES = "10.254.0.0/24"
PORT = 443
ETCD = "http://127.0.0.1:2379"
PEERS = "http://127.0.0.1:2380"
DAEMONS = ("etcd", "apiserver", "controller-manager", "scheduler")
HOSTS = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", ADDRESS, "127.0.0.1")
SERVER = f"https://{ADDRESS}"


class Control:
    """The control plane of a place, of one program and one authority."""

    def __init__(self, place: Place, program: Path, authority: Authority) -> None:
        self._place = place
        self._program = program
        self._authority = authority
        self._accounts = authority.key("accounts")

    def start_api(self) -> None:
        """Start etcd and the API server; both wait for one another."""
        self._start("etcd", self._etcd())
        self._start("apiserver", self._api(self._authority.issue("apiserver", "kube-apiserver", hosts=HOSTS)))

    def start_controllers(self) -> None:
        """Start controllers and scheduler, which want an API server that answers."""
        for name, flags in (("controller-manager", self._controllers()), ("scheduler", {})):
            pair = self._authority.issue(name, f"system:kube-{name}")
            common: dict[str, str | Path] = {
                "kubeconfig": self._authority.config(name, SERVER, pair),
                "leader-elect": "false",
                "bind-address": "127.0.0.1",
            }
            self._start(name, common | flags)

    def _start(self, name: str, flags: dict[str, str | Path]) -> None:
        words = [f"--{flag}={value}" for flag, value in flags.items()]
        self._place.daemons.start(name, self._place.inside(self._program, name, *words))

    def _etcd(self) -> dict[str, str | Path]:
        # Unsynced: what a test stores need not outlive the machine.
        return {
            "name": NODE,
            "data-dir": self._place.state / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": ETCD,
            "advertise-client-urls": ETCD,
            "listen-peer-urls": PEERS,
            "initial-advertise-peer-urls": PEERS,
            "initial-cluster": f"{NODE}={PEERS}",
        }

    def _api(self, server: Pair) -> dict[str, str | Path]:
        asks_kubelet = self._authority.issue("kubelet-client", "kube-apiserver-kubelet-client", ["system:masters"])
        return {
            "etcd-servers": ETCD,
            "bind-address": ADDRESS,
            "advertise-address": ADDRESS,
            "secure-port": str(PORT),
            "service-cluster-ip-range": SERVICES,
            "tls-cert-file": server.certificate,
            "tls-private-key-file": server.key,
            "client-ca-file": self._authority.certificate,
            "authorization-mode": "Node,RBAC",
            "anonymous-auth": "false",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": self._accounts,
            "service-account-signing-key-file": self._accounts,
            "kubelet-client-certificate": asks_kubelet.certificate,
            "kubelet-client-key": asks_kubelet.key,
            "kubelet-preferred-address-types": "InternalIP",
            "enable-admission-plugins": "NodeRestriction",
        }

    def _controllers(self) -> dict[str, str | Path]:
        return {
            "use-service-account-credentials": "true",
            "root-ca-file": self._authority.certificate,
            "service-account-private-key-file": self._accounts,
        }
