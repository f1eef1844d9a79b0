"""How much memory this process has taken: its own peak, for that of resource usage may be its parent's (Linux)."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_FORGET_PEAK = "5"


def forget_peak() -> int:
    """Let the peak begin anew; KiB that are resident now."""
    Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)
    return _field("VmRSS")


def peak() -> int:
    """KiB that were resident at most since the peak began."""
    return _field("VmHWM")


def _field(name: str) -> int:
    line = next(each for each in _STATUS.read_text().splitlines() if each.startswith(f"{name}:"))
    return int(line.split()[1])
