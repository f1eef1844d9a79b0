"""What an order costs a hospital beyond its command, how many it carries out a second, and what ten thousand weigh.

All of it is the automator's own way with an order on a real disk and in a real sandbox, without the network between:
verified, decided, its intent durable, data staged, the command run, its output collected and stored, the release
decided, its result durable. ``bench/hospital.py`` says what is not real: other members, who have cosigned at once.

- **One at a time**: a copy of a small resident table, promised within 25 ms beyond the same command in the same
  sandbox without a node. Each is followed by its bare run. Here both logs wait for the disk, so a note says what one
  flush of it took in the same seconds.
- **As many as come**: orders for ``true`` that are placed together, promised 40 a second, so at most 25 ms for each.
  The reference is as many bare runs of ``true``, as many at a time as there are processors.
- **Queued**: 10,000 orders whose intents stand and whose commands wait for a processor, promised in 200 MB. The
  reference is what was placed, as the bytes in which it came.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import trio
from msgspec import structs

from bench.figure import Figure, Floor, Report, Series
from bench.hospital import COPY, INSTITUTE, TRUE, Covered, Hospital, hospital
from bench.memory import forget_peak, peak
from bench.workplace import workplace
from catalog.error import ComityError, Unreachable
from node.execute.machine import this_machine
from node.execute.sandbox import Sandbox
from node.message import Place, question_bytes, read_question
from node.site.orders import Orders
from node.step import AT_ONCE, Description, Exit, Job, Machine, Mount, Turn
from workflow.receipt import Status

RUNS: Final = 40
WARM_UP: Final = 3
BURST: Final = 200
BURSTS: Final = 3
QUEUED: Final = 10_000
MB: Final = 1_000_000


def measure() -> Report:
    """Measure all three."""
    with workplace() as folder:
        (folder / "one").mkdir()
        one, flush = trio.run(_one_at_a_time, folder / "one")
        (folder / "many").mkdir()
        many, spent = trio.run(_together, folder / "many")
        (folder / "queued").mkdir()
        # In a process of its own: what others gave back there would hold some of it, and count for nothing.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            queued = apart.submit(trio.run, _queued, folder / "queued").result()
    return Report(
        (one, many, queued),
        (
            f"one small file flushed to this disk, between the steps: {flush.median:.1f} ms",
            f"{1000 / many.ours.median:,.0f} orders for «true» a second; bare, {1000 / many.reference.median:,.0f};"
            f" {spent.median:.1f} ms of processors for each order, those of its sandbox among them",
        ),
    )


async def _one_at_a_time(folder: Path) -> tuple[Figure, Series]:
    table = folder / "table.csv"
    table.write_text("age,births\n" + "30,1\n" * 200)
    took, bare, flush = [], [], []
    async with hospital(folder) as there:
        await there.share("copy", COPY, folder)
        data = await there.publish(table)
        for number in range(WARM_UP + RUNS):
            took.append(await _seconds(partial(_carry, there, [there.order("copy", {"data": data})])))
            job = _job(folder / f"bare-{number}", ("cp", "/inputs/data/table.csv", "result.csv"), table)
            bare.append(await _seconds(partial(_run, [job])))
            flush.append(await trio.to_thread.run_sync(_flush, folder))
    carried, reference, flushed = (
        Series.of_seconds(what, seconds[WARM_UP:])
        for what, seconds in (("carried", took), ("bare sandbox run", bare), ("flush", flush))
    )
    return Figure("an order, one at a time", carried, reference, Floor(25, beyond=True)), flushed


async def _together(folder: Path) -> tuple[Figure, Series]:
    took, bare, spent = [], [], []
    async with hospital(folder) as there:
        await there.share("true", TRUE, folder)
        await _carry(there, [there.order("true", {})])
        for burst in range(BURSTS):
            messages = [there.order("true", {}) for _ in range(BURST)]
            before = _processor_seconds()
            took.append(await _seconds(partial(_carry, there, messages)) / BURST)
            spent.append((_processor_seconds() - before) / BURST)
            jobs = [_job(folder / f"bare-{burst}-{number}", ("true",)) for number in range(BURST)]
            bare.append(await _seconds(partial(_run, jobs)) / BURST)
    figure = Figure(
        f"{BURST} orders for «true» together, each",
        Series.of_seconds("carried", took),
        Series.of_seconds("bare sandbox runs", bare),
        Floor(25),
    )
    return figure, Series.of_seconds("processor time", spent)


async def _queued(folder: Path) -> Figure:
    async with hospital(folder, _Stuck()) as there:
        await there.share("true", TRUE, folder)
        # Kept as bytes, for as values they would be counted before anybody placed them.
        placed = [question_bytes(there.order("true", {})) for _ in range(QUEUED)]
        await there.site.steps.tool(there.blocks["true"])
        before = forget_peak()
        async with trio.open_nursery() as nursery:
            orders = Orders(there.automator, nursery, Covered().reach)
            for each in placed:
                await _place(orders, each)
            while there.site.audit.size < QUEUED:  # noqa: ASYNC110 - a log gives no event
                await trio.sleep(0.5)
            grown = (peak() - before) * 1024
            nursery.cancel_scope.cancel()
    return Figure(
        f"memory of {QUEUED:,} queued orders, MB",
        Series("grown by", (grown / MB,)),
        Series("as they came", (sum(map(len, placed)) / MB,)),
        Floor(200),
        "MB",
    )


async def _place(orders: Orders, data: bytes) -> None:
    message = read_question(data)
    if not isinstance(message, Place):
        raise ComityError("an order was read as something else")
    with suppress(Unreachable):  # it is still being verified
        await orders.place(structs.replace(message, seconds=0), INSTITUTE.did)


class _Stuck:
    """A runner whose commands never end."""

    name = "sandbox"

    async def describe(self) -> Description:
        """It is none."""
        return Description(self.name, "")

    async def machine(self) -> Machine:
        """This one."""
        return this_machine()

    async def probe(self) -> None:
        """Nothing is shown."""

    async def recover(self, _folder: Path) -> int:
        """Nothing is left."""
        return 0

    async def run(self, _job: Job, _turn: Turn = AT_ONCE) -> Exit:
        """Never comes back."""
        return await trio.sleep_forever()


async def _carry(there: Hospital, messages: Sequence[Place]) -> None:
    """Carry all ``messages`` out, side by side."""

    async def carry(message: Place) -> None:
        receipt = await there.automator.carry(message, INSTITUTE.did)
        if receipt.status not in (Status.DONE, Status.ACCEPTED):
            raise ComityError(f"the benchmark's order came to nothing: {receipt.status}, {receipt.reason}")

    async with trio.open_nursery() as nursery:
        for message in messages:
            nursery.start_soon(carry, message)


async def _run(jobs: Sequence[Job]) -> None:
    """Run all ``jobs``, as many at a time as there are processors."""
    turns = trio.CapacityLimiter(os.cpu_count() or 1)

    async def run(job: Job) -> None:
        async with turns:
            ended = await Sandbox().run(job)
        if ended.code:
            raise ComityError(f"the bare command ended with code {ended.code}: {ended.errors.decode(errors='replace')}")

    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(run, job)


def _job(work: Path, argv: tuple[str, ...], table: Path | None = None) -> Job:
    work.mkdir()
    mounts = () if table is None else (Mount(table, "/inputs/data/table.csv"),)
    return Job(argv=argv, work=work, mounts=mounts)


async def _seconds(work: Callable[[], Awaitable[None]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _processor_seconds() -> float:
    """What this process and those that it has seen end have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _flush(folder: Path) -> float:
    began = time.perf_counter()
    with NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(1024))
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - began
