"""Wheels for the nodes of a devnet: where their pip looks, and a package that lies there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.node.execute.environment.wheelhouse import lock, wheel

SUMS: Final = b"import math\n\n\ndef total(rows):\n    return math.fsum(rows)\n"


def pip_settings(folder: Path) -> dict[str, str]:
    """What lets a node's pip find what lies in ``folder``, and nothing else."""
    folder.mkdir(exist_ok=True)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}


def package(folder: Path) -> bytes:
    """The lock of a package «hospitalsums», whose wheel lies in ``folder`` then."""
    return lock(wheel(folder, "hospitalsums", "1.0", {"hospitalsums.py": SUMS}))
