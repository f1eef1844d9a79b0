"""``comity --help``: the median of 20 whole processes, each followed by ``python -c pass`` of the same interpreter.

The promise is 150 ms for the whole process. The notes name the imports that cost most of it.
"""

from __future__ import annotations

import re
import subprocess

from bench.figure import Figure, Floor, Report, Series
from bench.process import installed, python, run_seconds

RUNS = 20
SLOWEST = 12
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|(\s+)(\S+)")


def measure() -> Report:
    """Measure it; the first run of each is not counted, since it may compile bytecode."""
    ours, bare = [installed("comity"), "--help"], python("-c", "pass")
    run_seconds(ours), run_seconds(bare)
    pairs = [(run_seconds(ours), run_seconds(bare)) for _ in range(RUNS)]
    figure = Figure(
        "comity --help, whole process",
        Series.of_seconds("comity --help", [pair[0] for pair in pairs]),
        Series.of_seconds("python -c pass", [pair[1] for pair in pairs]),
        Floor(150),
    )
    return Report((figure,), _slowest())


def _slowest() -> tuple[str, ...]:
    """The imports of ``comity --help`` that take longest by themselves, what they import not counted."""
    told = subprocess.run(
        python("-X", "importtime", "-m", "cli.main", "--help"), check=True, capture_output=True, text=True
    ).stderr
    found = [(int(each[1]), int(each[2]), each[4]) for each in _IMPORT.finditer(told)]
    lines = [
        f"{own / 1000:6.1f} ms by itself, {whole / 1000:6.1f} ms with what it imports: {name}"
        for own, whole, name in sorted(found, reverse=True)[:SLOWEST]
    ]
    return (f"{len(found)} modules are imported; the slowest (timing makes each slower):", *lines)
