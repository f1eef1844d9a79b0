"""Programs built through the Go module proxy, as committed ``go.mod`` and ``go.sum`` say, cached by their hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.infra.machine import RefusedError, alone, cache_folder


def built(name: str, made_of: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` fills, from the cache if it was filled before from the same files and the same Go.

    Raises:
        RefusedError: Go is missing.
    """
    version = go(Path("/"), "env", "GOVERSION", "GOOS", "GOARCH")
    key = hashlib.sha256(version.encode() + b"".join(path.read_bytes() for path in made_of)).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{key}"
    with alone(folder.with_suffix(".lock")):
        if not folder.exists():
            # Aside, so that a build that is cut off leaves no half of one.
            with tempfile.TemporaryDirectory(dir=folder.parent) as aside:
                made = Path(aside) / name
                made.mkdir()
                print(f"building {name}, some minutes …", file=sys.stderr, flush=True)
                make(made)
                made.rename(folder)
    return folder


def build(module: Path, out: Path, packages: Sequence[str], settings: str = "", mode: str = "readonly") -> None:
    """Build programs of the module in a folder, static and stripped, into the folder ``out``.

    ``settings`` are more of the linker's flags; ``mode`` says where modules come from, as go(1) names it.
    """
    flags = [f"-mod={mode}", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {settings}"]
    go(module, "build", *flags, "-o", f"{out}/", *packages)


def go(folder: Path, *arguments: str) -> str:
    """What ``go`` prints, run in a folder, with nothing fetched but what its ``go.sum`` knows.

    Raises:
        RefusedError: Go is missing, or it failed, with what it said.
    """
    program = shutil.which("go")
    if program is None:
        raise RefusedError("Go is missing: install Go 1.26 or newer, see https://go.dev/dl")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    done = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(f"«go {arguments[0]}» in {folder.name} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout
