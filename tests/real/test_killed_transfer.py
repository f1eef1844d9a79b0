"""A transfer of 1 GiB between two processes, either of which is killed again and again while it runs."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import trio

from catalog.cid import Cid
from node.storage.disk import DiskBlobs
from node.storage.unixfs import CHUNK, build_file, file_bytes
from tests.node.storage.walk import names
from tests.real.receiving import TAKEN

ROOT = Path(__file__).resolve().parents[2]
SIZE = 1 << 30
KILLS = 50
TWICE = 0.05
"""Of the bytes, how many may come twice."""
SECONDS = 240.0
PAUSE = 0.001


class Pair:
    """A sender and a receiver of ``root``; ``taken`` are bytes that receivers, dead ones too, took off connections."""

    def __init__(self, folder: Path, root: Cid) -> None:
        self._folder = folder
        self._root = root
        self._until = time.monotonic() + SECONDS
        (folder / "taken").write_bytes(bytes(TAKEN.size))
        with (folder / "taken").open("rb") as file:
            self._taken = mmap.mmap(file.fileno(), TAKEN.size, access=mmap.ACCESS_READ)
        self._port = 0
        self._start_sender()
        assert self.sender.stdout is not None
        self._port = int(self.sender.stdout.readline())
        self._start_receiver()

    def _start_sender(self) -> None:
        self.sender = _started("sending", str(self._folder / "there"), str(self._port))

    def _start_receiver(self) -> None:
        place = str(self._folder / "here")
        self.receiver = _started("receiving", place, str(self._port), str(self._root), str(self._folder / "taken"))

    @property
    def taken(self) -> int:
        return int(TAKEN.unpack_from(self._taken)[0])

    def kill_sender(self) -> None:
        _end(self.sender)
        self._start_sender()

    def kill_receiver(self) -> None:
        _end(self.receiver)
        self._start_receiver()

    def wait(self, until: Callable[[], bool]) -> None:
        """Until it is so; the receiver must not have failed before."""
        while not until():
            ended = self.receiver.poll()
            assert ended in (None, 0), f"the receiver gave up after {self.taken:,} bytes"
            assert time.monotonic() < self._until, f"only {self.taken:,} bytes were taken in {SECONDS:.0f} s"
            time.sleep(PAUSE)

    def end(self) -> None:
        _end(self.sender)
        _end(self.receiver)


def _started(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"tests.real.{program}", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_transfer_whose_sides_are_killed_fifty_times_ends_whole_and_fetches_little_twice(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Lost: over a bad line, or on a machine that restarts, a large dataset comes damaged, never, or many times."""
    random, told = Random(6), sha256()

    def chunks() -> Iterator[bytes]:
        for _ in range(SIZE // CHUNK):
            chunk = random.randbytes(CHUNK)
            told.update(chunk)
            yield chunk

    source = DiskBlobs(tmp_path / "there")
    root = trio.run(source.build, lambda put, _get: build_file(chunks(), put))
    os.sync()
    began = time.monotonic()
    pair = Pair(tmp_path, root)
    try:
        for number in range(1, KILLS + 1):
            # What was taken, not what was kept: so the last kill comes before the end, whatever was lost meanwhile.
            step = SIZE * number // (KILLS + 1)
            pair.wait(lambda step=step: pair.taken >= step)  # type: ignore[misc]
            assert pair.receiver.poll() is None
            (pair.kill_sender if number % 2 else pair.kill_receiver)()
        pair.wait(lambda: pair.receiver.poll() == 0)
    finally:
        pair.end()
    seconds = time.monotonic() - began
    here = DiskBlobs(tmp_path / "here")

    async def whole() -> None:
        assert await here.missing(root) == []
        assert await names(here, root) == await names(source, root)

    trio.run(whole)
    found = sha256()
    for piece in file_bytes(root, here.get):
        found.update(piece)
    assert found.digest() == told.digest()
    assert not list((tmp_path / "here" / "arriving").iterdir())
    twice = pair.taken / SIZE - 1  # heads, CIDs and the nodes above the leaves are in it as well
    record_property("fetched_twice", twice)
    print(f"{KILLS} kills, {seconds:.0f} s, {pair.taken:,} of {SIZE:,} bytes taken: {twice:.2%} twice")
    assert 0 <= twice <= TWICE
    shutil.rmtree(tmp_path)
