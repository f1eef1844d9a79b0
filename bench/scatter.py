"""Scattered steps that do nothing, over three hospitals and an institute whose bus orders them, all on loopback.

Each step is ``true``, given a small resident table and a number of its own, so that none is remembered; all guarantees
are on: verified, decided, written down and cosigned before it runs, isolated, its table hashed before and after. The
reference is the same command over the same table in the same sandbox, without nodes, two at once.

- **A step of a thousand**: 30 a second are promised, 33.3 ms each, and at most 4 times what cwltool takes that runs the
  same steps side by side in bubblewrap (116 a second on the machine of the design, 8.6 ms each).
- **The same of ten times less**: what a step takes may not grow with how many there are.
- **Memory** of the requester's node, when all had ended: 400 MB are promised.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from bench.consortium import Running, consortium
from bench.figure import Figure, Floor, Report, Series
from devnet.topology import PROJECT
from node.execute.sandbox import Sandbox
from node.step import Job, Mount

MANY: Final = 999
FEW: Final = 99
BARE: Final = 200
AT_ONCE: Final = 2

TOOL: Final = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: ["true"]
inputs: {table: File, n: int}
outputs: {}
"""
WORKFLOW: Final = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {t0: File, t1: File, t2: File, ns: "int[]"}
steps:
  a: {run: "comity:BLOCK", scatter: n, in: {table: t0, n: ns}, out: []}
  b: {run: "comity:BLOCK", scatter: n, in: {table: t1, n: ns}, out: []}
  c: {run: "comity:BLOCK", scatter: n, in: {table: t2, n: ns}, out: []}
outputs: {}
"""


def measure() -> Report:
    """Measure all three."""
    with consortium(4) as running:
        with running.researcher() as researcher:
            block = researcher.publish_block({"tool.cwl": TOOL}, name="nothing").cid
            researcher.share_block(block, [each.name for each in running.known.hospitals])
        text = WORKFLOW.replace("BLOCK", str(block))
        _carried(running, text, 0, FEW)
        few = _carried(running, text, FEW, FEW)
        bare = trio.run(_bare, running)
        many = _carried(running, text, 2 * FEW, MANY)
        resident = _resident(running)
    return Report(
        (
            Figure(f"a step of {MANY:,} scattered ones", many, bare, Floor(1000 / 30)),
            Figure(f"a step of {FEW} scattered ones", few, bare),
            Figure("what a step takes longer among more", many, few, Floor(0.1 * few.median, beyond=True)),
            Figure("memory of the requester's node", resident, Series("of the promise", (400.0,)), Floor(400), "MB"),
        ),
        (f"{1000 / many.median:.1f} steps a second; bare {1000 / bare.median:.1f}, {AT_ONCE} at once",),
    )


def _carried(running: Running, text: str, first: int, count: int) -> Series:
    """What a step takes, of so many that were never run before, from the submission to its end."""
    job: dict[str, object] = {f"t{number}": cid for number, cid in enumerate(running.tables)}
    job["ns"] = list(range(first, first + count // 3))
    with running.researcher() as researcher:
        plan = researcher.plan(text, job, project=PROJECT, deadline="4h", budget="1000")
        began = time.perf_counter()
        researcher.wait(researcher.submit(plan)).check()
        took = time.perf_counter() - began
    return Series.of_seconds("submission to end, by steps", (took / count,))


async def _bare(running: Running) -> Series:
    """What a step takes in the sandbox alone, of so many side by side."""
    sandbox, turns = Sandbox(), trio.CapacityLimiter(AT_ONCE)
    table = running.places.table(running.known.hospitals[0])

    async def one(number: int) -> None:
        async with turns:
            with TemporaryDirectory() as folder:
                work = Path(folder) / "work"
                work.mkdir()
                await sandbox.run(Job(argv=("true", str(number)), work=work, mounts=(Mount(table, "/inputs/table"),)))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(BARE):
            nursery.start_soon(one, number)
    return Series.of_seconds("bare sandbox runs", ((trio.current_time() - began) / BARE,))


def _resident(running: Running) -> Series:
    pid = running.processes[running.known.institute.handle].pid
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return Series("resident", (kib * 1024 / 1e6,))
