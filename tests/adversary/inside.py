"""A hostile step in a real sandbox, and the ways in which tests, and nothing else, take a wall of it away.

A script has succeeded if it leaves a file called «won». Walls are taken away by changing what the sandbox's own
functions give; no setting of the product does that.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from node.execute import bubble, sandbox
from node.execute.inside.watch import Sample
from node.execute.sandbox import Sandbox
from node.step import Exit, Job, Limits, Mount, Runner

SMALL = Limits(
    wall_seconds=20, cpu_seconds=10, memory_bytes=128 << 20, processes=16, output_bytes=1 << 20, output_files=100
)
_PRELUDE = """
import ctypes, errno, glob, os, signal, socket, stat, struct, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)
given = sys.argv[1:]
ADD_KEY, MEMFD_CREATE = {"x86_64": (248, 319), "aarch64": (217, 279)}[os.uname().machine]
def won(why="yes"):
    open("/work/won", "w").write(str(why))
def attempt(what, *given):
    try:
        return what(*given)
    except OSError:
        return None
"""
# One instruction: allow.
_ALLOW_ALL = b"\x06\x00\x00\x00\x00\x00\xff\x7f"


def step(
    work: Path,
    script: str,
    *given: str,
    mounts: Sequence[Mount] = (),
    limits: Limits = SMALL,
    stdin: str | None = None,
    stdout: str | None = None,
    runner: Runner | None = None,
) -> Exit:
    """How a step of Python ends: in the sandbox, or in another ``runner``."""
    work.mkdir(exist_ok=True)
    argv = ("python3", "-c", _PRELUDE + script, *given)
    run = (runner or Sandbox()).run
    return trio.run(run, Job(argv, work, tuple(mounts), stdin=stdin, stdout=stdout, limits=limits))


def has_won(work: Path) -> bool:
    """Whether the script in ``work`` reached what it tried."""
    return (work / "won").exists()


Options = list[str]
Weaken = Callable[[pytest.MonkeyPatch, Path], object]
"""Takes one wall away. The path is the folder of the test, where what the host has is planted."""


def _changed(patch: pytest.MonkeyPatch, change: Callable[[Options], Options]) -> None:
    real = sandbox.sandbox_options
    patch.setattr(sandbox, "sandbox_options", lambda *given: change(real(*given)))


def shown(*places: str) -> Weaken:
    """The host's folders are shown: those named, or the test's own."""

    def weaken(patch: pytest.MonkeyPatch, folder: Path) -> None:
        extra = [part for place in places or (str(folder),) for part in ("--ro-bind", place, place)]
        _changed(patch, lambda options: _before_root(options, extra))

    return weaken


def bound(target: str) -> Weaken:
    """A folder of the host, the same for all steps, lies in place of an empty one at ``target``."""

    def weaken(patch: pytest.MonkeyPatch, folder: Path) -> None:
        shared = folder / "shared"
        shared.mkdir()
        shared.chmod(0o777)
        _changed(patch, lambda options: _before_root(options, ["--bind", str(shared), target]))

    return weaken


def without(*names: str) -> Weaken:
    """These options of bubblewrap are missing."""
    return lambda patch, _: _changed(patch, lambda options: [each for each in options if each not in names])


def swapped(*pairs: tuple[Sequence[str], Sequence[str]]) -> Weaken:
    """Options are replaced by others, wherever they stand."""

    def change(options: Options) -> Options:
        for old, new in pairs:
            found = next(at for at in range(len(options)) if options[at : at + len(old)] == list(old))
            options = [*options[:found], *new, *options[found + len(old) :]]
        return options

    return lambda patch, _: _changed(patch, change)


def writable(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Inputs are mounted as they lie on the host."""
    source = str(folder / "data")
    swapped((("--ro-bind", source), ("--bind", source)))(patch, folder)


def unfiltered(patch: pytest.MonkeyPatch, _: Path) -> None:
    """Every system call goes through, and further user namespaces are not forbidden."""
    patch.setattr(bubble, "filter_program", lambda: _ALLOW_ALL)
    _started(patch, lambda argv, fds: ([each for each in argv if each != "--disable-userns"], fds))


def privileged(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The step keeps its rights in its own user namespace, and every system call goes through."""
    unfiltered(patch, folder)
    swapped((("--cap-drop", "ALL"), ("--cap-add", "ALL")))(patch, folder)


def together(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """No process namespace of its own."""
    without("--unshare-pid")(patch, folder)
    swapped((("--proc", "/proc"), ("--ro-bind", "/proc", "/proc")))(patch, folder)


def leaking(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """bubblewrap is started with an open folder of the host."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    _started(patch, lambda argv, fds: (argv, (*fds, fd)))


def _started(patch: pytest.MonkeyPatch, change: Callable[[list[str], tuple[int, ...]], tuple[object, object]]) -> None:
    real = subprocess.Popen

    def start(argv: Sequence[str], *, pass_fds: tuple[int, ...] = (), **given: Any) -> Any:
        changed, fds = change(list(argv), pass_fds)
        return real(changed, pass_fds=fds, **given)  # type: ignore[call-overload]

    patch.setattr(bubble.subprocess, "Popen", start)


def unlimited(patch: pytest.MonkeyPatch, _: Path) -> None:
    """Nobody watches, and no process has a limit; the attacks are small enough to be let run."""
    patch.setattr(bubble, "_wanted", lambda _: {})
    patch.setattr(Sample, "excess", lambda *_: "")
    for name in ("excess", "settle", "scratched"):
        patch.setattr(sandbox, name, lambda *_: "")


def _before_root(options: Options, extra: Options) -> Options:
    """``extra`` as the last mounts before the root is closed."""
    at = max(at for at in range(len(options)) if options[at : at + 2] == ["--remount-ro", "/"])
    return [*options[:at], *extra, *options[at:]]
