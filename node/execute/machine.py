"""The machine that a node runs on, as its system tells of it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Final

from node.step import Machine

_MIB: Final = 1 << 20
_NAMES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""Processors whose name in images of containers (OCI) is another than the kernel's."""


def architecture() -> str:
    """This machine's kind of processor, as images name it."""
    kind = platform.machine().lower()
    return _NAMES.get(kind, re.sub("[^a-z0-9_]", "_", kind)[:16])


def platform_here() -> str:
    """What runs on this machine, as images name it: such as ``linux/amd64``."""
    return f"linux/{architecture()}"


def this_machine(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Machine:
    """What this process may use, which is what its container may. Blocking.

    Raises:
        OSError: the system does not tell.
    """
    memory = int(_found(proc / "meminfo", r"MemTotal:\s+([0-9]+) kB") or 0) << 10
    bound = groups / "memory.max"
    told = bound.read_text().strip() if bound.exists() else ""
    if told.isdigit():
        memory = min(memory, int(told))
    return Machine(
        platform=platform_here(),
        processor=re.sub(r"[^ -~]", "", _found(proc / "cpuinfo", r"model name\s*: ([^\n]*)"))[:80].strip(),
        processors=len(os.sched_getaffinity(0)),
        memory_mib=max(1, memory // _MIB),
    )


def _found(file: Path, pattern: str) -> str:
    found = re.search(pattern, file.read_text(errors="replace"))
    return found[1] if found else ""
