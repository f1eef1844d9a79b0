"""A container that bubblewrap makes: the supervisor is its first process, and all else is as in any other."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from node.execute.account import NOBODY, is_separate
from node.execute.container import Gate
from node.execute.ownlayer import own_layer
from node.execute.program import bubblewrap
from node.execute.tools import supervisor_command, tools_layer
from node.step import Exit, Job

SECONDS = 60


@cache
def _root() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="comity-root-")
    place = Path(folder.name)
    place.chmod(0o755)
    for layer in (tools_layer(), own_layer()):
        (place / "layer").write_bytes(b"".join(layer.chunks()))
        with tarfile.open(place / "layer") as archive:
            archive.extractall(place, filter="fully_trusted")
    for name in ("dev", "gate", "inputs", "proc", "tmp", "work"):
        (place / name).mkdir()
    return folder


@contextmanager
def boxed(job: Job) -> Iterator[tuple[Gate, subprocess.Popen[bytes]]]:
    """The supervisor of ``job``, waiting at its gate."""
    gate = Gate(job)
    options = [
        *("--unshare-all", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL"),
        *("--ro-bind", _root().name, "/"),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(32 << 20), "--tmpfs", "/tmp", "--tmpfs", "/inputs"),
        *("--bind", str(job.work), "/work", "--bind", str(gate.folder), "/gate"),
        *("--setenv", "KUBERNETES_PORT", "443"),
    ]
    for mount in job.mounts:
        options += ["--ro-bind", str(mount.source), mount.target]
    if not is_separate():
        options += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"] if is_separate() else []
    job.work.parent.chmod(0o711)
    command = [*as_nobody, bubblewrap(), *options, "--", *supervisor_command()]
    process = subprocess.Popen(command, env={"KUBERNETES_SERVICE": "10.0.0.1"}, stdin=subprocess.DEVNULL)
    try:
        yield gate, process
    finally:
        process.kill()
        process.wait()
        gate.close()


def run(job: Job, *, meanwhile: Callable[[Gate], object] = lambda _: None, starved: bool = False) -> Exit:
    """How ``job`` ends."""
    with boxed(job) as (gate, process):
        gate.open()
        meanwhile(gate)
        process.wait(SECONDS)
        return gate.exit(starved)
