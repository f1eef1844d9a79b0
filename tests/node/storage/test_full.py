"""A disk that is really full in the middle of an append: a small one in memory, of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from node.execute.program import bubblewrap

ROOT = Path(__file__).resolve().parents[3]
ALL = 6_000_000
"""Bytes of the disk."""

# For n = 0, 1, 2, …: a log of 254 leaves, a disk that has n pages left, four large entries that cross the border of a
# tile, the space given back, one more entry, and the folder read again by nothing but what lies there.
FILLING = """
import json, os, sys
from pathlib import Path
import trio
from catalog.error import ComityError
from catalog.key import PrivateKey
from node.storage.fsck import check_folder
from node.storage.log import DiskLog
from node.system import SystemRandom

disk, origin, key = Path(sys.argv[1]), "comity.example/st-anna/audit/0", PrivateKey(b"\\7" * 32)

def large(numbers):
    return [("intent", b"body %d" % number + bytes(9000)) for number in numbers]

def fill(pages):
    free = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(max(0, free.f_bavail - pages) * free.f_frsize))

async def refusal(call):
    try:
        await call
    except ComityError as error:
        return str(error)

async def main():
    for pages in range(60):
        folder = disk / str(pages)
        log = await DiskLog.create(folder, origin, 0, key, SystemRandom())
        await log.append(large(range(254)))
        fill(pages)
        refused = await refusal(log.append(large(range(254, 258))))
        size = log.size
        (disk / "ballast").unlink()
        later = await refusal(log.append([("intent", b"next")]))
        await log.aclose()
        async with await DiskLog.open(folder, origin, 0, key, SystemRandom()) as again:
            last = (await again.body(again.size - 1))[1].rstrip(b"\\0").decode()
            reopened = again.size
            await again.append([("intent", b"after all")])
        sound = check_folder(folder, origin, key.did).ok
        print(json.dumps([refused, size, later, reopened, last, sound]), flush=True)
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if refused is None:
            return

trio.run(main)
"""


def test_a_disk_that_is_full_refuses_an_append_whole_and_takes_it_once_there_is_space(tmp_path: Path) -> None:
    """Lost: half an append, or a log that is closed for good, because a disk was full for a moment."""
    command = [
        bubblewrap(), "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--size", str(ALL), "--tmpfs", str(tmp_path),
        "--", sys.executable, "-c", FILLING, str(tmp_path),
    ]  # fmt: skip
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    *full, enough = rows
    assert enough == [None, 258, None, 259, "next", True]
    # In this order, for bodies are written before tiles, and the checkpoint last: SQLite's page, a file's, and that.
    where = ["database or disk is full", "No space left on device", "the checkpoint in"]
    seen = []
    for refused, size, later, reopened, last, sound in full:
        seen.append(max(index for index, text in enumerate(where) if text in refused))
        assert size == 254
        assert sound
        if seen[-1] < 2:
            assert (later, reopened, last) == (None, 255, "next")
        else:  # whether the checkpoint lies there cannot be known: what the disk holds is read at the next start
            assert "restart the node" in later
            assert (reopened, last) == (254, "body 253")
    assert seen == sorted(seen)
    assert set(seen) == {0, 1, 2}
