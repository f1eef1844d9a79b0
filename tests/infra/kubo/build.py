"""The ``ipfs`` program, built through the Go module proxy as ``go.mod`` and ``go.sum`` beside this file say."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = "github.com/ipfs/kubo/cmd/ipfs"


def ipfs() -> Path:
    """Where the program is, built if it is not in the cache: two to four minutes.

    Raises:
        RuntimeError: Go is missing.
    """
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("Go is missing: install Go 1.26 or newer, see https://go.dev/dl")
    version = subprocess.run([go, "env", "GOVERSION", "GOOS", "GOARCH"], capture_output=True, check=True).stdout
    made_of = hashlib.sha256(version + b"".join((HERE / name).read_bytes() for name in ("go.mod", "go.sum")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "comity-infra" / "bin"
    program = cache / f"ipfs-{made_of.hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    """Build aside, so that a build that is cut off leaves no half a program."""
    with tempfile.TemporaryDirectory(dir=program.parent) as aside:
        made = Path(aside) / "ipfs"
        print("building Kubo …", flush=True)
        subprocess.run(
            [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", made, PACKAGE],
            cwd=HERE,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"},
            check=True,
        )
        made.rename(program)


if __name__ == "__main__":
    print(ipfs())
