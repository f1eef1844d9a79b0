"""Processes that outlive who started them, and are ended by nobody's id but their own."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.infra.machine import RefusedError

GRACE_SECONDS = 3.0
PAUSE_SECONDS = 0.05


class Daemons:
    """The processes of one folder: each has a log there, and a file that says which process it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a command in a session of its own; what it prints goes to its log. It inherits what is inheritable."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = os.open(self.folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        ends = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
        try:
            process = os.posix_spawnp(
                command[0], list(command), {**os.environ, **(environment or {})}, file_actions=ends, setsid=True
            )
        finally:
            os.close(log)
            os.close(null)
        self._mark(name).write_text(f"{process} {birth(process)}")

    def runs(self, name: str) -> bool:
        """Whether the process of that name lives."""
        handle = self._handle(name)
        if handle is None:
            return False
        try:
            return not _ended(handle, 0)
        finally:
            os.close(handle)

    def names(self) -> list[str]:
        """Those that were started, whether they live or not."""
        return sorted(mark.stem for mark in self.folder.glob("*.process"))

    def stop(self, *names: str) -> None:
        """End these, those that do not run any more included, and forget them."""
        handles = [handle for name in names if (handle := self._handle(name)) is not None]
        end(handles)
        for name in names:
            self._reap(name)
            self._mark(name).unlink(missing_ok=True)

    def kill(self, name: str) -> None:
        """End one as a crash does: at once, and it can tidy up nothing. It is still known afterwards."""
        handle = self._handle(name)
        if handle is None:
            return
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            _ended(handle, GRACE_SECONDS)
        finally:
            os.close(handle)
        self._reap(name)

    def wait(self, seconds: float, what: str, ready: Callable[[], bool]) -> None:
        """Wait until ``ready`` says so.

        Raises:
            RefusedError: it took longer, or a process ended meanwhile; with the end of the logs.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            dead = [name for name in self.names() if not self.runs(name)]
            if dead or time.monotonic() > deadline:
                why = f"{', '.join(dead)} ended" if dead else f"not within {seconds:.0f} s"
                raise RefusedError(f"{what}: {why}\n{self._logs(dead or self.names())}")
            time.sleep(PAUSE_SECONDS)

    def _mark(self, name: str) -> Path:
        return self.folder / f"{name}.process"

    def _handle(self, name: str) -> int | None:
        try:
            number, born = self._mark(name).read_text().split(" ", 1)
        except (FileNotFoundError, ValueError):  # never started, or killed while it was written down
            return None
        return handle_of(int(number), born)

    def _reap(self, name: str) -> None:
        with suppress(FileNotFoundError, ValueError, ChildProcessError):  # another process' child
            os.waitpid(int(self._mark(name).read_text().split(" ", 1)[0]), os.WNOHANG)

    def _logs(self, names: Iterable[str]) -> str:
        texts = {name: self.folder / f"{name}.log" for name in names}
        return "\n".join(f"{name}: {text.read_text(errors='replace')[-1500:]}" for name, text in texts.items())


def birth(process: int) -> str:
    """When a process was born, in ticks of which boot: with its id it names one process for ever; empty for none."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return f"{stat.rpartition(')')[2].split()[19]} {Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


def handle_of(process: int, born: str) -> int | None:
    """A handle (pidfd_open(2)) on a process, if it is still the one that was born then."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return None
    if birth(process) == born:
        return handle
    os.close(handle)
    return None


def end(handles: Sequence[int]) -> None:
    """Ask processes to end, kill those that have not done so in time, and close the handles."""
    for kind, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        left = [handle for handle in handles if not _ended(handle, 0)]
        for handle in left:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, kind)
        deadline = time.monotonic() + seconds
        for handle in left:
            _ended(handle, max(0.0, deadline - time.monotonic()))
    for handle in handles:
        os.close(handle)


def _ended(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
