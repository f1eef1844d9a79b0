"""One bubblewrap process: made, held at its gate until its limits are set, let go, and ended.

bubblewrap builds the namespaces and mounts, then waits at ``--block-fd``. Meanwhile its first process gets the
resource limits by ``prlimit``, and every process of the step inherits them. So no code of ours runs between fork and
exec in a node of many threads, no launcher has to exist inside the sandbox, and a step never runs an instruction
without its limits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec
import trio

from catalog.error import BadInput
from node.execute.account import NOBODY, is_separate, write_maps
from node.execute.inside.bounds import RESOURCES, own_processes, resource_limits
from node.execute.probe import refusal
from node.execute.program import bubblewrap
from node.execute.seccomp import filter_program
from node.step import Limits

_MARK = "COMITY_WORK"
"""In bubblewrap's own environment, by which a later node knows what an earlier one left; the step never sees it."""

_SETUP_SECONDS = 30.0
_STATUS_BYTES = 4096
_PRLIMIT = "/usr/bin/prlimit"
# A program between, for Python could change the user itself only after a fork, which copies the page tables of all of
# this node's memory: 12 ms and more. Without that it starts programs by vfork, in one.
_AS_NOBODY = ("/usr/bin/setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


class _Status(msgspec.Struct, frozen=True, rename="kebab"):
    """A line of bubblewrap's --json-status-fd."""

    child_pid: int | None = None
    exit_code: int | None = None


class Bubble:
    """A sandbox from its making to its end; ``init`` is its first process by the host's number, 0 before that.

    Made in the thread that lives as long as the node: the kernel ends bubblewrap with the thread that started it.

    Raises:
        BadInput: the command line is longer than the kernel takes.
        Denied: there is no bubblewrap to start.
    """

    def __init__(
        self, options: Sequence[str], argv: Sequence[str], work: Path, stdin: int, stdout: int, stderr: int
    ) -> None:
        self.init = 0
        self._init_handle = -1
        self._lines = b""
        self._separate = is_separate()
        with ExitStack() as started, ExitStack() as failed:
            read_end, self._gate = os.pipe()
            started.callback(os.close, read_end)
            failed.callback(os.close, self._gate)
            # Read and write in one: should the node die now, the waiting sandbox sees no end and starts nothing.
            gate = os.open(f"/proc/self/fd/{read_end}", os.O_RDWR | os.O_CLOEXEC)
            started.callback(os.close, gate)
            status, status_end = os.pipe()
            failed.callback(os.close, status)
            started.callback(os.close, status_end)
            arguments = _memory(
                started, "".join(f"{option}\0" for option in options).encode("utf-8", "surrogateescape")
            )
            given = {
                "--args": arguments,
                "--seccomp": _memory(started, filter_program()),
                "--json-status-fd": status_end,
                "--block-fd": gate,
            }
            if self._separate:
                given |= {"--userns-block-fd": gate, "--info-fd": _memory(started, b"")}
            try:
                self._process = _start(given, argv, work, (stdin, stdout, stderr), separate=self._separate)
            except OSError as error:
                if error.errno == errno.E2BIG:
                    raise BadInput("the step's command is longer than the kernel takes: pass it in a file") from error
                raise refusal(str(error)) from error
            failed.pop_all()
        self._handle = os.pidfd_open(self._process.pid)
        self._status = trio.lowlevel.FdStream(status)

    async def prepare(self, limits: Limits) -> bool:
        """Set the limits and let the root be made; False if the sandbox could not be made."""
        # Whoever cancels waits these milliseconds: only a sandbox whose first process is known can be ended whole.
        with trio.CancelScope(deadline=trio.current_time() + _SETUP_SECONDS, shield=True):
            while self.init == 0:
                if not await self._receive():
                    return False
                self.init = next((line.child_pid for line in self._parsed() if line.child_pid is not None), 0)
        if self.init == 0:
            return False
        try:
            self._init_handle = os.pidfd_open(self.init)
            if _parent(self.init) != self._process.pid:
                return False
            if self._separate:
                write_maps(self.init)
            if not await _limit(self.init, limits):
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        if self._separate:
            os.write(self._gate, b"\0")  # for --userns-block-fd: bubblewrap reads it before its child waits at the gate
        return True

    def open_gate(self) -> None:
        """Let the command start, if the sandbox still stands."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gate, b"\0")

    async def ended(self) -> None:
        """Wait until the command has ended; what it left behind may still run."""
        await trio.lowlevel.wait_readable(self._handle)

    def kill(self) -> None:
        """End the command and everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            # The kernel ends a process namespace whole with its first process, which a step cannot leave.
            signal.pidfd_send_signal(self._init_handle if self._init_handle >= 0 else self._handle, signal.SIGKILL)

    async def close(self) -> int | None:
        """End all of it and wait until it is gone; the command's exit code, or None if it never started."""
        self.kill()
        # Whoever still waits at the gate would wait for ever; the first process is dead, so nothing starts.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._gate, b"\0\0")
        await trio.lowlevel.wait_readable(self._handle)
        self._process.wait()
        if self._init_handle >= 0:
            await trio.lowlevel.wait_readable(self._init_handle)
            os.close(self._init_handle)
        while await self._receive():
            pass
        await self._status.aclose()
        os.close(self._gate)
        os.close(self._handle)
        return next((line.exit_code for line in self._parsed() if line.exit_code is not None), None)

    async def _receive(self) -> bool:
        data = await self._status.receive_some(_STATUS_BYTES)
        self._lines += data
        return bool(data)

    def _parsed(self) -> list[_Status]:
        return [msgspec.json.decode(line, type=_Status) for line in self._lines.split(b"\n")[:-1] if line.strip()]


def _start(
    given: Mapping[str, int], argv: Sequence[str], work: Path, ends: tuple[int, int, int], *, separate: bool
) -> subprocess.Popen[bytes]:
    options = [part for name, fd in given.items() for part in (name, str(fd))]
    if not separate:
        options += ["--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    stdin, stdout, stderr = ends
    return subprocess.Popen(
        (*(_AS_NOBODY if separate else ()), bubblewrap(), *options, "--", *argv),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        # The step's variables are options: in bubblewrap's own environment LD_PRELOAD would work on the host.
        env={_MARK: str(work)},
        cwd="/",
        pass_fds=tuple(given.values()),
        start_new_session=True,
    )


def end_leftovers(folder: Path) -> int:
    """End the sandboxes that an earlier node, killed at a bad moment, left waiting below ``folder``; how many.

    Call it while no sandbox of this node runs there. Blocking.
    """
    mark = f"{_MARK}={folder}/".encode()
    ended = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, PermissionError, ProcessLookupError):  # gone meanwhile, or not ours
            handle = os.pidfd_open(int(process.name))
            try:
                if any(each.startswith(mark) for each in (process / "environ").read_bytes().split(b"\0")):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    ended += 1
            finally:
                os.close(handle)
    return ended


def _memory(stack: ExitStack, content: bytes) -> int:
    """A descriptor from which ``content`` is read."""
    fd = os.memfd_create("bwrap", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _parent(process: int) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except FileNotFoundError:
        return 0


async def _limit(process: int, limits: Limits) -> bool:
    """Set the limits of a process. A container's root may lack the right to; «nobody», whose process it is, has it."""
    try:
        for which, bounds in _wanted(limits).items():
            resource.prlimit(process, RESOURCES[which], bounds)
    except PermissionError:
        return await _limit_as_nobody(process, limits)
    return True


async def _limit_as_nobody(process: int, limits: Limits) -> bool:
    options = [f"--{name}={soft}:{hard}" for name, (soft, hard) in _wanted(limits).items()]
    command = [*_AS_NOBODY, _PRLIMIT, "--pid", str(process), *options]
    run = partial(subprocess.run, command, env={}, capture_output=True, check=False)
    return (await trio.to_thread.run_sync(run)).returncode == 0


def _wanted(limits: Limits) -> dict[str, tuple[int, int]]:
    return resource_limits(limits) | own_processes(limits)
