"""The solver beside the node: a process for each plan that is made better, bounded in time and memory.

Nothing here waits in the event loop, and whoever stops waiting ends the process. What it found is held against the
problem before it is believed (:func:`workflow.plan.problem.faults`).
"""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Final

import trio

from catalog.error import BadInput, VerificationFailed
from node.planning.pipe import Wanted, line, read_found
from node.ports import Improved
from workflow.plan.bound import quick
from workflow.plan.problem import Problem, Schedule, faults

MEMORY_MIB: Final = 2048
THREADS: Final = 2
AT_ONCE: Final = 2
"""Processes of a node: a further plan waits, within its own time."""
MOST_LINE: Final = 16 << 20

log = logging.getLogger("comity.planning")


class Solver:
    """The ``Improving`` port over OR-tools."""

    def __init__(self, memory_mib: int = MEMORY_MIB, threads: int = THREADS) -> None:
        self._memory_mib = memory_mib
        self._threads = threads
        self._turns = trio.CapacityLimiter(AT_ONCE)

    async def improve(self, problem: Problem, first: Schedule | None, seconds: float) -> Improved:
        """The best schedule found within so many seconds, ``first`` if nothing is better, and the proven bound.

        A process that fails gives what it had found by then, and a line in the log.
        """
        found = _Collected(problem, first)
        with trio.move_on_after(seconds) as scope:
            async with self._turns:
                left = scope.deadline - trio.current_time()
                if left > 0:
                    await self._run(Wanted(problem, first, left, self._memory_mib, self._threads), found)
        return found.improved

    async def _run(self, wanted: Wanted, found: _Collected) -> None:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "node.planning.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            await _talk(process, wanted, found)
        finally:
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()


class _Collected:
    """What the process has told so far."""

    def __init__(self, problem: Problem, first: Schedule | None) -> None:
        self._problem = problem
        self.improved = Improved(first, quick(problem).of(problem.objective), impossible=False)

    def take(self, data: bytes) -> None:
        """Take a line.

        Raises:
            BadInput: it cannot be read. VerificationFailed: its schedule is none of this problem.
        """
        found = read_found(data)
        if found.schedule is not None and (wrong := faults(self._problem, found.schedule)):
            raise VerificationFailed(f"the solver's plan is none: {wrong[0]}")
        self.improved = Improved(
            found.schedule or self.improved.schedule,
            max(self.improved.bound, found.bound),
            found.impossible or self.improved.impossible,
        )


async def _talk(process: trio.Process, wanted: Wanted, found: _Collected) -> None:
    """Give the process its question and take its lines until it ends; what is wrong with it goes to the log."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process without pipes")
    try:
        await process.stdin.send_all(line(wanted))
        rest = b""
        async for piece in process.stdout:
            *lines, rest = (rest + piece).split(b"\n")
            for each in lines:
                found.take(each)
            if len(rest) > MOST_LINE:
                log.warning("planning goes on with what was found before: a line is longer than %d bytes", MOST_LINE)
                return
    except (BadInput, VerificationFailed, trio.BrokenResourceError) as error:
        log.warning("planning goes on with what was found before: %s", error)
        return
    if code := await process.wait():
        log.warning("the solver ended with %d, perhaps for its %d MiB of memory", code, wanted.memory_mib)
