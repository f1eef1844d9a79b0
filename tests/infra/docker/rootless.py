"""A rootless Docker daemon of a user who is on no list of this machine's, in a folder that goes with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.infra.docker.daemon import PACKAGES
from tests.infra.machine import RefusedError, need_programs, need_rights

USER = 59_637
SUBORDINATE = 7_000_000
READY_SECONDS = 60
FOLDERS = ("run", "home", "data")
FLAGS = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


@dataclass(frozen=True)
class Rootless:
    """The daemon's ``address``; and how its user runs a command, who has a ``home``."""

    address: str
    home: Path

    def command(self, *command: str) -> list[str]:
        """A command line for root that runs ``command`` as the daemon's user."""
        return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", *command]


@contextmanager
def running() -> Iterator[Rootless]:
    """One, for a block.

    Raises:
        RefusedError: this machine lacks something, which is named, or it does not start.
    """
    need_rights()
    need_programs(PACKAGES | {"rootlesskit": "rootlesskit", "newuidmap": "uidmap", "setpriv": "util-linux"})
    # A socket's path may have 107 bytes alone (unix(7)).
    with tempfile.TemporaryDirectory(prefix="comity-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        _prepare(place)
        made = Rootless(f"unix://{place}/run/docker.sock", place / "home")
        with (place / "log").open("wb") as log:
            process = subprocess.Popen(_start(place, made), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _await(made, process, place / "log")
            yield made
        finally:
            process.terminate()  # its process namespace ends with it, and all that is in there
            process.wait()


def _prepare(place: Path) -> None:
    place.chmod(0o711)
    for folder in FOLDERS:
        (place / folder).mkdir(mode=0o700)
        os.chown(place / folder, USER, USER)
    listed = f"comity-steps:x:{USER}:{USER}::{place}/home:/bin/sh\n"
    (place / "passwd").write_text(Path("/etc/passwd").read_text() + listed)
    for name in ("subuid", "subgid"):
        (place / name).write_text(f"comity-steps:{SUBORDINATE}:65536\n")
        Path("/etc", name).touch()  # else there is nothing for it to be mounted on
    for name in ("passwd", "subuid", "subgid"):
        (place / name).chmod(0o644)


def _start(place: Path, made: Rootless) -> list[str]:
    """In a mount namespace in which the user is on the lists: the machine's own stay as they are."""
    run = place / "run"
    daemon = ["dockerd", "--rootless", f"--host={made.address}", f"--data-root={place}/data", *FLAGS]
    daemon += [f"--exec-root={run}/exec", f"--pidfile={run}/docker.pid"]
    # What is root's there would be in its way; it is a copy.
    inside = f"rm -f /run/docker /run/containerd /run/xtables.lock; exec {shlex.join(daemon)}"
    kit = ["rootlesskit", f"--state-dir={run}/kit", "--net=host", "--pidns", "--copy-up=/etc", "--copy-up=/run"]
    variables = [f"HOME={made.home}", f"XDG_RUNTIME_DIR={run}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    command = made.command("env", "-i", *variables, *kit, "sh", "-c", inside)
    mounts = "".join(f"mount --bind {place}/{name} /etc/{name}; " for name in ("passwd", "subuid", "subgid"))
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", f"{mounts}exec {shlex.join(command)}"]


def _await(made: Rootless, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while subprocess.run(["docker", "--host", made.address, "version"], capture_output=True).returncode:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RefusedError(f"a rootless Docker does not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)
