"""How a command ended, told by its exit code and its last words where the kernel says no more."""

from __future__ import annotations

import os
import signal

from node.execute.inside.bounds import Bounds

NOT_FOUND = 127
"""The exit code of a command that is not there, as shells have it."""

NOT_RUNNABLE = 126
"""The exit code of a command that is there and cannot be run."""

KILLED = 128 + signal.SIGKILL
"""The exit code of a command that was killed."""

NOT_FOUND_REASON = "the command is not in the step's environment"

# The kernel gives no sign when it refuses memory to a process; what the usual languages then say is the only one.
_STARVED = (b"MemoryError", b"std::bad_alloc", b"Cannot allocate memory", b"out of memory", b"memory exhausted")


def limit_met(code: int, errors: bytes, bounds: Bounds) -> str:
    """The limit that the kernel enforced on a single process, told by how that process ended; or an empty string."""
    if code == 128 + signal.SIGXFSZ:
        return f"output bytes: more than {bounds.output_bytes}"
    if code == 128 + signal.SIGXCPU:
        return f"CPU: more than {bounds.cpu_seconds} seconds"
    if code != os.EX_OK and any(words in errors for words in _STARVED):
        return out_of_memory(bounds)
    return ""


def out_of_memory(bounds: Bounds) -> str:
    """That the limit of memory was met."""
    return f"memory: more than {bounds.memory_bytes} bytes"


def out_of_time(bounds: Bounds) -> str:
    """That the limit of wall time was met."""
    return f"wall time: more than {bounds.wall_seconds:g} seconds"
