"""A runner under test, and how its tests run jobs and look for what is left of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trio

from node.step import Exit, Job, Limits, Runner

SMALL = Limits(wall_seconds=60, memory_bytes=128 << 20, processes=16, output_bytes=1 << 20, output_files=100)
SUCCEEDS = frozenset({0})


@dataclass(frozen=True)
class Subject:
    """A runner; ``code`` is the Python that makes it as ``runner`` in another process; ``user`` whom its steps are."""

    runner: Runner
    code: str
    user: int = 65534

    def run(self, job: Job) -> Exit:
        return trio.run(self.runner.run, job)

    def shell(self, work: Path, script: str, limits: Limits = SMALL, *, stdout: str | None = None) -> Exit:
        return self.run(Job(("sh", "-c", script), work, stdout=stdout, limits=limits, succeeds=SUCCEEDS))

    def python(self, work: Path, script: str, *given: str, limits: Limits = SMALL) -> Exit:
        return self.run(Job(("python3", "-c", script, *given), work, limits=limits, succeeds=SUCCEEDS))


def processes_with(marker: str) -> list[str]:
    """Processes of this machine whose command line holds ``marker``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if marker.encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found
