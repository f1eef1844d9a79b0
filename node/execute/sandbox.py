"""The sandbox runner: one command under bubblewrap, with limits, watched from its first process to its last."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, TypeVarTuple

import trio

from catalog.error import ComityError
from node.execute.account import is_separate, take
from node.execute.bubble import Bubble, end_leftovers
from node.execute.environment.base import Own, passing
from node.execute.inside.verdict import KILLED, NOT_FOUND, NOT_FOUND_REASON, limit_met, out_of_time
from node.execute.inside.watch import sample, scratched
from node.execute.inside.weigh import crowded, excess, settle
from node.execute.listing import run_and_list
from node.execute.machine import this_machine
from node.execute.probe import SANDBOX, probe, refusal
from node.execute.processes import open_processes
from node.execute.program import bubblewrap_version
from node.execute.root import environment_options, sandbox_options
from node.execute.streams import Streams
from node.step import AT_ONCE, Description, Ending, Exit, Job, Limits, Machine, Turn, Usage

_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")

_READY_SECONDS: Final = 0.004
_SAMPLE_SECONDS: Final = 0.02
_WEIGH_SECONDS: Final = 0.25
_NOT_STARTED: Final = b"bwrap: execvp "


SHORTCOMINGS: Final = (
    "memory and processor time of all processes of a step together are watched 50 times a second, what it writes 4"
    " times: it may be over a limit for that long before it is ended",
    "a step shares this machine's kernel, of which it reaches what the list of system calls lets through",
    "a step gets no share of the processors: one of many threads slows the others down until its limit is met",
    "no GPU is passed through",
)
SAME_USER: Final = "a step has an account of its own inside alone: to the machine it is the node's own user"


class Sandbox:
    """The default runner: bubblewrap, on Linux, as root or (better) as an unprivileged user.

    A step has its own user, process, network, IPC, host-name and control-group namespaces, no network at all, a
    read-only root, no capabilities, and can neither gain privileges nor make further namespaces. Its standard output
    goes to the file that the job names, or nowhere. ``Usage`` is sampled every 20 ms.

    ``Limits.memory_bytes`` holds for the resident memory of all processes together; /tmp may hold half as much on
    top, and /dev/shm a quarter. ``processes`` counts threads.
    """

    name = "sandbox"

    def __init__(self, own: Own | None = None) -> None:
        """Steps whose job names no environment get ``own``; without one, one that goes with this process."""
        self._own = own or passing()

    async def describe(self) -> Description:
        """Bubblewrap's version, and what watching from outside cannot give."""
        lacks = SHORTCOMINGS if is_separate() else (*SHORTCOMINGS, SAME_USER)
        try:
            told = await trio.to_thread.run_sync(bubblewrap_version)
        except (ComityError, OSError, subprocess.SubprocessError) as error:
            return Description(self.name, "", (f"bubblewrap does not answer: {error}", *lacks))
        return Description(self.name, told, lacks)

    async def machine(self) -> Machine:
        """This one.

        Raises:
            OSError: the system does not tell.
        """
        return await trio.to_thread.run_sync(this_machine)

    async def probe(self) -> None:
        """Show by a real step that isolation holds here.

        Raises:
            Denied: a guarantee fails; the message names it and says what to do.
        """
        await probe(self.run, *SANDBOX)

    async def recover(self, folder: Path) -> int:
        """End the sandboxes that an earlier node left below ``folder``; how many."""
        return await trio.to_thread.run_sync(end_leftovers, folder)

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        """Run ``job`` to its end within its ``turn``; all that it started has ended when this returns or raises.

        Call it in the thread that lives as long as the node: the kernel ends a sandbox with the thread that started
        it. Modes in ``job.work`` are 0700 and 0600 afterwards.

        Raises:
            Denied: this machine does not let a sandbox be made; nothing has run.
            BadInput: the job cannot be run as it is written; nothing has run.
        """
        return await (run_and_list(self.command, job, turn) if job.succeeds else self.command(job, turn))

    async def command(self, job: Job, turn: Turn) -> Exit:
        """As :meth:`run`, and nothing is listed."""
        streams = Streams()
        try:
            options, was_crowded = await trio.to_thread.run_sync(self._prepare, job, streams)
            run = _Run(job.limits, job.work, "/proc" in job.system, was_crowded)
            await run.supervise(options, job.argv, streams, turn)
            errors = streams.errors()
        finally:
            streams.close()
        over = await trio.to_thread.run_sync(run.left)
        return run.verdict(errors, over)

    def _prepare(self, job: Job, streams: Streams) -> tuple[list[str], bool]:
        """Open the streams of ``job``; the options of its sandbox, and whether its disk is as good as full already."""
        take(job)
        there = job.environment
        options = sandbox_options(job, self._own.options() if there is None else environment_options(there))
        streams.open(job)
        return options, bool(crowded(job.work))


@dataclass(slots=True)
class _Run:
    """One command on its way, and what was seen of it."""

    limits: Limits
    work: Path
    seen: bool
    was_crowded: bool
    code: int | None = None
    over: str = ""
    timed_out: bool = False
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    # Its own threads: other work of the node must not be able to keep a watch from looking.
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(2))

    async def supervise(self, options: Sequence[str], argv: Sequence[str], streams: Streams, turn: Turn) -> None:
        """Start the command in its ``turn``, serve its streams, hold it to its limits, and see all of it gone."""
        bubble = Bubble(options, argv, self.work, streams.stdin, streams.stdout, streams.stderr)
        async with trio.open_nursery() as readers:
            try:
                streams.started()
                streams.serve(readers)
                if await bubble.prepare(self.limits):
                    async with turn:
                        bubble.open_gate()
                        await self._watch(bubble, streams)
            finally:
                with trio.CancelScope(shield=True):
                    self.code = await bubble.close()

    async def _watch(self, bubble: Bubble, streams: Streams) -> None:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(streams.feed)
            if self.seen:
                nursery.start_soon(self._sample, bubble)
            nursery.start_soon(self._weigh, bubble)
            with trio.move_on_after(self.limits.wall_seconds) as clock:
                await bubble.ended()
            self.timed_out = clock.cancelled_caught
            self.wall_seconds = trio.current_time() - started
            nursery.cancel_scope.cancel()

    async def _sample(self, bubble: Bubble) -> None:
        """Hold all processes together to the limits: a resource limit bounds one process."""
        processes = await self._thread(open_processes, bubble.init)
        while processes is None:
            await trio.sleep(_READY_SECONDS)
            processes = await self._thread(open_processes, bubble.init)
        try:
            while not self.over:
                seen = await self._thread(sample, processes, self.limits)
                self.cpu_seconds = max(self.cpu_seconds, seen.cpu_seconds)
                self.peak_bytes = max(self.peak_bytes, seen.resident_bytes)
                self._stop(bubble, seen.excess(self.limits))
                await trio.sleep(_SAMPLE_SECONDS)
        finally:
            os.close(processes)

    async def _thread(self, work: Callable[[*_Given], _Result], *given: *_Given) -> _Result:
        return await trio.to_thread.run_sync(work, *given, limiter=self.limiter)

    async def _weigh(self, bubble: Bubble) -> None:
        """End a step that fills the disk, or the kernel's tables, before it ends by itself."""
        while not self.over:
            await trio.sleep(_WEIGH_SECONDS)
            over = await self._thread(excess, self.work, self.limits)
            over = over or await self._thread(scratched, f"/proc/{bubble.init}/root", self.limits)
            self._stop(bubble, over or await self._thread(self._crowded))

    def _crowded(self) -> str:
        return "" if self.was_crowded else crowded(self.work)

    def left(self) -> str:
        """Make what it left this user's; the limit that this exceeds, or an empty string. Blocking."""
        return settle(self.work, self.limits) or self._crowded()

    def _stop(self, bubble: Bubble, reason: str) -> None:
        if reason:
            self.over = self.over or reason
            bubble.kill()

    def verdict(self, errors: bytes, over: str) -> Exit:
        """How it ended; ``over`` is the output limit that the work folder exceeds, if any."""
        code = KILLED if self.code is None else self.code
        usage = Usage(self.wall_seconds, self.cpu_seconds, self.peak_bytes)
        if self.over:  # before the clock, which may run out while the step is being ended
            return Exit(Ending.OUT_OF_LIMITS, code, usage, errors, self.over)
        if self.timed_out:
            return Exit(Ending.TIMED_OUT, code, usage, errors, out_of_time(self.limits))
        if self.code is None:
            # The command never ran, so all that standard error holds is bubblewrap's own.
            if _NOT_STARTED not in errors:
                raise refusal(errors.decode("utf-8", "replace"))
            return Exit(Ending.EXITED, NOT_FOUND, usage, errors, NOT_FOUND_REASON)
        reason = over or limit_met(code, errors, self.limits)
        return Exit(Ending.OUT_OF_LIMITS if reason else Ending.EXITED, code, usage, errors, reason)
