"""The supervisor's life: it waits at the gate, runs the command, watches it, ends all of it, and reports."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
import time
from contextlib import suppress

from node.execute.inside.bounds import RESOURCES
from node.execute.inside.command import Command
from node.execute.inside.order import GATE, WORK, Gate, Order, RefusedError, Report
from node.execute.inside.verdict import KILLED, NOT_FOUND, NOT_FOUND_REASON, NOT_RUNNABLE, limit_met, out_of_time
from node.execute.inside.watch import sample, scratched
from node.execute.inside.weigh import Scales, crowded, listing, settle

STOPPED = 3
"""The exit code of a supervisor that was told to stop."""

_SAMPLE_SECONDS = 0.02
_WEIGH_SECONDS = 0.25
_WAIT_SECONDS = (0.002, 0.02)
_WAIT_GROWS = 1.02
_MOST_BESIDE = 1 << 20
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Supervise one step, as the first process of a container. Its exit code is 0 if there is a report.

    Raises:
        SystemExit: this is no container of its own, the host said stop, or the step took from it what it needs.
    """
    if os.getpid() != 1:
        raise SystemExit("this ends every process that it can: it runs as the first process of a container alone")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # to which a first process is deaf, while Python would listen
    # A step is the same user: so it can neither trace this process, nor read its memory and its open files.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise SystemExit("the supervisor cannot hide itself from the step")
    gate = Gate(GATE)
    order = gate.order()
    _wait(gate)
    try:
        run = _Run(order, gate)
    except (RefusedError, OSError) as error:
        _end_all()
        gate.report(Report(order.token, "refused", 0, str(error), 0.0, 0.0, 0), b"", None)
        return
    try:
        run.watch()
        run.report()
    except OSError as error:
        _end_all()
        # With no name in it: the step chose that, and others keep what a container says.
        raise SystemExit(f"the supervisor cannot go on: {os.strerror(error.errno or 0)}") from None


def _wait(gate: Gate) -> None:
    pause, longest = _WAIT_SECONDS
    while not gate.is_open():
        if gate.is_stopped():
            gate.stopped()
            raise SystemExit(STOPPED)
        time.sleep(pause)
        pause = min(pause * _WAIT_GROWS, longest)


class _Run:
    """One command on its way, and what was seen of it."""

    def __init__(self, order: Order, gate: Gate) -> None:
        self._order = order
        self._limits = order.limits
        self._gate = gate
        self._processes = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._scales = Scales(order.limits)
        self._beside = Scales(order.limits._replace(output_bytes=_MOST_BESIDE, output_files=64))
        self._was_crowded = bool(crowded(WORK))
        self._weigh_at = 0.0
        self._peak = 0
        self._over = ""
        self._timed_out = False
        self._code = KILLED
        self._own_limits = _own_limits()
        self._began = time.monotonic()
        self._wall = 0.0
        self._command = Command(order)

    def watch(self) -> None:
        """Hold the command to its limits until it has ended, then see all of it gone."""
        if not self._command.failure:
            self._until_ended()
        self._wall = time.monotonic() - self._began
        for process, status in _end_all():
            self._reaped(process, status)
        while self._command.pipes:
            self._command.drain(self._command.pipes[0])

    def _until_ended(self) -> None:
        deadline = self._began + self._limits.wall_seconds
        next_look = self._weigh_at = self._began
        self._weigh_at += _WEIGH_SECONDS
        while not self._over:
            now = time.monotonic()
            if now >= deadline:
                self._timed_out = True
                return
            if now >= next_look:
                self._look(now)
                next_look = time.monotonic() + _SAMPLE_SECONDS
            if self._ended(min(next_look, deadline)):
                self._sample()  # one that was quicker than the looks leaves behind what it should not have had
                return

    def _ended(self, until: float) -> bool:
        """Whether the command has ended; its pipes are emptied meanwhile."""
        poll = select.poll()
        for fd in (self._command.handle, *self._command.pipes):
            poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000)]
        for pipe in ready:
            if pipe != self._command.handle:
                self._command.drain(pipe)
        return self._command.handle in ready

    def _look(self, now: float) -> None:
        """See what it uses; and now and then what it wrote, which takes longer."""
        if self._gate.is_stopped():
            for process, status in _end_all():
                self._reaped(process, status)
            self._gate.stopped()
            # A step can say so too: the host reads what it used, if it is still there to read.
            self._over = "its supervisor was told to end it"
            return
        for process, status in _reap():
            self._reaped(process, status)
        if _own_limits() != self._own_limits:  # with fewer open files it would be blind to folders, for one
            self._over = "limits of its supervisor, which it changed"
            return
        self._sample()
        if not self._over and now >= self._weigh_at:
            self._over = self._weighed()
            self._weigh_at = now + max(_WEIGH_SECONDS, 4 * (time.monotonic() - now))

    def _sample(self) -> None:
        seen = sample(self._processes, self._limits)
        self._peak = max(self._peak, seen.resident_bytes)
        self._over = self._over or seen.excess(self._limits)

    def _weighed(self) -> str:
        beside = self._beside.excess(self._gate.folder)
        over = f"{beside}, beside the work folder" if beside else self._scales.excess(WORK)
        return over or scratched("", self._limits) or self._crowded()

    def _crowded(self) -> str:
        return "" if self._was_crowded else crowded(WORK)

    def _reaped(self, process: int, status: int) -> None:
        if process == self._command.process:
            code = os.waitstatus_to_exitcode(status)
            self._code = code if code >= 0 else 128 - code

    def report(self) -> None:
        """Tell the host how it ended, and what it left."""
        errors = self._command.errors()
        over = self._over or settle(WORK, self._limits) or self._crowded()
        ending, code, reason = self._verdict(over, errors)
        succeeded = ending == "exited" and not self._command.failure and code in self._order.succeeds
        used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of all of them: who has no parent left is this one's
        seconds = used.ru_utime + used.ru_stime
        report = Report(self._order.token, ending, code, reason, self._wall, seconds, self._peak)
        self._gate.report(report, errors, listing(WORK) if succeeded else None)

    def _verdict(self, over: str, errors: bytes) -> tuple[str, int, str]:
        """How it ended; ``over`` is a limit that it exceeds."""
        if self._over:  # before the clock, which may run out while the step is being ended
            return "out-of-limits", self._code, over
        if self._timed_out:
            return "timed-out", self._code, out_of_time(self._limits)
        if self._command.failure in (errno.ENOENT, errno.EACCES, errno.ENOTDIR):
            return "exited", NOT_FOUND, NOT_FOUND_REASON
        if self._command.failure == errno.ENOEXEC:
            return "exited", NOT_RUNNABLE, "the command is no program for this machine"
        if self._command.failure:
            return "refused", 0, f"the command cannot be started: {os.strerror(self._command.failure)}"
        reason = over or limit_met(self._code, errors, self._limits)
        return "out-of-limits" if reason else "exited", self._code, reason


def _own_limits() -> list[tuple[int, int]]:
    """The resource limits of this process, which a process of the same user can lower."""
    return [resource.getrlimit(which) for which in RESOURCES.values()]


def _end_all() -> list[tuple[int, int]]:
    """Kill every other process of this container, and wait until they are gone: their numbers and statuses."""
    gone: list[tuple[int, int]] = []
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # while the kernel goes through them none can make another
        try:
            gone.append(os.waitpid(-1, 0))
        except ChildProcessError:
            return gone


def _reap() -> list[tuple[int, int]]:
    """Those that ended and have no other parent."""
    gone: list[tuple[int, int]] = []
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return gone
        if process == 0:
            return gone
        gone.append((process, status))
