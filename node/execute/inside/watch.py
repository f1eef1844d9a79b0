"""What a running step uses, read from the process list of its own sandbox or container.

Resource limits bound each process; a step's limits are for all of its processes together. For a node that runs as
root the kernel does not apply the process limit at all, so there this watch is the bound.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from node.execute.inside.bounds import Bounds

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
# An entry of /proc goes with its process: then there is no file, or no process behind an open one.
_GONE = (FileNotFoundError, ProcessLookupError)


class Sample(NamedTuple):
    """A step at one moment: live threads, resident bytes, and CPU seconds since its start."""

    threads: int = 0
    resident_bytes: int = 0
    cpu_seconds: float = 0.0

    def excess(self, limits: Bounds) -> str:
        """The limit that is exceeded, or an empty string."""
        if self.threads > limits.processes:
            return f"processes: more than {limits.processes}"
        if self.resident_bytes > limits.memory_bytes:
            return f"memory: more than {limits.memory_bytes} bytes"
        if self.cpu_seconds > limits.cpu_seconds:
            return f"CPU: more than {limits.cpu_seconds} seconds"
        return ""


def sample(processes: int, limits: Bounds) -> Sample:
    """What the processes in ``processes``, a descriptor of their /proc, use now; the first of them is not the step's.

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
        ticks += sum(int(part) for part in fields[13 if name == "1" else 11 : 15])
        if name != "1":
            threads += int(fields[17])
            resident += int(fields[21]) * _PAGE
    # Shared pages are worth the slow look only for a step that is not over another limit already.
    if resident > limits.memory_bytes and 1 < threads <= limits.processes:
        resident = sum(_proportional(processes, name) for name in names if name != "1")
    return Sample(threads, resident, ticks / _TICK)


def scratched(root: str, limits: Bounds) -> str:
    """The limit on files that the temporary folders below ``root`` exceed, or an empty string.

    Their size is bounded, and empty files take none of it: what each takes is the kernel's own memory.
    """
    for folder in ("tmp", "dev/shm"):
        try:
            seen = os.statvfs(f"{root}/{folder}")
        except _GONE:
            continue
        # Before a sandbox has its root the path leads to the host's own folder, which has another size.
        if seen.f_blocks * seen.f_frsize <= limits.memory_bytes and seen.f_files - seen.f_ffree > limits.output_files:
            return f"files in /{folder}: more than {limits.output_files}"
    return ""


def is_there(processes: int) -> bool:
    """Whether ``processes`` is a /proc in which a first process lives."""
    return bool(_fields(processes, "1"))


def _fields(processes: int, name: str) -> list[bytes]:
    """The fields of a stat file behind the command's name (which may hold spaces and brackets)."""
    return _read(processes, f"{name}/stat").rpartition(b")")[2].split()


def _proportional(processes: int, name: str) -> int:
    """Its resident bytes, shared pages divided; undivided for a process that lets nobody look."""
    try:
        lines = _read(processes, f"{name}/smaps_rollup").splitlines()
    except PermissionError:
        fields = _fields(processes, name)
        return int(fields[21]) * _PAGE if fields else 0
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
