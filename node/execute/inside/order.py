"""What the supervisor is told, and what it tells: the two texts of the gate."""

from __future__ import annotations

import json
import os
import secrets
from typing import NamedTuple

GATE = "/gate"
SAID = ("errors", "listing", "report.json")
"""What the supervisor leaves in the gate for the host."""
WORK = "/work"
MOST_BYTES = 16 << 20
"""Of the order's text."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedError(Exception):
    """An order that cannot be carried out as it is written; its argument says why."""


class OrderedLimits(NamedTuple):
    """The limits of a step, as they were ordered."""

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    processes: int
    output_bytes: int
    output_files: int


class Order(NamedTuple):
    """One command, as the host wants it run. ``token`` is repeated in the report.

    ``filter`` is a program of seccomp(2) in hexadecimal digits, through which all its system calls go; none if empty.
    """

    token: str
    argv: list[str]
    variables: dict[str, str]
    stdin: str | None
    stdout: str | None
    stderr: str | None
    limits: OrderedLimits
    succeeds: list[int]
    filter: str = ""


class Report(NamedTuple):
    """How it ended: the values of :class:`node.step.Exit`, or «refused»."""

    token: str
    ending: str
    code: int
    reason: str
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


class Gate:
    """The folder that host and supervisor share, from within the container."""

    def __init__(self, folder: str = GATE) -> None:
        self.folder = folder

    def order(self) -> Order:
        """What to run; it is not there any more afterwards.

        Raises:
            OSError, ValueError, TypeError, KeyError: there is none that can be read.
        """
        path = f"{self.folder}/order.json"
        with open(path, "rb") as file:
            value = json.loads(file.read(MOST_BYTES))
        os.unlink(path)
        return Order(**{**value, "limits": OrderedLimits(**value["limits"])})

    def is_open(self) -> bool:
        """Whether the command may start."""
        return _lies(f"{self.folder}/open")

    def is_stopped(self) -> bool:
        """Whether all is to end. A step that runs may have closed the folder: it is opened again for the next look."""
        try:
            return _lies(f"{self.folder}/stop")
        except PermissionError:
            os.chmod(self.folder, 0o700)
            return False

    def stopped(self) -> None:
        """Tell the host that all has ended, by taking its word away."""
        os.chmod(self.folder, 0o700)
        os.rename(f"{self.folder}/stop", f"{self.folder}/.stopped")

    def report(self, report: Report, errors: bytes, listing: bytes | None) -> None:
        """Write down how it ended, in place of whatever lies there. All processes of the step have ended."""
        if os.stat(self.folder).st_uid == os.geteuid():  # else a volume of root's, which no step can close
            os.chmod(self.folder, 0o700)
        self._write("errors", errors)
        if listing is not None:
            self._write("listing", listing)
        self._write("report.json", json.dumps(report._asdict()).encode())

    def _write(self, name: str, content: bytes) -> None:
        path, fresh = f"{self.folder}/{name}", f"{self.folder}/.{secrets.token_hex(16)}"
        fd = os.open(fresh, _NEW, 0o600)
        try:
            while content:
                content = content[os.write(fd, content) :]
        finally:
            os.close(fd)
        if _lies(path):
            os.rename(path, f"{fresh}.aside")
        os.rename(fresh, path)


def _lies(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True
