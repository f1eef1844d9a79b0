"""Dropping nodes by a process that is killed while it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from node.storage.blobcheck import check_blobs
from node.storage.disk import DiskBlobs
from tests.node.storage.walk import names

ROOT = Path(__file__).resolve().parents[3]
DROPPED = 1000
KEPT = 80

# A real kill -9 where the so-many-th file is about to be removed, whatever else the machine does.
DROPPING = """
import os, signal, sys
from pathlib import Path
import trio
from catalog.cid import Cid
from node.storage.disk import DiskBlobs

store, kept, left = DiskBlobs(Path(sys.argv[1])), Cid.parse(sys.argv[2]), int(sys.argv[3])

def watch(event, arguments):
    global left
    if event == "os.remove":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
trio.run(store.drop, lambda: [kept])
"""


def count(store: Path) -> int:
    return sum(len(os.listdir(folder)) for folder in (store / "nodes").iterdir())


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Path, Cid, Cid]:
    """A store with a root that is kept and one that is dropped, which have nodes in common."""

    def write(folder: Path, seed: str, files: int) -> Path:
        folder.mkdir()
        for number in range(files):
            (folder / str(number)).write_text(f"{seed} {number}")
        for number in range(KEPT // 2):
            (folder / f"common {number}").write_text(f"common {number}")
        return folder

    async def fill() -> tuple[Cid, Cid]:
        blobs = DiskBlobs(tmp_path / "store")
        kept = await blobs.add_path(write(tmp_path / "kept", "kept", KEPT))
        return kept, await blobs.add_path(write(tmp_path / "dropped", "dropped", DROPPED))

    return tmp_path / "store", *trio.run(fill)


@pytest.mark.parametrize("removed", [1, DROPPED // 2, DROPPED])
def test_a_sweep_that_is_killed_leaves_what_is_kept_whole_and_the_next_one_ends_it(
    removed: int, filled: tuple[Path, Cid, Cid]
) -> None:
    """Lost: a node that is killed while it cleans up has damaged data, or keeps for good what was to be destroyed."""
    store, kept, dropped = filled
    before = count(store)
    command = [sys.executable, "-c", DROPPING, str(store), str(kept), str(removed)]
    killed = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (left := count(store)) == before - removed

    report = check_blobs(store)
    assert (report.nodes, report.damaged, report.strays) == (left, (), ())
    again = DiskBlobs(store)

    async def finish() -> None:
        assert await again.missing(kept) == []
        assert (await again.drop(lambda: [kept])).nodes > 0
        whole = await names(again, kept)
        assert len(whole) == count(store) > KEPT
        assert await again.missing(kept) == []
        assert await names(again, dropped) <= whole

    trio.run(finish)
    assert check_blobs(store).damaged == ()
