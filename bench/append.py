"""Writing a log: 100,000 entries, their bodies signed and durable, a checkpoint signed for each group of 100.

- **Ours**: a body of some 400 bytes is written and signed, sealed into a leaf, and appended with the 99 beside it: the
  bodies and the tiles are flushed, then the checkpoint that covers them is signed and flushed. Promised: 5,000 entries
  a second, so at most 20 s for all. The signatures of the bodies are part of it; the notes say how long they took.
- **The reference** is Tessera's driver for POSIX file systems, by the program that ``tests/oracle`` builds: leaves of
  the same size, integrated by 100, every file flushed. It keeps no bodies, and publishes a checkpoint each 100 ms.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import trio

from bench.figure import Figure, Floor, Report, Series
from bench.workplace import workplace
from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.error import ComityError
from catalog.key import PrivateKey
from catalog.offer import OfferFields
from catalog.origin import LogName, origin_of
from node.storage.log import DiskLog
from node.system import SystemRandom

ENTRIES = 100_000
GROUP = 100
_ORACLE = Path("tests/oracle/run")


def measure() -> Report:
    """Measure ours, then Tessera's, on the same disk."""
    with workplace() as folder:
        root, node, steward = (PrivateKey(bytes([number]) * 32) for number in (1, 2, 3))
        began = time.perf_counter()
        bodies = [_body(root.did, steward, number) for number in range(ENTRIES)]
        signing = time.perf_counter() - began
        appending = trio.run(_append, folder / "log", root.did, node, bodies)
        theirs = _tessera(folder / "tessera")
    each = 1e6 / ENTRIES
    return Report(
        (
            Figure(
                f"{ENTRIES:,} entries, {GROUP} to a checkpoint",
                Series.of_seconds("signed, sealed, durable", [signing + appending]),
                Series.of_seconds("Tessera's POSIX driver", [theirs]),
                Floor(20_000),
            ),
        ),
        (
            f"{ENTRIES / (signing + appending):,.0f} entries a second; of {(signing + appending) * each:.0f} µs each,"
            f" {signing * each:.0f} sign the body and {appending * each:.0f} append it; Tessera:"
            f" {ENTRIES / theirs:,.0f} a second",
        ),
    )


def _body(site: str, steward: PrivateKey, number: int) -> bytes:
    fields = OfferFields(runner="sandbox", price=number, step_millis=1000)
    return encode(write_body("offer", fields, site=site, at=1_790_000_000_000 + number, by=steward, previous=None))


async def _append(folder: Path, site: str, node: PrivateKey, bodies: list[bytes]) -> float:
    async with await DiskLog.create(folder, origin_of(site, LogName.CATALOG), 0, node, SystemRandom()) as log:
        began = time.perf_counter()
        for start in range(0, ENTRIES, GROUP):
            await log.append([("offer", body) for body in bodies[start : start + GROUP]])
        return time.perf_counter() - began


def _tessera(folder: Path) -> float:
    """Seconds that Tessera takes for as many leaves of the same size."""
    binary = _said([_ORACLE, "binary"])
    seconds: float = json.loads(_said([binary, "append", str(ENTRIES), str(folder)]))["seconds"]
    return seconds


def _said(command: Sequence[str | Path]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise ComityError(f"Tessera could not be measured: {ran.stderr.strip()[-300:]}; see tests/oracle")
    return ran.stdout.strip()
