"""The process list of a sandbox, found by the host's number of its first process."""

from __future__ import annotations

import os

from node.execute.inside.watch import is_there

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def open_processes(init: int) -> int | None:
    """A descriptor of the sandbox's own /proc, whose first process is ``init`` by the host's number.

    None before the sandbox has its root (until then the same path leads to the host's processes) and after its end.
    """
    try:
        fd = os.open(f"/proc/{init}/root/proc", _FOLDER)
    except (FileNotFoundError, ProcessLookupError):
        return None
    if os.fstat(fd).st_dev == os.stat("/proc").st_dev or not is_there(fd):
        os.close(fd)
        return None
    return fd
