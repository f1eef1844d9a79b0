"""The host's side of a container's gate: the order is written, the gate opened, and the report read and checked.

What lies in the gate's folder and means what is told in ``node/execute/inside/__init__.py``. All runners of containers
use it, so that exit codes, limits, streams and what was left mean the same in each.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from catalog.error import BadInput, Unreachable, VerificationFailed, shown
from node.execute.account import give, is_separate, take
from node.execute.discard import discard
from node.execute.inside.order import MOST_BYTES
from node.execute.inside.verdict import KILLED, out_of_memory, out_of_time
from node.execute.inside.weigh import crowded, settle
from node.execute.root import WORK, check_mounts, variables_of
from node.execute.seccomp import filter_program
from node.execute.streams import check_streams
from node.step import Ending, Exit, Job, Usage

_MOST_MOUNTS: Final = 2_800
_MOST_REPORT: Final = 1 << 16
_MOST_ERRORS: Final = 4096
_MOST_LISTING: Final = 64 << 20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_REFUSED: Final = "refused"
_GATE: Final = "gate"
_STOP: Final = "stop"

_Amount = Annotated[float, msgspec.Meta(ge=0)]


class _Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the supervisor says of a step's end."""

    token: str
    ending: Literal["exited", "timed-out", "out-of-limits", "refused"]
    code: Annotated[int, msgspec.Meta(ge=0, le=255)]
    reason: Annotated[str, msgspec.Meta(max_length=4096)]
    wall_seconds: _Amount
    cpu_seconds: _Amount
    peak_bytes: Annotated[int, msgspec.Meta(ge=0)]


class Gate:
    """The gate of one job, in a folder beside the parent of its work folder. All methods are blocking.

    Raises:
        BadInput: the job cannot be run as it is written.
    """

    def __init__(self, job: Job) -> None:
        check_mounts(job.mounts)
        if job.place != WORK:
            told = shown(job.place, 80)
            raise BadInput(
                f"the work folder of a container is «{WORK}», not «{told}»: steps in the sandbox may name it"
            )
        if len(job.mounts) > _MOST_MOUNTS:
            raise BadInput(f"{len(job.mounts)} mounts are more than a container takes: give their folder as one mount")
        self.folder = job.work.parent.with_name(_GATE)
        self._job = job
        self._token = secrets.token_hex(16)
        self._opened: float | None = None
        take(job)
        check_streams(job)
        self.folder.mkdir(mode=0o700)
        limits = asdict(job.limits)
        del limits["input_bytes"]
        order = {
            "token": self._token,
            "argv": job.argv,
            "variables": variables_of(job),
            "stdin": job.stdin,
            "stdout": job.stdout,
            "stderr": job.stderr,
            "limits": limits,
            "succeeds": sorted(job.succeeds),
            "filter": filter_program().hex(),
        }
        text = json.dumps(order).encode()
        if len(text) > MOST_BYTES:
            raise BadInput(f"arguments and variables of {len(text)} bytes are more than a container takes")
        self._put("order.json", text)
        if is_separate():
            give(self.folder)

    def open(self) -> None:
        """Let the command start."""
        self.begins()
        self._put("open", b"")

    def begins(self) -> None:
        """The command starts now; to be said by who opens it elsewhere."""
        self._opened = time.monotonic()

    def stop(self) -> None:
        """Have the supervisor end everything, whoever else can or cannot."""
        stop(self.folder)

    def exit(self, starved: bool, overdue: bool = False) -> Exit:
        """How the command ended, once the container has; the work folder is the node's again.

        ``starved`` is whether the kernel ended a process of the container for lack of memory, ``overdue`` whether the
        container was ended since its supervisor did not end the command in time.

        Raises:
            BadInput: the order could not be carried out as it is written; nothing has run.
            Unreachable: there is no report: the container was ended before its time.
        """
        over = settle(self._job.work, self._job.limits)
        report = self._report()
        if report is None:
            used = self._most_used()
            if starved:
                return Exit(Ending.OUT_OF_LIMITS, KILLED, used, reason=out_of_memory(self._job.limits))
            if overdue:
                return Exit(Ending.TIMED_OUT, KILLED, used, reason=out_of_time(self._job.limits))
            if full := crowded(self._job.work):  # so there was none for the report
                return Exit(Ending.OUT_OF_LIMITS, KILLED, used, reason=full)
            raise Unreachable("the step's container was ended before the step was: by hand, by its host, or by itself")
        if report.ending == _REFUSED:
            raise BadInput(f"the container cannot run the step: {report.reason}")
        usage = Usage(report.wall_seconds, report.cpu_seconds, report.peak_bytes)
        errors = self._read("errors", _MOST_ERRORS) or b""
        ended = Exit(Ending(report.ending), report.code, usage, errors, report.reason)
        if ended.ending is not Ending.EXITED:
            return ended
        if starved and ended.code:
            return replace(ended, ending=Ending.OUT_OF_LIMITS, reason=out_of_memory(self._job.limits))
        if over:
            return replace(ended, ending=Ending.OUT_OF_LIMITS, reason=over)
        return replace(ended, left=self._read("listing", _MOST_LISTING) if ended.code in self._job.succeeds else None)

    def is_reported(self) -> bool:
        """Whether the supervisor has reported, which it does when all else in the container has ended."""
        return self._report() is not None

    def close(self) -> None:
        """Remove the folder, whatever lies in it."""
        discard(self.folder)

    def _most_used(self) -> Usage:
        """What a step that kept its supervisor from reporting can have used of one processor, and of memory."""
        limits = self._job.limits
        wall = 0.0 if self._opened is None else min(time.monotonic() - self._opened, limits.wall_seconds)
        return Usage(wall, min(wall, limits.cpu_seconds), limits.memory_bytes if wall else 0)

    def _report(self) -> _Report | None:
        try:
            content = self._read("report.json", _MOST_REPORT)
        except VerificationFailed:
            return None  # that is the step's
        if content is None:
            return None
        try:
            report = msgspec.json.decode(content, type=_Report)
        except msgspec.DecodeError:
            return None
        return report if secrets.compare_digest(report.token.encode(), self._token.encode()) else None

    def _read(self, name: str, most: int) -> bytes | None:
        """What a file of the gate holds; none if there is no such plain file.

        Raises:
            VerificationFailed: it holds more than it can.
        """
        try:
            fd = os.open(self.folder / name, _FLAGS)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            content = file.read(most + 1)
        if len(content) > most:
            raise VerificationFailed(f"what the step's container says as «{name}» is more than {most} bytes")
        return content

    def _put(self, name: str, content: bytes) -> None:
        _put(self.folder, name, content)


def stop(gate: Path) -> None:
    """Have whoever waits or works behind a gate, the folder ``gate``, end everything; blocking."""
    if not os.path.lexists(gate / _STOP):
        _put(gate, _STOP, b"")


def is_stopped(gate: Path) -> bool:
    """Whether whoever was told so has ended everything; blocking."""
    return not os.path.lexists(gate / _STOP)


def gates_below(folder: Path) -> list[Path]:
    """The gates of steps that are, or were, staged below ``folder``; blocking."""
    return [each for each in folder.glob(f"*/{_GATE}") if each.is_dir() and not each.is_symlink()]


def _put(gate: Path, name: str, content: bytes) -> None:
    """A new file in a gate. A step that runs may have left what it likes there, which is not followed."""
    fresh = gate.with_name(f"gate-{secrets.token_hex(8)}")
    fresh.write_bytes(content)
    fresh.rename(gate / name)
