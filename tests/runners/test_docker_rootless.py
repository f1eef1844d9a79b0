"""A rootless daemon, and a node that is its user: the tests of Docker once more, run as that user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.infra.docker import rootless
from tests.infra.machine import RefusedError

ROOT = Path(__file__).parents[2]


def test_all_that_holds_in_docker_holds_in_a_rootless_one() -> None:
    """Lost: who does not want a node to be root by way of Docker's socket has no choice but the sandbox."""
    with rootless.running() as docker:
        tests = ("-m", "pytest", "-p", "no:cacheprovider", str(ROOT / "tests/runners/test_docker.py"))
        done = subprocess.run(
            docker.command(_python(), *tests),
            env={
                "HOME": str(docker.home),
                "TMPDIR": str(docker.home),
                "PATH": "/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("-packages"))]),
                "COMITY_ROOTLESS_DOCKER": docker.address,
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def _python() -> str:
    """A Python of this version that another user can start: this one lies, on some machines, in root's home."""
    own = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    for found in (own, Path("/usr/bin", own.name)):
        if found.exists() and all(folder.stat().st_mode & 0o001 for folder in found.resolve().parents):
            return str(found)
    raise RefusedError(f"no {own.name} here that another user can start: install Debian's, or open this one's folder")
