"""Timing whole processes of this very interpreter, from before they are made until they have ended."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from catalog.error import NotFound


def installed(command: str) -> str:
    """The program of that name beside this interpreter.

    Raises:
        NotFound: the distribution is not installed here.
    """
    path = Path(sys.executable).with_name(command)
    if not path.exists():
        raise NotFound(f"there is no {path}; install the project first: uv sync")
    return str(path)


def python(*arguments: str) -> list[str]:
    """A command line of this interpreter."""
    return [sys.executable, *arguments]


def run_seconds(*commands: Sequence[str]) -> float:
    """Start all ``commands`` at once and wait for the last to end.

    Raises:
        CalledProcessError: one failed.
    """
    began = time.perf_counter()
    started = [subprocess.Popen(each, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for each in commands]
    codes = [each.wait() for each in started]
    took = time.perf_counter() - began
    for command, code in zip(commands, codes, strict=True):
        if code:
            raise subprocess.CalledProcessError(code, list(command))
    return took
