"""Whom the processes of a step are outside the sandbox.

An unprivileged node's steps are the node's own user. A node that runs as root gives them to «nobody»: to root the
kernel applies no process limit, and a root without capabilities still owns the host's devices and the kernel's
settings. So there the node writes the user map itself, which only root may.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from pathlib import Path

from catalog.error import BadInput
from node.step import Job

NOBODY = 65534
"""The user and group that a step sees itself as, and is for a node that runs as root."""

# The second line lets bubblewrap, while it still has rights in its own namespace, reach sources below root's folders.
_MAP = f"{NOBODY} {NOBODY} 1\n0 0 1\n"


def is_separate() -> bool:
    """Whether steps are given to «nobody»: this node is root, and root of a namespace in which nobody exists."""
    return os.geteuid() == 0 and _has_nobody()


@cache
def _has_nobody() -> bool:
    """Whether this process's user namespace, which it does not leave, has both root and nobody."""
    return all(_holds(Path("/proc/self", name)) for name in ("uid_map", "gid_map"))


def write_maps(process: int) -> None:
    """Map «nobody» in the user namespace of ``process``, which waits for it.

    Raises:
        ProcessLookupError, FileNotFoundError: it has ended.
    """
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{process}/{name}", "w") as file:
            file.write(_MAP)


def give(work: Path) -> None:
    """Make ``work`` and what was prepared in it the step's own. Blocking."""
    os.chown(work, NOBODY, NOBODY)
    for folder, folders, files, here in os.fwalk(work):
        del folder
        for name in (*folders, *files):
            os.chown(name, NOBODY, NOBODY, dir_fd=here, follow_symlinks=False)


def take(job: Job) -> None:
    """Make the work folder of ``job`` its step's own, where that is another account. Blocking.

    Raises:
        BadInput: there is no command, or no such folder.
    """
    if not job.argv or any("\0" in part for part in job.argv):
        raise BadInput("the step's command is empty or holds a NUL character")
    if job.work.is_symlink() or not job.work.is_dir():
        raise BadInput(f"«{job.work}» is not a folder: give each run a new one")
    if is_separate():
        give(job.work)


def make_readable(work: Path) -> None:
    """Let the step's account, which :func:`is_separate`, read ``work`` again, which the node took over. Blocking."""
    give(work)
    work.chmod(0o755)


def is_open_to_nobody(path: Path) -> bool:
    """Whether «nobody», once shown ``path``, may read it (a folder: enter and list it)."""
    status = path.stat()
    wanted = 0o5 if stat.S_ISDIR(status.st_mode) else 0o4
    return status.st_mode & wanted == wanted


def _holds(path: Path) -> bool:
    ranges = [[int(part) for part in line.split()] for line in path.read_text().splitlines()]
    return all(any(start <= number < start + count for start, _, count in ranges) for number in (0, NOBODY))
