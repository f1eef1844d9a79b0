"""10 GiB from a sender to a receiver of its own: a cold range first, then the memory that all of it takes."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import trio

from bench.blobserver import KEY
from bench.figure import Figure, Floor, Report, Series
from bench.moving import asking
from node.site.ranging import fetch_span
from node.storage.disk import DiskBlobs

SIZE: Final = 10 << 30
RANGE: Final = 1 << 20
RANGES: Final = 9
MOST_MEMORY: Final = 150.0


async def measure_large(folder: Path) -> Report:
    """Measure both."""
    large = folder / "large.bin"
    with large.open("wb") as out:
        for number in range(SIZE >> 18):
            out.write(number.to_bytes(8, "big") * (1 << 15))
    root = await DiskBlobs(folder / "source").add_path(large)
    with asking(folder / "source") as holder:
        await holder.usage()
        took = []
        for number in range(RANGES):
            first = SIZE // 2 + number * 3 * RANGE + 12345
            began = time.perf_counter()
            got = await fetch_span(holder, KEY.did, root, "", first, first + RANGE - 1)
            took.append(time.perf_counter() - began)
            assert len(got) == RANGE
        _, _, before = await holder.usage()
        receiver = [sys.executable, "-m", "bench.blobclient", str(folder / "there"), holder.base, str(root)]
        told = (await trio.run_process(receiver, capture_stdout=True)).stdout.split()
        _, after, _ = await holder.usage()
    seconds, used, grown = float(told[0]), float(told[1]), int(told[2])
    promised = Series("promised", (50.0,))
    cold = Figure(
        "a cold MiB within 10 GiB of another site", Series.of_seconds("ms", took), promised, Floor(promised.median)
    )
    note = f"10 GiB at {SIZE / seconds / 1e6:,.0f} MB/s; the receiver used {used / 10:.2f} processor seconds a GiB"
    return Report((cold, _memory("receiver", grown), _memory("sender", after - before)), (note,))


def _memory(whose: str, kib: int) -> Figure:
    grown, most = Series("MiB", (round(kib / 1024, 1),)), Series("promised", (MOST_MEMORY,))
    return Figure(f"memory of the {whose} of 10 GiB", grown, most, Floor(MOST_MEMORY), "MiB")
