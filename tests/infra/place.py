"""Where a component lives while it runs: its folders, its network namespace, its cgroup; and that nobody else is in."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.infra.daemons import Daemons
from tests.infra.machine import RefusedError, alone, run

CGROUPS = Path("/sys/fs/cgroup")
# In bytes: a socket's path has at most 107 (unix(7)), and the kubelet makes some of its own below its state.
LONGEST = 64


@dataclass(frozen=True)
class Place:
    """What a component of that name has here. All of it is gone when it is down."""

    name: str

    @property
    def state(self) -> Path:
        """Its files."""
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return Path(home) / "comity-infra" / self.name

    @property
    def mark(self) -> str:
        """A name that no other place of this machine has, and that fits an interface."""
        return f"comity-{hashlib.sha256(str(self.state).encode()).hexdigest()[:8]}"

    @property
    def sockets(self) -> Path:
        """Its sockets and mounts: a socket's path may have 107 bytes alone (unix(7))."""
        return Path("/run") / self.mark

    @property
    def daemons(self) -> Daemons:
        """Its processes."""
        return Daemons(self.state / "daemons")

    @property
    def kept(self) -> Path:
        """There, if it was started from a terminal, to stay."""
        return self.state / "kept"

    def inside(self, *command: str | Path) -> list[str]:
        """A command line that runs in its network namespace, and sees all else as it is here."""
        return ["nsenter", f"--net=/run/netns/{self.mark}", "--", *map(str, command)]

    def make(self) -> None:
        """Make folders, namespace and cgroup.

        Raises:
            RefusedError: its path is too long, or this process may not.
        """
        if len(os.fsencode(self.state)) > LONGEST:
            raise RefusedError(f"{self.state} is too long for the sockets below it: name another XDG_STATE_HOME")
        for folder in (self.state, self.sockets):
            folder.mkdir(parents=True, mode=0o700)
        run(["ip", "netns", "add", self.mark])
        run(["ip", "-n", self.mark, "link", "set", "lo", "up"])
        for hierarchy in _hierarchies():
            (hierarchy / self.mark).mkdir(exist_ok=True)

    def remove(self) -> None:
        """Remove all of it, whatever there is; the processes must be gone."""
        _unmount(self.state, self.sockets)
        if Path("/run/netns", self.mark).exists():
            run(["ip", "netns", "delete", self.mark])
        for hierarchy in _hierarchies():
            _remove_groups(hierarchy / self.mark)
        for folder in (self.state, self.sockets):
            if folder.exists():
                shutil.rmtree(folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else starts, uses or ends it in the block; it waits for whoever does. Free again if this is killed."""
        with alone(self.state.with_suffix(".lock")):
            yield


def _hierarchies() -> list[Path]:
    """The roots of the control groups: one in version 2, one for each controller in version 1 (cgroups(7))."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())


def _remove_groups(group: Path) -> None:
    if group.exists():
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(FileNotFoundError):
                os.rmdir(folder)


def _unmount(*folders: Path) -> None:
    """Whatever is mounted below, the last first; detached, since a container that was killed may still be dying."""
    # Blanks in names are written in octal (proc(5)).
    points = [
        line.split(" ")[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    for point in reversed(points):
        if any(Path(point).is_relative_to(folder) for folder in folders):
            run(["umount", "--lazy", point])
