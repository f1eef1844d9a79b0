"""What a step may use, as the kernel bounds each of its processes."""

from __future__ import annotations

import os
import resource
from typing import Protocol

# Since 5.14 the kernel counts RLIMIT_NPROC per user namespace; before, over everything that the user runs.
_COUNTS_PER_NAMESPACE = (5, 14)
_OPEN_FILES = 1024
# Address space is not memory: libraries, thread stacks and guard pages take it without touching it.
_ADDRESS_SLACK = 1 << 30

RESOURCES = {
    "as": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "fsize": resource.RLIMIT_FSIZE,
    "nofile": resource.RLIMIT_NOFILE,
    "core": resource.RLIMIT_CORE,
    "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE,
    "nproc": resource.RLIMIT_NPROC,
}
"""Resources by the names that prlimit(1) has for them."""


class Bounds(Protocol):
    """The limits of a step. Bytes, seconds, counts."""

    @property
    def wall_seconds(self) -> float:
        """From the command's start to its end."""

    @property
    def cpu_seconds(self) -> int:
        """Of all its processes together."""

    @property
    def memory_bytes(self) -> int:
        """Resident, of all its processes together."""

    @property
    def processes(self) -> int:
        """Live threads of all its processes."""

    @property
    def output_bytes(self) -> int:
        """Of all that it leaves."""

    @property
    def output_files(self) -> int:
        """Files and folders that it leaves."""


def resource_limits(bounds: Bounds) -> dict[str, tuple[int, int]]:
    """Soft and hard limits by their names in :data:`RESOURCES`, none above what this process has itself.

    All but «nproc», which is :func:`own_processes`' for whoever has a user namespace for each step.
    """
    wanted = {
        "as": (bounds.memory_bytes + _ADDRESS_SLACK,) * 2,
        "cpu": (bounds.cpu_seconds + 1, bounds.cpu_seconds + 2),
        # One byte more, so that a file that was cut off exceeds the quota instead of filling it.
        "fsize": (bounds.output_bytes + 1,) * 2,
        "nofile": (_OPEN_FILES,) * 2,
        "core": (0, 0),
        "memlock": (0, 0),
        "msgqueue": (0, 0),
    }
    return {name: _held(name, *pair) for name, pair in wanted.items()}


def own_processes(bounds: Bounds) -> dict[str, tuple[int, int]]:
    """The limit of processes where each step has a user namespace of its own; none on a kernel that counts others."""
    if tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2]) < _COUNTS_PER_NAMESPACE:
        return {}
    # The first process of the namespace counts as one.
    return {"nproc": _held("nproc", bounds.processes + 1, bounds.processes + 1)}


def _held(name: str, soft: int, hard: int) -> tuple[int, int]:
    most = resource.getrlimit(RESOURCES[name])[1]
    return (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
