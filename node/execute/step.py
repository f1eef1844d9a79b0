"""A step from its block and its inputs to its stored outputs: stage read-only, run, collect.

The host's paths end here: what the core sees are CIDs, and what the step sees are ``/block``, ``/inputs`` and
``/work``. Resident data are mounted where they lie, hashed before the run and again after it.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Denied, NotFound, Unreachable, VerificationFailed
from catalog.offer import Most
from catalog.project import ProjectRef
from node.execute.allowed import allowed, within
from node.execute.cwl.evaluator import Evaluator, Session
from node.execute.cwl.message import Load, Loaded, Outputs
from node.execute.cwl.places import located
from node.execute.discard import discard
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.description import FILE, MOST_BYTES, Reference, check_platform, read
from node.execute.evaluation import UNTAKEN, Delivered, Evaluation, Failed
from node.execute.inside.weigh import crowded
from node.execute.place import begin_place
from node.execute.products import Products
from node.execute.stage import Materials, Stage
from node.execute.turns import Turns
from node.execute.view import View
from node.ports import Blobs
from node.step import Environment, Finished, Footing, Limits, Made, Memo, Product, Queue, Runner, Usage, Work
from workflow.alone import Alone
from workflow.parse import parse_tool
from workflow.receipt import Form
from workflow.tool import Tool

log = logging.getLogger("comity.steps")
TOOL = "tool.cwl"
BLOCK = "/block"
"""Where the tool's own folder is inside."""

STEP = "/step.cwl"
"""What the signed text has around it."""

STANDARD_ERROR = "stderr"
MAX_TOOLS = 256
PROBE_SECONDS = 240
PROVEN_SECONDS = 3600.0
PROVEN_AGAIN_SECONDS = 60.0
TOO_LATE = "its time was over before its command began"
NO_ROOM = "no room on the disk where steps are staged"


class StepExecutor:
    """The ``Steps`` port: runs blocks with ``runner`` in folders below ``work``."""

    def __init__(
        self,
        runner: Runner,
        evaluator: Evaluator,
        materials: Materials,
        blobs: Blobs,
        work: Path,
        limits: Limits,
        memo: Memo | None = None,
        at_once: int = 0,
        checkouts: Checkouts | None = None,
        offered: Callable[[], Most | None] = lambda: None,
    ) -> None:
        """Without a ``memo`` every step is run; ``at_once`` of them, or as many as there are processors.

        Without ``checkouts`` no block is run that names an environment. ``offered`` is the most that the steward lets a
        step use, within ``limits``. ``proven`` is when the runner showed its isolation last, in Unix milliseconds; 0 if
        it never did. So many steps have ``begun`` since the node started.
        """
        self.runner = runner.name
        self.fault = ""
        self.leftovers = 0
        self._runner = runner
        self._evaluator = evaluator
        self._materials = materials
        self._blobs = blobs
        self._work = work
        self._limits = limits
        self._memo = memo
        self._checkouts = checkouts
        self._offered = offered
        self._tools: dict[Cid, Tool] = {}
        self._most = at_once or os.cpu_count() or 1
        self._turns = trio.Semaphore(self._most)
        # While commands run, the sandboxes of those that come next are made: who comes next is decided here.
        self._made = Turns(2 * self._most)
        self._doubted = trio.Event()
        self.begun = self._ended = 0
        self.proven = 0
        self.footing = Footing(runner, work, limits)

    async def start(self) -> None:
        """End and remove what an earlier node left of its steps, and let the runner show its isolation.

        A runner that cannot is kept as ``fault``: the node serves, and refuses every step with that reason.

        Raises:
            BadInput: the folder of the steps is not this node's, or cannot be made.
        """
        self.leftovers = await self._runner.recover(self._work)
        await trio.to_thread.run_sync(begin_place, self._work)
        if self._checkouts is not None:
            await trio.to_thread.run_sync(self._checkouts.start)
        await self._prove()

    async def keep_proving(self) -> None:
        """Let the runner show its isolation again each hour, each minute while it cannot, and at once when it
        refuses a step, or goes while it runs one; until cancelled.
        """
        while True:
            with trio.move_on_after(PROVEN_AGAIN_SECONDS if self.fault else PROVEN_SECONDS):
                await self._doubted.wait()
            self._doubted = trio.Event()
            before = self.fault
            await self._prove()
            if self.fault != before:
                log.error("no step runs here: %s", self.fault) if self.fault else log.warning("steps run here again")

    async def _prove(self) -> None:
        fault = f"the runner did not show its isolation within {PROBE_SECONDS} s; restart the node, or see its log"
        with trio.move_on_after(PROBE_SECONDS):
            try:
                await self._runner.probe()
                fault, self.proven = "", time.time_ns() // 1_000_000
            except ComityError as error:
                fault = str(error)
            except OSError as error:
                fault = f"the probe of the runner's isolation could not be made: {error.strerror}; it is tried again"
        self.fault = fault

    @property
    def limits(self) -> Limits:
        """The most that a step may use that begins now."""
        return within(self._limits, self._offered())

    @property
    def queue(self) -> Queue:
        """The steps that are here now."""
        running = self._most - self._turns.value
        return Queue(running, self.begun - self._ended - running, self._most)

    async def tool(self, block: Cid) -> Tool:
        """The block's tool.

        Raises:
            NotFound, Unreachable, VerificationFailed: the block cannot be had.
            BadInput: its tool is none that this node runs.
        """
        known = self._tools.get(block)
        if known is None:
            await self._materials.block(block)
            text = await self._blobs.read(block, TOOL, 256 << 10)
            known = await trio.to_thread.run_sync(parse_tool, text, TOOL)
            if len(self._tools) >= MAX_TOOLS:
                self._tools.clear()
            self._tools[block] = known
        return known

    async def run(self, work: Work, seconds: float, order: Cid, project: ProjectRef) -> Finished:
        """Do the ``work`` for at most ``seconds``, to carry out ``order`` for ``project``.

        Raises:
            Denied: the runner cannot isolate here.
            ComityError: data or block cannot be had.
        """
        if self.fault:
            raise Denied(self.fault)
        until = trio.current_time() + seconds
        tool = await self.tool(work.block)
        folder = self._work / secrets.token_hex(8)
        stage = Stage(self._materials, self._blobs, folder, order, project, self._limits.input_bytes)
        self.begun += 1
        try:
            stage.work.mkdir(parents=True, mode=0o700)
            for argument in work.inputs.values():
                await stage.fetch(argument)
            finished = await self._recalled_or_run(stage, tool, work, until)
        except (BadInput, VerificationFailed) as error:
            log.warning("a step of the block %s came to nothing before its command ran: %s", work.block, error)
            return Finished({}, None, str(error))
        except ComityError as error:
            log.warning("a step of the block %s could not be run: %s", work.block, error)
            raise
        except OSError as error:
            # An argument longer than the system takes, a file of the block that is a folder: the block's fault, or
            # this machine's, and never the end of the node.
            log.warning("a step of the block %s could not be run in %s: %s", work.block, self._work, error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return Finished({}, None, f"it could not be run: {NO_ROOM if full else type(error).__name__}")
        else:
            if not finished.failure and finished.memo is None:
                await self._remember(tool, work, project, Made(order, finished.products))
            return finished
        finally:
            self._ended += 1
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_discarded, folder)

    async def _recalled_or_run(self, stage: Stage, tool: Tool, work: Work, until: float) -> Finished:
        """What the tool made of the same before; else its environment is brought, before the turn, and it is run.

        Raises:
            ComityError: data, block or environment cannot be had.
        """
        if await self._recalled(tool, work, stage.project) is None:
            async with self._environment(tool, work.block) as environment:
                return await self._in_turn(stage, tool, work, until, environment)
        async with self._made.turn(stage.project.site):
            await stage.bring(work.inputs)
            made = await self._recalled(tool, work, stage.project)
        if made is None:
            raise Unreachable(
                "what the step made before went while its data were staged: place it again, and it is run"
            )
        return Finished(made.products, None, memo=made.order)

    @asynccontextmanager
    async def _environment(self, tool: Tool, block: Cid) -> AsyncIterator[Environment | None]:
        """The environment that the block names, brought here and checked out if it was not; none if it names none.

        Raises:
            NotFound, Unreachable, VerificationFailed: it cannot be had. BadInput: it is for another kind of machine.
        """
        if tool.runs_in is None:
            yield None
            return
        if self._checkouts is None:
            raise Denied("no block that names an environment is run here")
        # The block's CID covers which one it is; what its catalog entry says of that only leads to it.
        named = read(Reference, await self._blobs.read(block, FILE, MOST_BYTES))
        check_platform(named.platform)
        if not self._checkouts.has(named.cid):
            await self._materials.environment(named.cid, block)
        async with self._checkouts.using(named.cid, named.bytes) as environment:
            yield environment

    async def _in_turn(
        self, stage: Stage, tool: Tool, work: Work, until: float, environment: Environment | None
    ) -> Finished:
        """Stage and run when it is the turn of the member whose project it is for: who waits takes no room on the disk.

        Raises:
            ComityError: data or block cannot be had.
            VerificationFailed: the runner does not take the job; why names paths of this host, which stay here.
        """
        async with self._made.turn(stage.project.site):
            values = await stage.bring(work.inputs)
            made = await self._recalled(tool, work, stage.project)
            if made is not None:
                return Finished(made.products, None, memo=made.order)
            view = View({BLOCK: await self._checkout(work.block)})
            step = await trio.to_thread.run_sync(Evaluation, values, stage, view, stage.work, stage.folder)
            with trio.move_on_at(until) as time_left:
                delivered = await self._evaluated(step, work, stage, environment, time_left)
            if time_left.cancelled_caught:
                delivered = Failed(TOO_LATE, b"", None)
            if isinstance(delivered, Failed):
                return await self._failed(delivered, stage.project)
            return await self._stored(delivered, tool, step, stage)

    async def _evaluated(
        self,
        step: Evaluation,
        work: Work,
        stage: Stage,
        environment: Environment | None,
        time_left: trio.CancelScope,
    ) -> Delivered | Failed:
        """What a step delivers; cancelled where its ``time_left`` is over before its command began."""
        delivered = await self._read_first(step, work.around, stage)
        if delivered is not None:
            return delivered
        key = work.block, work.around
        async with self._evaluator.kept(key, _load(work.around), step.view) as session:
            return await self._carried_out(step, session, stage, environment, time_left)

    async def _read_first(self, step: Evaluation, around: Alone | None, stage: Stage) -> Delivered | Failed | None:
        """What of a step is evaluated before its block's command is made; what it delivers, if it is not to be made."""
        if around is None:
            return None
        text = stage.folder / "step.cwl"
        await trio.to_thread.run_sync(text.write_text, around.text)
        step.view.places[STEP] = text
        if not around.read_first:
            return None
        began = trio.current_time()
        async with self._evaluator.workflow(step.view) as session:
            await session.ask(Load(uri=located(STEP)), Loaded)
            told = await step.read_first(session, around)
        if isinstance(told, Failed | None):
            return told
        await stage.check_unchanged()
        return Delivered(told, Usage(trio.current_time() - began, 0.0, 0))

    async def _carried_out(
        self,
        step: Evaluation,
        session: Session,
        stage: Stage,
        environment: Environment | None,
        time_left: trio.CancelScope,
    ) -> Delivered | Failed:
        began = trio.current_time()
        ready = await step.command(session, self.limits)
        if isinstance(ready, Failed):
            return ready
        if isinstance(ready, Outputs):
            await stage.check_unchanged()
            return Delivered(ready.values, Usage(trio.current_time() - began, 0.0, 0))
        left = time_left.deadline - trio.current_time()
        job = await step.job(ready, allowed(self.limits, ready, left), environment)
        time_left.deadline = math.inf  # from here on the runner keeps the time
        try:
            ended = await self._runner.run(job, self._turns)
        except (Denied, Unreachable):
            self._doubted.set()
            raise
        except BadInput as error:
            log.warning("the runner does not take a step: %s", error)
            raise VerificationFailed("this site's runner does not take the step; its steward can see why") from error
        return await step.ended(session, ready, job, ended, stage.check_unchanged)

    async def _recalled(self, tool: Tool, work: Work, project: ProjectRef) -> Made | None:
        """What the tool made of the same before; none if it is to be run.

        What it gives is used once all is staged, as for any run: what the data's owners say, and whether the data are
        still what was published, is asked anew. A memo spares the command and its environment, and nothing else.
        """
        if self._memo is None or not tool.reuse:
            return None
        try:
            return await self._memo.recall(project, work)
        except ComityError as error:
            log.warning(
                "a step of the block %s is run again, for what it made before is not to be read: %s", work.block, error
            )
            return None

    async def _remember(self, tool: Tool, work: Work, project: ProjectRef, made: Made) -> None:
        if self._memo is None or not tool.reuse:
            return
        try:
            await self._memo.keep(project, work, made)
        except (ComityError, OSError) as error:
            log.warning("what a step of the block %s made is not remembered: %s", work.block, error)

    async def _stored(self, delivered: Delivered, tool: Tool, step: Evaluation, stage: Stage) -> Finished:
        """Every output that the tool declares, also those that are nothing."""
        products = Products(self._blobs, stage.project, step.view, stage.folder)
        try:
            made = {each.name: await products.store(delivered.values.get(each.name)) for each in tool.outputs}
        except (BadInput, NotFound, VerificationFailed) as error:
            return await self._failed(Failed(UNTAKEN, str(error).encode(), delivered.usage), stage.project)
        return Finished(made, delivered.usage)

    async def _failed(self, failed: Failed, project: ProjectRef) -> Finished:
        """A step that failed. What was said of that may quote its data, so it is held as an output would be.

        Where the disk does not take it, it is lost, and the account of what failed and what it used is not.
        """
        if full := await trio.to_thread.run_sync(crowded, self._work):
            log.warning("a step failed where there is no room, in %s: %s", self._work, full)
        held = None
        if failed.said:
            try:
                cid = await self._blobs.hold(failed.said, project)
                held = Product(STANDARD_ERROR, cid, len(failed.said), Form.FILE)
            except ComityError as error:
                log.warning("what a step that failed wrote to standard error is not held: %s", error)
        return Finished({}, failed.usage, failed.failure, errors=held)

    async def _checkout(self, block: Cid) -> Path:
        """The block's folder, written out once and mounted read-only by every step that runs it."""
        place = self._work / f"block-{block}"
        if not place.exists():
            fresh = self._work / secrets.token_hex(8)
            await self._blobs.checkout(block, fresh)
            if place.exists():
                await trio.to_thread.run_sync(shutil.rmtree, fresh)
            else:
                fresh.rename(place)
        return place


def _load(around: Alone | None) -> Load:
    """The block's tool: alone, or as the signed text has it."""
    return Load(uri=located(f"{BLOCK}/{TOOL}")) if around is None else Load(uri=located(STEP), step=around.id)


def _discarded(folder: Path) -> None:
    if folder.exists():  # on a full disk it may not have been made
        discard(folder)
