"""Environments of real things in steps of the real sandbox: numpy of PyPI by a lock of uv's, and images of Debian's.

Needs an index that pip reaches, and Debian's packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from node.execute.environment.checkouts import Checkouts
from node.execute.environment.image import make_image
from node.execute.environment.lock import read_lock
from node.execute.environment.python import Base, make_python
from node.execute.sandbox import Sandbox
from node.step import Ending, Job
from node.storage.disk import DiskBlobs
from node.storage.pooled import checkout_pooled, drop_unused
from tests.infra import images

LARGE = 1 << 30
SCRIPT = "import numpy, numpy.linalg; a = numpy.eye(3) * 2; print(round(numpy.linalg.det(a)), numpy.__version__)"


def test_numpy_of_a_lock_runs_where_no_index_is_reached(tmp_path: Path) -> None:
    """Lost: real wheels, with the libraries that they carry, run at the author's alone."""
    wanted, lock = tmp_path / "requirements.in", tmp_path / "requirements.lock"
    wanted.write_text("numpy==2.1.0\n")
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "compile", "--quiet", "--generate-hashes", wanted, "-o", lock], check=True)

    async def play() -> str:
        made = tmp_path / "made"
        made.mkdir()
        base = Base(tmp_path / "base")
        packages = await make_python(read_lock(lock.read_bytes(), lock.name), base, made, lambda _: None)
        assert packages == {"numpy": "2.1.0"}
        return await said(tmp_path, made / "tree", "python3", "-c", SCRIPT)

    assert trio.run(play) == "8 2.1.0\n"


@pytest.mark.parametrize(
    ("archive", "command", "says"),
    [
        (images.busybox, ("sh", "-c", "echo $((6 * 7)); ls -d /bin /work"), "42\n/bin\n/work\n"),
        (images.python, ("python3", "-c", "import ssl, sqlite3; print(6 * 7)"), "42\n"),
    ],
    ids=["busybox", "python"],
)
def test_an_image_from_an_archive_runs_without_a_daemon(
    archive: Callable[[], Path], command: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    """Lost: tools of other languages; links by the hundred, as an image of a whole system has them."""
    (tmp_path / "made").mkdir()
    with tarfile.open(archive()) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        digest = json.loads(manifest.read())[0]["Config"].removesuffix(".json")
    make_image(archive(), f"sha256:{digest}", tmp_path / "made")
    assert trio.run(said, tmp_path, tmp_path / "made" / "tree", *command) == says


async def said(folder: Path, tree: Path, *command: str) -> str:
    """What a command prints in the environment ``tree``."""
    blobs = DiskBlobs(folder / "blobs")
    cid = await blobs.add_path(tree)
    checkouts = Checkouts(folder / "there", partial(checkout_pooled, blobs.get), drop_unused)
    checkouts.start()
    work = folder / "step" / "work"
    work.mkdir(parents=True)
    async with checkouts.using(cid, LARGE) as environment:
        ended = await Sandbox().run(Job(command, work, environment=environment, stdout="out"))
    assert (ended.ending, ended.code, ended.errors) == (Ending.EXITED, 0, b"")
    return (work / "out").read_text()
