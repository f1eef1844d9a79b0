"""What a running step uses, read from the process list of its own sandbox.

Resource limits bound each process; a step's limits are for all of its processes together. For a node that runs as
root the kernel does not apply the process limit at all, so there this watch is the bound.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from node.step import Limits

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# An entry of /proc goes with its process: then there is no file, or no process behind an open one.
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Sample:
    """A step at one moment: live threads, resident bytes, and CPU seconds since its start."""

    threads: int = 0
    resident_bytes: int = 0
    cpu_seconds: float = 0.0

    def excess(self, limits: Limits) -> str:
        """The limit that is exceeded, or an empty string."""
        if self.threads > limits.processes:
            return f"processes: more than {limits.processes}"
        if self.resident_bytes > limits.memory_bytes:
            return f"memory: more than {limits.memory_bytes} bytes"
        if self.cpu_seconds > limits.cpu_seconds:
            return f"CPU: more than {limits.cpu_seconds} seconds"
        return ""


def open_processes(init: int) -> int | None:
    """A descriptor of the sandbox's own /proc, whose first process is ``init`` by the host's number.

    None before the sandbox has its root (until then the same path leads to the host's processes) and after its end.
    """
    try:
        fd = os.open(f"/proc/{init}/root/proc", _FOLDER)
    except _GONE:
        return None
    if os.fstat(fd).st_dev == os.stat("/proc").st_dev or not _fields(fd, "1"):
        os.close(fd)
        return None
    return fd


def sample(processes: int, limits: Limits) -> Sample:
    """What the processes in ``processes`` (from :func:`open_processes`) use now.

    Memory is the sum of resident pages; where that exceeds the limit, pages shared between processes are divided
    among them, which is exact and slower. A sandbox that has gone uses nothing.
    """
    threads = resident = ticks = 0
    try:
        names = [name for name in os.listdir(processes) if name.isdigit()]
    except _GONE:
        return Sample()
    # A count is quick, a look at each of too many is not, and they are more with every moment.
    if len(names) > limits.processes + 1:
        return Sample(threads=len(names) - 1)
    for name in names:
        fields = _fields(processes, name)
        if not fields:
            continue
        # proc(5) counts from 1 with the command's name second: utime 14, stime 15, then those of waited-for children.
        ticks += sum(int(part) for part in fields[11:15])
        if name != "1":
            threads += int(fields[17])
            resident += int(fields[21]) * _PAGE
    # Shared pages are worth the slow look only for a step that is not over another limit already.
    if resident > limits.memory_bytes and 1 < threads <= limits.processes:
        resident = sum(_proportional(processes, name) for name in names if name != "1")
    return Sample(threads, resident, ticks / _TICK)


def scratched(init: int, limits: Limits) -> str:
    """The limit on files that the sandbox's own temporary folders exceed, or an empty string.

    Their size is bounded, and empty files take none of it: what each takes is the kernel's own memory.
    """
    for folder in ("tmp", "dev/shm"):
        try:
            seen = os.statvfs(f"/proc/{init}/root/{folder}")
        except _GONE:
            continue
        # Before the sandbox has its root the path leads to the host's own folder, which has another size.
        if seen.f_blocks * seen.f_frsize <= limits.memory_bytes and seen.f_files - seen.f_ffree > limits.output_files:
            return f"files in /{folder}: more than {limits.output_files}"
    return ""


def _fields(processes: int, name: str) -> list[bytes]:
    """The fields of a stat file behind the command's name (which may hold spaces and brackets)."""
    return _read(processes, f"{name}/stat").rpartition(b")")[2].split()


def _proportional(processes: int, name: str) -> int:
    lines = _read(processes, f"{name}/smaps_rollup").splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:"))


def _read(processes: int, name: str) -> bytes:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=processes)
    except _GONE:
        return b""
    try:
        return os.read(fd, 1 << 16)
    except _GONE:
        return b""
    finally:
        os.close(fd)
