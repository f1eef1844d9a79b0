"""``python -m tests.infra.beside docker|kubernetes|argo COMMAND…``: a command, with what a runner needs beside it.

What the environment names already (``DOCKER_HOST``, ``COMITY_RUNNER_SETTINGS``) is used, and so is this machine's own
Docker; else one is started, and ended with the command. A cluster is made ready as an operator does it.

``all`` starts all three, whatever the machine has: tests that run side by side in the command share them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from node.clustersettings import cluster_toml
from tests.infra.argo import controller
from tests.infra.docker import daemon
from tests.infra.kubernetes import cluster
from tests.infra.machine import RefusedError
from tests.runners.clusters import CLAIM, Ready, ready

USUAL = Path("/var/run/docker.sock")
SETTINGS = "COMITY_RUNNER_SETTINGS"
ACCOUNT = "COMITY_ARGO_ACCOUNT"
"""Of workflows with pods of Argo's own, beside which a benchmark measures steps."""


@contextmanager
def with_docker() -> Iterator[Mapping[str, str]]:
    """The variables by which a client finds Docker."""
    if os.environ.get("DOCKER_HOST") or USUAL.exists():
        yield {}
        return
    with daemon.running() as address:
        yield {"DOCKER_HOST": address}


@contextmanager
def with_kubernetes() -> Iterator[Mapping[str, str]]:
    """The variable by which a devnet finds the settings of a cluster."""
    if SETTINGS in os.environ:
        yield {}
        return
    with cluster.running() as made, ready(made, name="beside") as there:
        yield {SETTINGS: _written(there)}


@contextmanager
def with_argo() -> Iterator[Mapping[str, str]]:
    """As :func:`with_kubernetes`, of a cluster that has Argo; and the account of other Workflows there."""
    if SETTINGS in os.environ:
        yield {}
        return
    with cluster.running() as made, ready(made, "argo", "beside") as there, controller.running(made):
        yield {SETTINGS: _written(there), ACCOUNT: controller.let_run(made, there.room.namespace)}


@contextmanager
def with_all() -> Iterator[Mapping[str, str]]:
    """Nothing that a client reads: tests find them as they do alone."""
    with daemon.running(), cluster.running() as made, controller.running(made):
        yield {}


def _written(there: Ready) -> str:
    path = there.volume / "site.toml"
    steps = f'[steps]\nstaging = "{there.volume}"\n'
    path.write_text(steps + cluster_toml(there.settings(claim=CLAIM)))
    return str(path)


BESIDE: Mapping[str, Callable[[], object]] = {
    "docker": with_docker,
    "kubernetes": with_kubernetes,
    "argo": with_argo,
    "all": with_all,
}


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
