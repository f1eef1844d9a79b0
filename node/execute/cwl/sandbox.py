"""The sandbox of the evaluator: Python, what is installed beside this node, and nothing else of the machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from node.execute.program import bubblewrap

_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")
_PROGRAM: Final = Path(__file__).resolve().parents[3]
"""Where the package ``node`` lies."""


def command(control: int, seconds: float) -> list[str]:
    """The command that starts the evaluator with the open socket ``control``; ``seconds`` of a processor for an answer.

    Raises:
        Denied: there is no bubblewrap for this machine.
    """
    return [*isolated(), sys.executable, "-m", "node.execute.cwl.inside", str(control), str(seconds)]


def isolated() -> list[str]:
    """The beginning of a command that runs a Python program in the evaluator's sandbox.

    Raises:
        Denied: there is no bubblewrap for this machine.
    """
    shown = [Path(sys.base_prefix), Path(sys.prefix), _PROGRAM / "node", _PROGRAM / "catalog"]
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    options += ["--proc", "/proc", "--dev", "/dev", "--size", str(16 << 20), "--tmpfs", "/tmp"]  # noqa: S108 - inside
    for each in _SYSTEM:
        if os.path.islink(each):
            options += ["--symlink", os.readlink(each), each]
        elif os.path.exists(each):
            options += ["--ro-bind", each, each]
    for place in shown:
        options += ["--ro-bind", str(place), str(place)]
    options += ["--setenv", "PYTHONPATH", str(_PROGRAM), "--setenv", "PYTHONDONTWRITEBYTECODE", "1"]
    options += ["--setenv", "HOME", "/", "--chdir", "/", "--remount-ro", "/"]
    return [bubblewrap(), *options, "--"]
