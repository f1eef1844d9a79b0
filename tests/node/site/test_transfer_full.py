"""A disk that is really full in the middle of a transfer: a small one in memory, of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from node.execute.program import bubblewrap

ROOT = Path(__file__).resolve().parents[3]
DISK = 32_000_000
"""Bytes of the disk."""

# A store on a disk with room for half of a dataset, which a holder on loopback serves from another disk; the space
# given back, and the same transfer once more, as a new process finds what lies there.
FILLING = """
import json, os, sys
from pathlib import Path
import trio
from catalog.error import ComityError
from node.storage.blobcheck import check_blobs
from node.storage.disk import DiskBlobs
from tests.node.site.test_transfer import Holder, fetch, serving
from tests.node.storage.walk import names

source, disk = DiskBlobs(Path(sys.argv[1])), Path(sys.argv[2])

def listed(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())

async def main():
    folder = Path(sys.argv[3])
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_bytes(os.urandom(300_000))
    root = await source.add_path(folder)
    whole = sum([len(await source.node(cid)) for cid in await names(source, root)])
    there = DiskBlobs(disk / "store")
    held = await there.add(bytes(range(256)) * 2000)
    before = listed(disk / "store")
    free = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - whole // 2))
    holder = Holder(1, source)
    async with serving(holder) as asking:
        try:
            await fetch(asking, there, root, holder)
            refused = None
        except ComityError as error:
            refused = str(error)
        after = [name for name in listed(disk / "store") if not name.startswith("arriving/")]
        report = check_blobs(disk / "store")
        sound = await there.missing(held) == [] and not report.damaged and not report.strays
        (disk / "ballast").unlink()
        sent = holder.sent
        again = DiskBlobs(disk / "store")
        moved = await fetch(asking, again, root, holder)
        complete = await again.missing(root) == [] and await names(again, root) == await names(source, root)
        print(json.dumps({
            "refused": refused, "same": before == after, "sound": sound, "complete": complete, "whole": whole,
            "resumed": moved.progress.resumed, "sent": sent, "later": holder.sent - sent,
            "left": listed(disk / "store" / "arriving"),
        }))

trio.run(main)
"""


def test_a_transfer_onto_a_full_disk_says_so_harms_nothing_and_goes_on_once_there_is_space(tmp_path: Path) -> None:
    """Lost: a full disk damages what is stored, or each try of a large dataset begins anew."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = [
        bubblewrap(), "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--size", str(DISK), "--tmpfs", str(disk),
        "--", sys.executable, "-c", FILLING, str(tmp_path / "source"), str(disk), str(tmp_path / "folder"),
    ]  # fmt: skip
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["refused"] == (
        "nodes could not be stored: no space left on device; see to the disk of the site's folder, then try again"
    )
    assert told["same"]
    assert told["sound"]
    assert told["complete"]
    assert told["left"] == []
    # Files take whole pages, so that a little less than half of the bytes has room.
    assert told["resumed"] > told["whole"] * 0.4
    assert told["later"] < told["whole"] - told["resumed"] + 20_000, "what had come is not asked for again"
