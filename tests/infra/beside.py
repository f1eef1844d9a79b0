"""``python -m tests.infra.beside docker COMMAND…``: a command, with a runner's daemon beside it.

What the environment names already (``DOCKER_HOST``) is used, and so is this machine's own daemon; else one is started,
and ended with the command.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.infra.docker import daemon
from tests.infra.machine import RefusedError

USUAL = Path("/var/run/docker.sock")


@contextmanager
def with_docker() -> Iterator[Mapping[str, str]]:
    """The variables by which a client finds Docker."""
    if os.environ.get("DOCKER_HOST") or USUAL.exists():
        yield {}
        return
    with daemon.running() as address:
        yield {"DOCKER_HOST": address}


BESIDE: Mapping[str, Callable[[], object]] = {"docker": with_docker}


def main() -> int:
    """The exit code of the command."""
    if len(sys.argv) < 3 or sys.argv[1] not in BESIDE:
        print(f"say one of {', '.join(BESIDE)}, and a command", file=sys.stderr)
        return 2
    try:
        with BESIDE[sys.argv[1]]() as found:  # type: ignore[attr-defined]
            return subprocess.run(sys.argv[2:], env=os.environ | found).returncode
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
