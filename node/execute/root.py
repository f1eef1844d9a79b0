"""The root that a step sees: a list of bubblewrap options, and nothing that is not in the list exists for it."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path

from catalog.error import BadInput, shown
from node.execute.account import is_open_to_nobody, is_separate
from node.execute.environment.base import BIN, INSIDE
from node.execute.environment.linked import linked
from node.step import Environment, Job, Limits, Mount

WORK = "/work"
"""The step's working directory inside: the only place whose content outlives it."""

_RESERVED = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", INSIDE, "/proc", "/sbin", "/sys", "/tmp", "/usr", WORK),  # noqa: S108 - a path inside the sandbox
    *("/gate", "/.comity"),  # a container's own
)
_MOST_PATH, _MOST_NAME = 1024, 255
"""Bytes of a path inside, and of one name in it."""
ITS_OWN = frozenset((".comity", "block", "dev", "gate", "inputs", "proc", "sys", "tmp", "work"))
"""Names at the root that are never an environment's."""

_DEVICES = ("full", "null", "random", "urandom", "zero")
# What Docker's default profile hides of /proc, and what root alone may read there.
_HIDDEN = tuple(
    Path("/proc", name)
    for name in (
        *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "scsi", "timer_list", "timer_stats"),
        *("cmdline", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "pagetypeinfo", "slabinfo", "vmallocinfo"),
    )
)
# bubblewrap refuses more; each mount takes three.
_MOST_OPTIONS = 8_500


def sandbox_options(job: Job, environment: Sequence[str]) -> list[str]:
    """The bubblewrap options for ``job``, without those that name open files; ``environment`` shows its programs.

    Raises:
        BadInput: a mount whose source is missing or closed to the step, or whose target is relative, shadows the
            root, or is given twice; or more mounts than bubblewrap takes; or a work folder that cannot be called so.
    """
    options = [
        *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup"),
        *("--cap-drop", "ALL", "--new-session", "--die-with-parent", "--hostname", "step"),
        *environment,
        *_system_options(job),
        *_mount_options(job.mounts),
        *_work_options(job),
        *("--remount-ro", "/"),
        *_variable_options(job),
    ]
    if len(options) > _MOST_OPTIONS:
        raise BadInput(f"{len(job.mounts)} mounts are more than a sandbox takes: give their folder as one mount")
    return options


def environment_options(environment: Environment) -> list[str]:
    """What shows ``environment`` at the root, read-only: one mount for each of its top names. Blocking.

    The names that a sandbox has for itself are never taken from it.

    Raises:
        BadInput: its links are not in its folders. Full, ComityError: the disk refuses.
    """
    folder = linked(environment)
    options: list[str] = []
    for name in sorted(os.listdir(folder)):
        if name not in ITS_OWN and not (folder / name).is_symlink():
            options += ["--ro-bind", str(folder / name), f"/{name}"]
    for name, target in environment.links.items():
        if "/" not in name and name not in ITS_OWN:
            options += ["--symlink", target, f"/{name}"]
    return options


def variables_of(job: Job) -> dict[str, str]:
    """All variables of the step: a few fixed names, its environment's, and what the job asks for.

    Raises:
        BadInput: a variable cannot be set.
    """
    variables = {
        "PATH": BIN,
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **(job.environment.variables if job.environment is not None else {}),
        "HOME": job.place,
        "PWD": job.place,
        "TMPDIR": "/tmp",  # noqa: S108 - a path inside the sandbox
        **job.variables,
    }
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise BadInput(
                f"the environment variable «{shown(name)}» cannot be set: a name has no «=», neither has a NUL"
            )
    return variables


def _variable_options(job: Job) -> list[str]:
    options = ["--clearenv"]
    for name, value in variables_of(job).items():
        options += ["--setenv", name, value]
    return options


def _system_options(job: Job) -> list[str]:
    options: list[str] = []
    if "/dev" in job.system:
        options += _device_options(job.limits)
    if "/proc" in job.system:
        options += _proc_options()
    if "/tmp" in job.system:  # noqa: S108 - a path inside the sandbox
        options += _scratch("/tmp", job.limits.memory_bytes // 2)  # noqa: S108 - a path inside the sandbox
    return options


def _device_options(limits: Limits) -> list[str]:
    """A /dev of five devices. bubblewrap's own --dev has more, on a tmpfs without a size that any step could fill."""
    options = _scratch("/dev", 64 << 10, "755")
    for name in _DEVICES:
        options += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    for target, name in (("", "fd"), ("/0", "stdin"), ("/1", "stdout"), ("/2", "stderr")):
        options += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
    return [*options, *_scratch("/dev/shm", limits.memory_bytes // 4), "--remount-ro", "/dev"]  # noqa: S108 - inside


def _proc_options() -> list[str]:
    """A /proc of the step's own processes, read-only: the kernel's settings answer to root by number, not by rights."""
    options = ["--proc", "/proc"]
    for path in _HIDDEN:
        if path.is_dir():
            options += _empty(str(path))
        elif path.exists():
            options += ["--ro-bind", "/dev/null", str(path)]
    return [*options, "--remount-ro", "/proc"]


def _mount_options(mounts: Sequence[Mount]) -> list[str]:
    check_mounts(mounts)
    return [part for mount in mounts for part in ("--ro-bind", str(mount.source), mount.target)]


def _work_options(job: Job) -> list[str]:
    check_place(job)
    return ["--bind", str(job.work), job.place, "--chdir", job.place]


def check_place(job: Job) -> None:
    """Check what the work folder is called inside. It is shown after all else, and must cover none of that.

    Raises:
        BadInput: the name is relative, too long, not plain, or one of the root's, the environment's, or a mount's.
    """
    place = job.place
    if place == WORK:
        return
    told = f"the work folder cannot be «{shown(place, 100)}»"
    if not _is_plain(place) or not place.isprintable():
        raise BadInput(f"{told}: write a plain absolute path of at most {_MOST_PATH:,} bytes")
    there = [*_RESERVED, *(mount.target for mount in job.mounts), *(f"/{name}" for name in ITS_OWN)]
    if job.environment is not None:
        there += [f"/{name}" for name in (*os.listdir(job.environment.folder), *job.environment.links)]
    if place == "/" or any(f"{place}/".startswith(f"{name}/") or name.startswith(f"{place}/") for name in there):
        raise BadInput(f"{told}, which the step has for something else: choose another name")


def check_mounts(mounts: Sequence[Mount]) -> None:
    """Check what a step is to be shown.

    Raises:
        BadInput: a source is missing or closed to the step, or a target is relative, shadows the root, or is given
            twice.
    """
    seen: set[str] = set()
    for mount in mounts:
        target = mount.target
        if not _is_plain(target):
            raise BadInput(
                f"the mount target «{shown(target, 100)}» is not a plain absolute path: write it without «.» and «..»,"
                f" in at most {_MOST_PATH:,} bytes"
            )
        if target == "/" or any(target == name or target.startswith(f"{name}/") for name in _RESERVED):
            raise BadInput(f"the mount target «{target}» would cover the sandbox's own root: choose one under /inputs")
        if target in seen:
            raise BadInput(f"two mounts have the target «{target}»: give each its own")
        if not mount.source.exists():
            raise BadInput(f"«{mount.source}», to be shown to the step as «{target}», does not exist")
        if is_separate() and not is_open_to_nobody(mount.source):
            raise BadInput(
                f"«{mount.source}» cannot be read by «nobody», to whom a node that runs as root gives its steps: "
                "chmod it o+rX, or run the node as the user whose data it is"
            )
        seen.add(target)


def _is_plain(path: str) -> bool:
    """Whether it is an absolute path without «.» and «..» that the kernel takes."""
    names = [name.encode("utf-8", "surrogatepass") for name in path.split("/")]
    fits = max(map(len, names)) <= _MOST_NAME and sum(map(len, names)) + len(names) <= _MOST_PATH
    return fits and "\0" not in path and path[:1] == "/" != path[1:2] and posixpath.normpath(path) == path


def _scratch(target: str, size: int, mode: str = "1777") -> list[str]:
    return ["--perms", mode, "--size", str(max(size, 4096)), "--tmpfs", target]


def _empty(target: str) -> list[str]:
    return [*_scratch(target, 4096, "755"), "--remount-ro", target]
