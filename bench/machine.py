"""The machine that a run was made on: figures from two machines, or from a busy one, are not compared."""

from __future__ import annotations

import os
import platform


def machine() -> dict[str, object]:
    """Processors, memory, kernel, interpreter, and how busy the machine was when it was asked."""
    return {
        "processors": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "load": [round(each, 2) for each in os.getloadavg()],
    }
