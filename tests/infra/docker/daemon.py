"""A Docker daemon in a network namespace of its own, on a Unix socket, with a containerd of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.infra import containerd, images, session
from tests.infra.machine import RefusedError, need_programs, need_rights, run
from tests.infra.place import Place

PACKAGES = containerd.PACKAGES | {"dockerd": "docker.io", "docker-init": "tini", "iptables": "iptables"}
PLACE = Place("docker")
DAEMONS = ("containerd", "dockerd")
BRIDGE = "10.253.0.1/24"
READY_SECONDS = 60


@contextmanager
def running() -> Iterator[str]:
    """Its address (``DOCKER_HOST``), for a block; it has the images of busybox and Python."""
    with session.running(PLACE, up, down) as address:
        yield address


def up() -> str:
    """Start it if it does not run; its address.

    Raises:
        RefusedError: this machine lacks something, which is named, or it does not start.
    """
    need_rights()
    need_programs(PACKAGES)
    archives = images.busybox(), images.python()
    address = f"unix://{PLACE.sockets}/docker.sock"
    if not _ready(address):
        down()
        PLACE.make()
        containerd.start(PLACE, "", "io.containerd.grpc.v1.cri")
        start_again()
        for archive in archives:
            run(["docker", "--host", address, "load", "--quiet", "--input", archive])
        (PLACE.state / "ready").touch()
    return address


def start_again() -> None:
    """Start the daemon itself, which was ended alone: it finds its containers and images as they were.

    Raises:
        RefusedError: it does not start.
    """
    address = f"unix://{PLACE.sockets}/docker.sock"
    PLACE.daemons.start("dockerd", PLACE.inside("dockerd", *_flags(address)))
    PLACE.daemons.wait(READY_SECONDS, "Docker", lambda: _answers(address))


def stop() -> None:
    """End the daemon itself, as a crash does: its containers go on."""
    PLACE.daemons.kill("dockerd")


def down() -> None:
    """End it with its containers, and remove all that it left."""
    PLACE.daemons.stop("dockerd")
    containerd.end_containers(PLACE)
    PLACE.daemons.stop("containerd")
    PLACE.remove()


def _ready(address: str) -> bool:
    all_run = all(PLACE.daemons.runs(name) for name in DAEMONS)
    return all_run and (PLACE.state / "ready").exists() and _answers(address)


def _answers(address: str) -> bool:
    try:
        run(["docker", "--host", address, "version"])
    except RefusedError:
        return False
    return True


def _flags(address: str) -> list[str]:
    """Flags that leave the machine's packet filter and routing alone, and ask for no right that is not needed."""
    settings = {
        "host": address,
        "containerd": containerd.socket(PLACE),
        "data-root": PLACE.state / "data",
        "exec-root": PLACE.sockets / "exec",
        "pidfile": PLACE.state / "dockerd.pid",
        "cgroup-parent": f"/{PLACE.mark}",
        "storage-driver": "overlay2",
        "bip": BRIDGE,
        "iptables": "false",
        "ip6tables": "false",
        "ip-masq": "false",
        "ip-forward": "false",
        "oom-score-adjust": "0",  # a negative one needs CAP_SYS_RESOURCE
        "live-restore": "true",  # ends at once; its containers are ended here, whether it lives or not
    }
    return [f"--{name}={value}" for name, value in settings.items()]
