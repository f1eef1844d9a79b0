"""Where benchmarks work: on the disk of the checkout, for in memory a flush to the disk would cost nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORK = Path("out/bench/work")


@contextmanager
def workplace() -> Iterator[Path]:
    """A folder on the checkout's disk, removed afterwards."""
    WORK.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK.absolute()) as folder:
        yield Path(folder)
