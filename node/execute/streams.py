"""The standard streams of one run: what is opened for a step, and how its ends are served."""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from typing import Final

import trio

from catalog.error import BadInput
from node.execute.account import NOBODY, is_separate
from node.execute.collect import open_beneath, plain_name
from node.step import Job

_TAIL: Final = 4096
_CHUNK: Final = 1 << 18


class Streams:
    """The three ends that a step gets (``stdin``, ``stdout``, ``stderr``), and ours.

    A step gets no file of the host to read, only a pipe: an open file can be opened again for writing through
    /proc/self/fd, past the read-only mount that shows it. What it writes to is a new file in its own work folder, or
    a pipe that is emptied without end, so that it never blocks.
    """

    def __init__(self) -> None:
        self.stdin = self.stdout = self.stderr = -1
        self._open: set[int] = set()
        self._source = self._feed = -1
        self._drains: list[int] = []
        self._errors_pipe = self._errors_file = -1
        self._tail = b""

    def open(self, job: Job) -> None:
        """Open what ``job`` names; blocking.

        Raises:
            BadInput: standard input is not a regular file below a mount, or an output's name is not a plain one.
        """
        self.stdin, self._feed = self._pipe()
        if job.stdin is None:
            self._close(self._feed)
        else:
            self._source = self._keep(_open_source(job, job.stdin))
        self.stdout = self._output(job, job.stdout)
        same = job.stderr is not None and job.stderr == job.stdout
        self.stderr = self.stdout if same else self._output(job, job.stderr)
        if is_separate():
            for fd in (self.stdin, self.stdout, self.stderr):
                os.fchown(fd, NOBODY, NOBODY)  # else the step could write to them, and not open /dev/stdout
        if job.stderr is None:
            self._errors_pipe = self._drains[-1]
        else:
            self._errors_file = self.stderr

    def started(self) -> None:
        """Close the step's ends here: it has its own now, and a pipe ends when the last of them is closed."""
        for fd in {self.stdin, self.stdout, self.stderr} - {self._errors_file}:
            self._close(fd)

    def serve(self, nursery: trio.Nursery) -> None:
        """Empty the step's output pipes until they end."""
        for fd in self._drains:
            self._open.discard(fd)
            nursery.start_soon(self._drain, fd)

    async def feed(self) -> None:
        """Write standard input until it is all written or the step no longer reads."""
        if self._source < 0:
            return
        self._open.discard(self._feed)
        async with trio.lowlevel.FdStream(self._feed) as stream:
            while chunk := await trio.to_thread.run_sync(os.read, self._source, _CHUNK):
                try:
                    await stream.send_all(chunk)
                except trio.BrokenResourceError:
                    return

    def errors(self) -> bytes:
        """The end of standard error, at most 4 KiB, whatever its file's name leads to by now."""
        if self._errors_file < 0:
            return self._tail
        return os.pread(self._errors_file, _TAIL, max(0, os.fstat(self._errors_file).st_size - _TAIL))

    def close(self) -> None:
        """Close all that is still open."""
        for fd in tuple(self._open):
            self._close(fd)

    async def _drain(self, fd: int) -> None:
        async with trio.lowlevel.FdStream(fd) as stream:
            async for data in stream:
                if fd == self._errors_pipe:
                    self._tail = (self._tail + data)[-_TAIL:]

    def _output(self, job: Job, name: str | None) -> int:
        if name is None:
            read_end, write_end = self._pipe()
            self._drains.append(read_end)
            return write_end
        path = job.work / plain_name(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if path.parent.resolve() != job.work.resolve() / PurePosixPath(name).parent:
                raise BadInput(f"the output «{name}» would be written through a link")
            return self._keep(os.open(path, flags, 0o600))
        except OSError as error:
            raise BadInput(f"the output «{name}» cannot be made in the work folder: {error.strerror}") from error

    def _pipe(self) -> tuple[int, int]:
        read_end, write_end = os.pipe()
        return self._keep(read_end), self._keep(write_end)

    def _keep(self, fd: int) -> int:
        self._open.add(fd)
        return fd

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)


def check_streams(job: Job) -> None:
    """Check that what ``job`` names can be opened, as :meth:`Streams.open` does; blocking. Nothing is made.

    Raises:
        BadInput: as there.
    """
    if job.stdin is not None:
        os.close(_open_source(job, job.stdin))
    for name in (job.stdout, job.stderr):
        if name is None:
            continue
        path = job.work / plain_name(name)
        if any(each.is_symlink() for each in (path, *path.parents[: len(PurePosixPath(name).parts) - 1])):
            raise BadInput(f"the output «{name}» would be written through a link")
        if path.exists():
            raise BadInput(f"the output «{name}» cannot be made in the work folder: it is there")


def _open_source(job: Job, name: str) -> int:
    """The file that the step would see as ``name``, found through the mount that shows it and no link below it."""
    wanted = PurePosixPath(name)
    for mount in job.mounts:
        target = PurePosixPath(mount.target)
        if wanted == target:
            fd = os.open(mount.source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        elif wanted.is_relative_to(target):
            fd = open_beneath(mount.source, str(wanted.relative_to(target)))
        else:
            continue
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        break
    raise BadInput(f"standard input «{name}» is not a regular file below one of the step's mounts")
