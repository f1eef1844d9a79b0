"""What no storing or moving of bytes goes round on this machine: hashing, the disk, and TLS between two processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds that 1 GiB takes: SHA-256 on one core and on all, ``dd`` to the disk, TLS between two processes."""

    sha: float
    sha_all: float
    disk: float
    tls: float

    @property
    def store(self) -> float:
        """The slower of what an import cannot go round."""
        return max(self.sha_all, self.disk)

    @property
    def move(self) -> float:
        """The slowest of what a transfer cannot go round."""
        return max(self.sha_all, self.disk, self.tls)


def measure_bounds(target: Path) -> Bounds:
    """Measure them; ``target`` is a file on the disk, which stays: making files is slow after others were deleted."""
    block = os.urandom(1 << 20)
    cores = os.cpu_count() or 1

    def hashed(count: int) -> None:
        for _ in range(count):
            hashlib.sha256(block).digest()

    one = seconds(lambda: hashed(1024))
    with ThreadPoolExecutor(cores) as pool:
        every = seconds(lambda: list(pool.map(hashed, [1024 // cores] * cores)))
    command = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", "count=1024", "conv=fsync"]
    disk = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    tls = float(subprocess.run([sys.executable, "-m", "bench.tlsstream"], check=True, capture_output=True).stdout)
    return Bounds(one, every, disk, tls)


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
