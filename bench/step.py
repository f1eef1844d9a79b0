"""One scattered step of a real consortium of two, beside the bare sandbox run of the same command.

The step is given a small resident table of the hospital and prints a count; the institute's bus orders it. Bare is the
same command over the same bytes in the same sandbox, without a node. Each step is followed by its bare run, on the same
machine in the same second.

- **Order to receipt**, promised within 60 ms beyond the bare run: the institute's bus runs in this process, the
  hospital's node in its own. From the making of the order (signed, journalled, sent over libp2p) until its receipt is
  checked and journalled. In between the hospital verifies, decides, writes its intent, hashes the table, runs the
  step, hashes the table again, stores the output, decides its release and writes the result.
  Several of these wait for the disk, so the notes say what one flush of it took in the same seconds.
- **The question alone**: of that, what passes between the two nodes and at the hospital.
- **Submission to result**: both nodes in processes of their own, by the researcher's client: plan, sign, submit, wait.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

import trio

from bench.consortium import OUTPUT, Running, consortium
from bench.figure import Figure, Floor, Report, Series
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Unreachable
from catalog.key import signed
from devnet.process import end
from devnet.topology import RESEARCHER
from node.api.person import Persons
from node.api.view import Plan
from node.bus.course import Course, Task
from node.bus.dispatch import Dispatcher, Offered
from node.execute.sandbox import Sandbox
from node.ports import Control
from node.site.serving import serve
from node.site.site import Site
from node.step import Job, Mount
from workflow.argument import Many
from workflow.order import Instance, Wanted
from workflow.plan.make import make_plan
from workflow.submission import Submission

RUNS = 30
WARM_UP = 3
_PATIENCE_SECONDS = 30.0


def measure() -> Report:
    """Measure all three."""
    with consortium() as running:
        whole = _submissions(running)
        with running.researcher() as researcher:
            plans = [running.plan(researcher) for _ in range(WARM_UP + RUNS)]
        # The institute's node makes room for its own bus in this process.
        end([running.processes[running.known.institute.handle]])
        steps = trio.run(_orders, running, plans)
    return Report(
        (
            Figure("one scattered step, order to receipt", steps.carried, steps.bare, Floor(60, beyond=True)),
            Figure("of it, the question and its answer", steps.asked, steps.bare),
            Figure("the same step, submission to result", *whole),
        ),
        (f"one small file flushed to this disk, between the steps: {steps.flush.median:.1f} ms",),
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    carried: Series
    asked: Series
    bare: Series
    flush: Series


def _submissions(running: Running) -> tuple[Series, Series]:
    took, bare = [], []
    with running.researcher() as researcher:
        for _ in range(WARM_UP + RUNS):
            began = time.perf_counter()
            researcher.wait(researcher.submit(running.plan(researcher))).check()
            took.append(time.perf_counter() - began)
            bare.append(trio.run(_bare, running))
    return _series("plan, submit, wait", took), _series("bare sandbox run", bare)


async def _orders(running: Running, plans: list[Plan]) -> _Steps:
    person = Persons(running.places.home).load(RESEARCHER).key
    site = await Site.open(running.places.site(running.known.institute))
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, site)
            if site.consorting is None:
                raise ComityError("the institute is in no consortium")
            control = _Timed(site.consorting.control)
            dispatcher = Dispatcher(
                site.node.key, site.index, site.journal, control, site.received, site.book.halts, site.clock
            )
            hospital = plans[0].view.steps[0].site
            await _until(lambda: site.membership.nodes[hospital] in site.network.connected())
            took, bare, flush = [], [], []
            for plan in plans:
                submission = signed(plan.submission, person)
                await site.journal.begin(submission, plan.workflow, site.clock.now())
                record = await site.journal.record(cid_of(submission))
                bus, names = site.consorting.bus, site.membership.names
                workflow, draft = await bus.draft(plan.workflow, submission.inputs, names)
                course = Course(record, workflow, draft, make_plan(draft))
                task = _task(running, plan, submission)
                began = time.perf_counter()
                offered = Offered(hospital, plan.view.steps[0].cost, course.end)
                order = await dispatcher.order(course, task, 1, offered)
                reached = await dispatcher.attempt(course, task, order, alone=True)
                took.append(time.perf_counter() - began)
                if not reached.delivered:
                    raise ComityError(f"the step was not delivered: {reached.kind}, {reached.reason}")
                bare.append(await _bare(running))
                flush.append(await trio.to_thread.run_sync(_flush, running.places.path))
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await site.aclose()
    return _Steps(
        _series("dispatched", took),
        _series("asked", control.seconds),
        _series("bare sandbox run", bare),
        _series("flush", flush),
    )


def _task(running: Running, plan: Plan, submission: Submission) -> Task:
    step = plan.view.steps[0]
    given = submission.inputs["tables"]
    if not isinstance(given, Many):
        raise ComityError("the workflow takes a list of tables, and was planned with something else")
    return Task(
        instance=Instance(submission=cid_of(submission), step=step.step, shard=step.shard),
        block=running.block,
        inputs={"data": given.items[0]},
        proofs=(),
        outputs={"result": Wanted(type="statistics", readers=tuple(sorted(submission.destinations)))},
    )


@dataclass(slots=True)
class _Timed:
    """The control port, with how long each question took."""

    control: Control
    seconds: list[float] = field(default_factory=list)

    async def ask(self, site: str, question: bytes, seconds: float = 30.0) -> bytes:
        began = time.perf_counter()
        answer = await self.control.ask(site, question, seconds)
        self.seconds.append(time.perf_counter() - began)
        return answer

    async def hint(self, message: bytes) -> None:
        await self.control.hint(message)


async def _bare(running: Running) -> float:
    """Seconds of the same command in the sandbox, without a node."""
    with TemporaryDirectory(dir=running.places.path) as folder:
        job = Job(
            argv=("printf", OUTPUT),
            work=Path(folder),
            stdout="result.json",
            mounts=(Mount(_table(running), "/inputs/data/table.csv"),),
        )
        began = time.perf_counter()
        ended = await Sandbox().run(job)
        took = time.perf_counter() - began
    if ended.code:
        raise ComityError(f"the bare command ended with code {ended.code}: {ended.errors.decode(errors='replace')}")
    return took


def _flush(folder: Path) -> float:
    began = time.perf_counter()
    with NamedTemporaryFile(dir=folder) as file:
        file.write(bytes(1024))
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - began


def _table(running: Running) -> Path:
    return running.places.table(running.known.hospitals[0])


async def _until(true: Callable[[], bool]) -> None:
    with trio.move_on_after(_PATIENCE_SECONDS):
        while not true():  # noqa: ASYNC110 - a connection of libp2p's gives no event
            await trio.sleep(0.05)
        return
    raise Unreachable(f"the two nodes were not connected within {_PATIENCE_SECONDS:.0f} s")


def _series(what: str, seconds: list[float]) -> Series:
    return Series.of_seconds(what, seconds[WARM_UP:])
