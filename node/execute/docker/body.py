"""What a step's container is asked to be: nothing that is not listed here exists for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from catalog.error import BadInput
from node.execute.docker.daemon import LABEL
from node.execute.inside.order import GATE, WORK
from node.execute.seccomp import profile
from node.execute.tools import supervisor_command
from node.step import Job, Limits, Mount

_SLACK_BYTES: Final = 96 << 20
"""Of memory, for the supervisor and what the kernel keeps for the step."""
_LEAST_PROCESSES: Final = 32
"""Below these the runtime that starts the container could not."""
_MORE_FILES: Final = 4096
"""In scratch folders than the supervisor allows, who names the limit; these are for when it looks too late."""
# Docker's own, and what a step has no use for: the machine's hardware, terminals and queues.
_MASKED: Final = (
    *("/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/cmdline", "/proc/kmsg"),
    *("/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/pagetypeinfo", "/proc/slabinfo"),
    *("/proc/vmallocinfo", "/sys", "/dev/pts", "/dev/mqueue"),
)
# A rootless daemon's containers own their /dev, and could fill it.
_READ_ONLY: Final = ("/dev", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def made_of(image: str, job: Job, user: str) -> dict[str, Any]:
    """The container's part of its configuration (``POST /containers/create``)."""
    return {
        "Image": image,
        "Entrypoint": list(supervisor_command()),
        "Cmd": [],
        "User": user,
        "Hostname": "step",
        "WorkingDir": WORK,
        "NetworkDisabled": True,
        "AttachStdout": False,
        "AttachStderr": False,
        "Labels": {LABEL: str(job.work)},
    }


def host_of(job: Job, gate: Path, runtime: str) -> dict[str, Any]:
    """The host's part of it.

    Raises:
        BadInput: another file system is mounted below a folder that is to be shown, and would not be read-only.
    """
    limits = job.limits
    _check_whole(job.mounts)
    mounts = [
        _bound(str(job.work), WORK, read_only=False),
        _bound(str(gate), GATE, read_only=False),
        *(_bound(str(mount.source), mount.target, read_only=True) for mount in job.mounts),
    ]
    memory = limits.memory_bytes + limits.memory_bytes // 2 + limits.memory_bytes // 4 + _SLACK_BYTES
    host: dict[str, Any] = {
        "Mounts": mounts,
        "NetworkMode": "none",
        # Else Docker tells a step which servers of names this machine asks.
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
        "IpcMode": "none",
        # A daemon that gives containers other users' numbers would give them folders that they cannot enter.
        "UsernsMode": "host",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true", f"seccomp={profile()}"],
        "MaskedPaths": list(_MASKED),
        "ReadonlyPaths": list(_READ_ONLY),
        "PidsLimit": max(limits.processes + 1, _LEAST_PROCESSES),
        "Memory": memory,
        "MemorySwap": memory,
        "OomKillDisable": False,
        "Tmpfs": {
            "/tmp": _scratch(limits, limits.memory_bytes // 2),  # noqa: S108 - a path inside the container
            "/dev/shm": _scratch(limits, limits.memory_bytes // 4),  # noqa: S108 - likewise
        },
        "LogConfig": {"Type": "none", "Config": {}},
        "RestartPolicy": {"Name": "no"},
    }
    return host | ({"Runtime": runtime} if runtime else {})


def _bound(source: str, target: str, *, read_only: bool) -> dict[str, Any]:
    options = {"Propagation": "rprivate"}
    return {"Type": "bind", "Source": source, "Target": target, "ReadOnly": read_only, "BindOptions": options}


def _scratch(limits: Limits, size: int) -> str:
    return f"rw,exec,nosuid,nodev,mode=1777,size={max(size, 4096)},nr_inodes={2 * limits.output_files + _MORE_FILES}"


def _check_whole(mounts: Sequence[Mount]) -> None:
    # Docker makes read-only what is mounted there, and older ones not what is mounted below it.
    points = _mount_points()
    for mount in mounts:
        source = mount.source.resolve()
        below = next((point for point in points if point != source and point.is_relative_to(source)), None)
        if below is not None:
            raise BadInput(f"{below} is mounted below {source}, which is to be shown to a step: show the step a copy")


def _mount_points() -> list[Path]:
    # Blanks in names are written in octal (proc(5)).
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in lines]
