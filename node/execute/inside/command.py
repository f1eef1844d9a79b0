"""The command of a step: started with its streams and limits, and its pipes emptied."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import stat
from contextlib import ExitStack, suppress

from node.execute.inside.bounds import RESOURCES, resource_limits
from node.execute.inside.order import WORK, Order, RefusedError

TAIL = 4096
"""Bytes of standard error that are kept."""

_CHUNK = 1 << 18
_NO_NEW_PRIVILEGES, _SECCOMP, _MODE_FILTER, _INSTRUCTION = 38, 22, 2, 8
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Command:
    """A started command: ``process`` is its number, ``handle`` becomes readable when it has ended.

    ``failure`` is an errno if it could not be started at all. What is written to no file comes into ``pipes``, which
    are to be emptied by :meth:`drain` while it runs.

    Raises:
        RefusedError: a stream cannot be opened as the order wants it; nothing has run.
    """

    def __init__(self, order: Order) -> None:
        self._tail = b""
        self._errors_file = -1
        self.pipes: list[int] = []
        with ExitStack() as given:
            stdin = _opened(order.stdin)
            given.callback(os.close, stdin)
            stdout = self._output(order.stdout, given)
            same = order.stderr is not None and order.stderr == order.stdout
            stderr = stdout if same else self._output(order.stderr, given)
            if order.stderr is None:
                self._errors_pipe = self.pipes[-1]
            else:
                self._errors_pipe, self._errors_file = -1, os.dup(stderr)
            told, tell = os.pipe()
            given.callback(os.close, told)
            self.process = os.fork()
            if self.process == 0:
                _become(order, (stdin, stdout, stderr), tell)
            os.close(tell)
            self.handle = os.pidfd_open(self.process)
            said = os.read(told, 16)
        self.failure = int(said) if said else 0

    def drain(self, pipe: int) -> None:
        """Read what lies in one of the ``pipes``; the end of standard error is kept."""
        chunk = os.read(pipe, _CHUNK)
        if pipe == self._errors_pipe:
            self._tail = (self._tail + chunk)[-TAIL:]
        if not chunk:
            self.pipes.remove(pipe)
            os.close(pipe)

    def errors(self) -> bytes:
        """The end of standard error, whatever its file's name leads to by now."""
        if self._errors_file < 0:
            return self._tail
        return os.pread(self._errors_file, TAIL, max(0, os.fstat(self._errors_file).st_size - TAIL))

    def _output(self, name: str | None, given: ExitStack) -> int:
        if name is None:
            read_end, fd = os.pipe()
            self.pipes.append(read_end)
        else:
            fd = _created(name)
        given.callback(os.close, fd)
        return fd


def _opened(name: str | None) -> int:
    """A descriptor to read from; the mount that it is in is read-only, so it cannot be opened again for writing."""
    fd = os.open(name or os.devnull, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    if name is not None and not stat.S_ISREG(os.fstat(fd).st_mode):
        raise RefusedError(f"standard input «{name}» is not a regular file")
    os.set_blocking(fd, True)
    return fd


def _created(name: str) -> int:
    """A new file below the work folder, reached through no link."""
    *parents, last = name.split("/")
    at = os.open(WORK, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parents:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=at)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        return os.open(last, _FLAGS, 0o600, dir_fd=at)
    except OSError as error:
        raise RefusedError(f"the output «{name}» cannot be made in the work folder: {error.strerror}") from error
    finally:
        os.close(at)


def _become(order: Order, ends: tuple[int, int, int], tell: int) -> None:
    """In the child: become the command, or tell why not. Returns never."""
    try:
        os.setsid()
        os.chdir(WORK)
        os.umask(0o022)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and whoever is started by it
            signal.signal(ignored, signal.SIG_DFL)
        for number, fd in enumerate(ends):
            os.dup2(fd, number)
        for name, pair in resource_limits(order.limits).items():
            resource.setrlimit(RESOURCES[name], pair)
        _filter(bytes.fromhex(order.filter))
        os.execvpe(order.argv[0], order.argv, order.variables)  # noqa: S606 - to run a command is what this is for
    except OSError as error:
        os.write(tell, str(error.errno or errno.EIO).encode())
    finally:
        os._exit(1)


class _Program(ctypes.Structure):
    """As seccomp(2) has it: how many instructions of eight bytes, and where they are."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _filter(program: bytes) -> None:
    """Put every system call from now on through ``program``; a container's own filter stays."""
    if not program:
        return
    system = ctypes.CDLL(None, use_errno=True)
    asked = _Program(len(program) // _INSTRUCTION, program)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or system.prctl(_SECCOMP, _MODE_FILTER, ctypes.byref(asked)):
        raise OSError(ctypes.get_errno(), "the system calls of the command cannot be filtered")
