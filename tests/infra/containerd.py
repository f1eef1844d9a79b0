"""A containerd of a place, the images that it holds, and the end of whatever it runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.infra.daemons import birth, end, handle_of
from tests.infra.machine import RefusedError, run
from tests.infra.place import Place

PACKAGES = {"containerd": "containerd", "ctr": "containerd", "runc": "runc", "ip": "iproute2", "nsenter": "util-linux"}
PROGRAM = "containerd-shim-runc-v2"
READY_SECONDS = 30
SETTLE_SECONDS = 10

# Snapshotters that this machine need not have, and the plugin that would write to /opt.
SETTINGS = """version = 2
root = "{state}/containerd"
state = "{sockets}/containerd"
oom_score = 0
disabled_plugins = [{disabled}]
[grpc]
  address = "{socket}"
"""
DISABLED = (
    "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
)  # fmt: skip


def socket(place: Place) -> Path:
    """Where it is asked."""
    return place.sockets / "containerd.sock"


def start(place: Place, plugins: str, *disabled: str) -> None:
    """Start it with the plugins' settings that are given, and without those that are ``disabled``; wait for it."""
    names = ", ".join(f'"{name}"' for name in (*DISABLED, *disabled))
    settings = SETTINGS.format(state=place.state, sockets=place.sockets, disabled=names, socket=socket(place))
    path = place.state / "containerd.toml"
    path.write_text(settings + plugins)
    place.daemons.start("containerd", place.inside("containerd", "--config", path))
    place.daemons.wait(READY_SECONDS, "containerd", lambda: _answers(place))


def load(place: Place, *archives: Path) -> None:
    """Give images to Kubernetes' part of it."""
    for archive in archives:
        run(["ctr", "--address", socket(place), "--namespace", "k8s.io", "images", "import", archive])


def end_containers(place: Place) -> None:
    """End all that it runs: the processes below its shims, then the shims, which outlive containerd.

    They are known by its socket, which is theirs alone; so it works after whatever was killed.

    Raises:
        RefusedError: some would not end.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while shims := _shims(place):
        if time.monotonic() > deadline:
            raise RefusedError(f"{place.name}: the shims {shims} would not end")
        _end(_below(shims))
        _end(shims)


def _answers(place: Place) -> bool:
    try:
        run(["ctr", "--address", socket(place), "version"])
    except RefusedError:
        return False
    return True


def _shims(place: Place) -> list[int]:
    ours = os.fsencode(socket(place))
    found = []
    for process in _processes():
        words = _words(process)
        if Path(os.fsdecode(words[0])).name == PROGRAM and ours in words:
            found.append(process)
    return found


def _below(roots: list[int]) -> list[int]:
    """All that descends from them: a shim takes up the orphans of its container."""
    parents = {process: _parent(process) for process in _processes()}
    found: list[int] = []
    last = roots
    while last:
        last = [process for process, parent in parents.items() if parent in last]
        found += last
    return found


def _end(processes: list[int]) -> None:
    end([handle for process in processes if (handle := handle_of(process, birth(process))) is not None])


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _words(process: int) -> list[bytes]:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return [b""]


def _parent(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
