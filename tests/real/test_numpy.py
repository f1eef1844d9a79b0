"""numpy from PyPI, by a lock of uv's, in a step of the real sandbox. Needs an index that pip reaches."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import trio

from node.execute.environment.checkouts import Checkouts
from node.execute.environment.lock import read_lock
from node.execute.environment.python import Base, make_python
from node.execute.sandbox import Sandbox
from node.step import Ending, Job
from node.storage.disk import DiskBlobs
from node.storage.pooled import checkout_pooled, drop_unused

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
        blobs = DiskBlobs(tmp_path / "blobs")
        cid = await blobs.add_path(made / "tree")
        checkouts = Checkouts(tmp_path / "there", partial(checkout_pooled, blobs.get), drop_unused)
        checkouts.start()
        work = tmp_path / "step" / "work"
        work.mkdir(parents=True)
        async with checkouts.using(cid) as environment:
            job = Job(("python3", "-c", SCRIPT), work, environment=environment, stdout="out")
            ended = await Sandbox().run(job)
        assert (ended.ending, ended.code, ended.errors) == (Ending.EXITED, 0, b"")
        return (work / "out").read_text()

    assert trio.run(play) == "8 2.1.0\n"
