"""Node processes: started in sessions of their own, and never signalled unless they are provably the same process.

A process identifier is reused once its process is gone. So each is recorded with the time of its start, and signals
go through a descriptor of the process that was opened before that time was compared (pidfd_open(2)).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from catalog.dagcbor import Value


class Process(Value, frozen=True, kw_only=True):
    """A process of this machine: ``began`` is its start in clock ticks since boot (proc(5), field 22)."""

    pid: int
    began: int


def start(arguments: Iterable[str], log: Path) -> Process:
    """Start this interpreter with ``arguments`` in a session of its own, its output appended to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(output)
    began = _began(pid)
    return Process(pid=pid, began=0 if began is None else began)


def alive(process: Process) -> bool:
    """Whether this very process runs."""
    return _began(process.pid) == process.began


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process; false if it is gone."""
    descriptor = _open(process)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def gone(processes: Iterable[Process], seconds: float) -> tuple[Process, ...]:
    """Wait until all have ended, at most ``seconds``; those that have not."""
    until = time.monotonic() + seconds
    left = []
    for process in processes:
        descriptor = _open(process)
        if descriptor is None:
            continue
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                left.append(process)
        finally:
            os.close(descriptor)
        _reap(process)
    return tuple(left)


def end(processes: Iterable[Process], seconds: float = 10.0) -> tuple[Process, ...]:
    """Ask all to stop, and after ``seconds`` make them; those that had to be made."""
    asked = [process for process in processes if send(process, signal.SIGTERM)]
    stubborn = gone(asked, seconds)
    for process in stubborn:
        send(process, signal.SIGKILL)
    gone(stubborn, seconds)
    return stubborn


def _open(process: Process) -> int | None:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if alive(process):
        return descriptor
    os.close(descriptor)
    _reap(process)
    return None


def _reap(process: Process) -> None:
    """Take the exit status of a child, so that it does not stay in the table; other processes have other parents."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)


def _began(pid: int) -> int | None:
    """The start of the process, unless it is gone or only waits to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command, in brackets, may hold anything, brackets too.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
