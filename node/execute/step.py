"""A step from its block and its inputs to its stored outputs: stage read-only, run, collect.

The host's paths end here: what the core sees are CIDs, and what the step sees are ``/block``, ``/inputs`` and
``/work``. Resident data are mounted where they lie, hashed before the run and again after it.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Denied, NotFound, Unreachable, VerificationFailed
from catalog.offer import Most
from catalog.project import ProjectRef
from node.execute.allowed import allowed, within
from node.execute.collect import Collected, collect, read_listing
from node.execute.discard import discard
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.description import FILE, MOST_BYTES, Reference, check_platform, read
from node.execute.inside.weigh import crowded
from node.execute.place import begin_place
from node.execute.stage import Materials, Stage
from node.execute.turns import Turns
from node.ports import Blobs
from node.step import (
    Ending,
    Environment,
    Exit,
    Finished,
    Footing,
    Job,
    Limits,
    Made,
    Memo,
    Mount,
    Product,
    Queue,
    Runner,
)
from workflow.argument import Argument
from workflow.command import BLOCK, Command, command_line
from workflow.name import is_data_name
from workflow.parse import parse_tool
from workflow.reference import Runtime
from workflow.tool import Tool
from workflow.type import Kind

log = logging.getLogger("comity.steps")
TOOL = "tool.cwl"
STANDARD_ERROR = "stderr"
MAX_TOOLS = 256
PROBE_SECONDS = 240
PROVEN_SECONDS = 3600.0
PROVEN_AGAIN_SECONDS = 60.0
NO_ROOM = "no room on the disk where steps are staged"
_MIB = 1 << 20


class StepExecutor:
    """The ``Steps`` port: runs blocks with ``runner`` in folders below ``work``."""

    def __init__(
        self,
        runner: Runner,
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

    async def run(
        self, block: Cid, inputs: Mapping[str, Argument], seconds: float, order: Cid, project: ProjectRef
    ) -> Finished:
        """Run the block's tool on ``inputs`` for at most ``seconds``, to carry out ``order`` for ``project``.

        Raises:
            Denied: the runner cannot isolate here.
            ComityError: data or block cannot be had.
        """
        if self.fault:
            raise Denied(self.fault)
        tool = await self.tool(block)
        folder = self._work / secrets.token_hex(8)
        stage = Stage(self._materials, self._blobs, folder, order, project, self._limits.input_bytes)
        self.begun += 1
        try:
            stage.work.mkdir(parents=True, mode=0o700)
            limits = allowed(self.limits, tool, seconds)
            for argument in inputs.values():
                await stage.fetch(argument)
            finished = await self._recalled_or_run(stage, tool, block, inputs, limits)
        except (BadInput, VerificationFailed) as error:
            log.warning("a step of the block %s came to nothing before its command ran: %s", block, error)
            return Finished({}, None, str(error))
        except ComityError as error:
            log.warning("a step of the block %s could not be run: %s", block, error)
            raise
        except OSError as error:
            # An argument longer than the system takes, a file of the block that is a folder: the block's fault, or
            # this machine's, and never the end of the node.
            log.warning("a step of the block %s could not be run in %s: %s", block, self._work, error)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return Finished({}, None, f"it could not be run: {NO_ROOM if full else type(error).__name__}")
        else:
            if not finished.failure and finished.memo is None:
                await self._remember(tool, block, inputs, project, Made(order, finished.products))
            return finished
        finally:
            self._ended += 1
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_discarded, folder)

    async def _recalled_or_run(
        self, stage: Stage, tool: Tool, block: Cid, inputs: Mapping[str, Argument], limits: Limits
    ) -> Finished:
        """What the tool made of the same before; else its environment is brought, before the turn, and it is run.

        Raises:
            ComityError: data, block or environment cannot be had.
        """
        if await self._recalled(tool, block, inputs, stage.project) is None:
            async with self._environment(tool, block) as environment:
                return await self._in_turn(stage, tool, block, inputs, limits, environment)
        async with self._made.turn(stage.project.site):
            await self._staged(stage, tool, inputs, limits)
            made = await self._recalled(tool, block, inputs, stage.project)
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
        self,
        stage: Stage,
        tool: Tool,
        block: Cid,
        inputs: Mapping[str, Argument],
        limits: Limits,
        environment: Environment | None,
    ) -> Finished:
        """Stage and run when it is the turn of the member whose project it is for: who waits takes no room on the disk.

        Raises:
            ComityError: data or block cannot be had.
            VerificationFailed: the runner does not take the job; why names paths of this host, which stay here.
        """
        async with self._made.turn(stage.project.site):
            command = await self._staged(stage, tool, inputs, limits)
            made = await self._recalled(tool, block, inputs, stage.project)
            if made is not None:
                return Finished(made.products, None, memo=made.order)
            job = await self._job(tool, block, command, stage, limits, environment)
            try:
                ended = await self._runner.run(job, self._turns)
            except (Denied, Unreachable):
                self._doubted.set()
                raise
            except BadInput as error:
                log.warning("the runner does not take a step: %s", error)
                raise VerificationFailed(
                    "this site's runner does not take the step; its steward can see why"
                ) from error
        return await self._after(ended, tool, command, stage)

    async def _staged(self, stage: Stage, tool: Tool, inputs: Mapping[str, Argument], limits: Limits) -> Command:
        """The tool's command line, its inputs each at its place."""
        values = {name: await stage.place(name, argument) for name, argument in inputs.items()}
        return command_line(tool, values, runtime=Runtime(ram=limits.memory_bytes // _MIB))

    async def _job(
        self, tool: Tool, block: Cid, command: Command, stage: Stage, limits: Limits, environment: Environment | None
    ) -> Job:
        """The command for the runner, with what it needs beside it in its work folder."""
        await self._prepare(tool, block, stage.work)
        return Job(
            argv=command.argv,
            work=stage.work,
            mounts=(Mount(await self._checkout(block), BLOCK), *stage.mounts),
            variables=dict(command.environment),
            environment=environment,
            stdin=command.stdin,
            stdout=command.stdout,
            stderr=command.stderr,
            limits=limits,
            succeeds=tool.successes,
        )

    async def _recalled(
        self, tool: Tool, block: Cid, inputs: Mapping[str, Argument], project: ProjectRef
    ) -> Made | None:
        """What the tool made of the same before; none if it is to be run.

        What it gives is used once all is staged, as for any run: what the data's owners say, and whether the data are
        still what was published, is asked anew. A memo spares the command and its environment, and nothing else.
        """
        if self._memo is None or not tool.reuse:
            return None
        try:
            return await self._memo.recall(project, block, inputs)
        except ComityError as error:
            log.warning(
                "a step of the block %s is run again, for what it made before is not to be read: %s", block, error
            )
            return None

    async def _remember(
        self, tool: Tool, block: Cid, inputs: Mapping[str, Argument], project: ProjectRef, made: Made
    ) -> None:
        if self._memo is None or not tool.reuse:
            return
        try:
            await self._memo.keep(project, block, inputs, made)
        except (ComityError, OSError) as error:
            log.warning("what a step of the block %s made is not remembered: %s", block, error)

    async def _after(self, ended: Exit, tool: Tool, command: Command, stage: Stage) -> Finished:
        """What a command that ended delivered, or what it failed of, in words that are none of the command's own."""
        if ended.ending is not Ending.EXITED:
            return await self._failed(ended, f"its command was ended: {ended.reason or ended.ending}", stage.project)
        if ended.code not in tool.successes:
            return await self._failed(ended, f"its command ended with code {ended.code}", stage.project)
        try:
            await stage.check_unchanged()
            return await self._collect(command, ended, stage)
        except (BadInput, NotFound, VerificationFailed) as error:
            return Finished({}, ended.usage, f"its outputs are not to be taken: {type(error).__name__}")

    async def _failed(self, ended: Exit, failure: str, project: ProjectRef) -> Finished:
        """A command that failed. What it wrote of that may quote its data, so it is held as an output would be.

        Where the disk does not take it, it is lost, and the account of what failed and what it used is not.
        """
        if full := await trio.to_thread.run_sync(crowded, self._work):
            log.warning("a step failed where there is no room, in %s: %s", self._work, full)
        held = None
        if ended.errors:
            try:
                cid = await self._blobs.hold(ended.errors, project)
                held = Product(STANDARD_ERROR, cid, len(ended.errors))
            except ComityError as error:
                log.warning("what a step that failed wrote to standard error is not held: %s", error)
        return Finished({}, ended.usage, failure, errors=held)

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

    async def _prepare(self, tool: Tool, block: Cid, work: Path) -> None:
        """Write the files that the tool wants in its working folder (InitialWorkDirRequirement)."""
        for file in tool.work_files:
            place = work.joinpath(*file.name.split("/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.source is not None:
                source = (await self._checkout(block)).joinpath(*file.source.split("/"))
                await trio.to_thread.run_sync(shutil.copyfile, source, place)
            else:
                place.write_text(file.text or "")
            if file.writable:
                place.chmod(0o644)

    async def _collect(self, command: Command, ended: Exit, stage: Stage) -> Finished:
        products: dict[str, Product] = {}
        outputs, usage = command.outputs, ended.usage

        if ended.left is None:
            raise VerificationFailed("what it left could not be looked through")

        def collected(left: bytes) -> list[tuple[Collected, ...]]:
            top = read_listing(left)
            return [collect(top, stage.work, output.patterns, self._limits) for output in outputs]

        for output, found in zip(outputs, await trio.to_thread.run_sync(collected, ended.left), strict=True):
            if not found and output.type.optional:
                continue
            if len(found) != 1 or output.type.depth or found[0].is_dir != (output.type.kind is Kind.DIRECTORY):
                return Finished({}, usage, f"output «{output.name}» is not one {output.type}: {len(found)} found")
            if not is_data_name(found[0].path.name):
                return Finished({}, usage, f"the name of output «{output.name}» is too long, or not plain")
            products[output.name] = await self._store(found[0], stage.project)
        return Finished(products, usage)

    async def _store(self, found: Collected, project: ProjectRef) -> Product:
        cid = await self._blobs.hold_path(found.path, project)
        return Product(found.path.name, cid, found.size)


def _discarded(folder: Path) -> None:
    if folder.exists():  # on a full disk it may not have been made
        discard(folder)
