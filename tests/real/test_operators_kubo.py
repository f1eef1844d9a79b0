"""A node that publishes in a Kubo which its operator runs: that may be away, replaced, full, or not meant for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import ComityError
from node.execute.program import bubblewrap
from node.storage.disk import DiskBlobs
from node.storage.kubo import Kubo as Rpc
from node.storage.pour import pour
from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, running
from tests.real.hospital import Hospital, eventually, free_port

KEY = b"/key/swarm/psk/1.0.0/\n/base16/\n" + b"ab" * 32 + b"\n"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def program() -> Path:
    return ipfs()


@contextmanager
def at(program: Path, repo: Path, port: int, **settings: object) -> Iterator[Kubo]:
    """The operator's Kubo, whose RPC is at the port that the site's settings name."""
    loopback = "/ip4/127.0.0.1/tcp/0"
    addresses = {
        "API": f"/ip4/127.0.0.1/tcp/{port}",
        "Gateway": loopback,
        "Swarm": [loopback],
        "Announce": [],
        "NoAnnounce": [],
    }
    with running(program, repo, KEY, {"Addresses": addresses} | settings) as kubo:
        yield kubo


def told_of(tmp_path: Path, port: int, more: str = "") -> Hospital:
    return Hospital(tmp_path, None, f'[kubo]\napi = "/ip4/127.0.0.1/tcp/{port}"\n{more}')


def test_one_that_comes_late_or_goes_is_caught_up_with_and_its_other_pins_stay(program: Path, tmp_path: Path) -> None:
    """Lost: a node that does not start without its Kubo, or that takes the operator's own pins away."""
    port = free_port()
    (tmp_path / "data").write_bytes(os.urandom(600_000))
    with running(program, tmp_path / "member", KEY) as member:
        site = told_of(tmp_path, port, f'peers = ["{member.address}"]\n')
        with site.running() as node:
            made = node.node.publish_dataset(tmp_path / "data", "open", level="open")
            assert "does not answer; see that it runs" in node.fault("does not answer")
            with at(program, tmp_path / "kubo", port) as kubo:
                theirs = kubo("add", "-Q", "--cid-version=1", given=b"the operator's own").decode().strip()
                eventually(lambda: node.swarm().peers or None, "the member, called by the Kubo")
                assert member("cat", str(made.cid)) == (tmp_path / "data").read_bytes()
                node.node.withdraw_dataset(made.cid)
                node.published(0)
                assert not kubo.has(str(made.cid))
                assert kubo.has(theirs)
            node.fault("does not answer")
        assert "Traceback" not in site.log.read_text()


def test_another_repository_is_filled_anew_and_that_is_said_aloud(program: Path, tmp_path: Path) -> None:
    """Lost: an operator restores a Kubo of last year, whose withdrawn data are public again, and nobody is told."""
    port = free_port()
    (tmp_path / "data").write_bytes(b"open")
    site = told_of(tmp_path, port)
    with site.running() as node:
        made = node.node.publish_dataset(tmp_path / "data", "open", level="open")
        with at(program, tmp_path / "first", port):
            node.published(1)
        node.fault("does not answer")
        with at(program, tmp_path / "second", port) as second:
            node.published(1)
            assert second.has(str(made.cid))
            told = [line for line in node.node.status().recovered if "another repository" in line]
            assert len(told) == 1
            assert "what was withdrawn meanwhile is still in the old one" in told[0]
    assert "another repository" in site.log.read_text()


def test_one_that_hands_out_nothing_is_told_from_one_that_publishes(program: Path, tmp_path: Path) -> None:
    """Lost: a site's store, which is closed, is filled as if it published, and nobody sees that nothing is."""
    port = free_port()
    site = told_of(tmp_path, port)
    with site.running() as node, at(program, tmp_path / "kubo", port, Bitswap={"ServerEnabled": False}):
        assert "set Bitswap.ServerEnabled" in node.fault("hands out nothing")


FULL = """
import os, sys
from pathlib import Path
import trio
from catalog.error import ComityError
from node.storage.disk import DiskBlobs
from node.storage.kubo import Kubo
from node.storage.pour import pour
from tests.infra.kubo.daemon import running

program, disk, elsewhere = map(Path, sys.argv[1:])

async def copy(blobs, root, kubo):
    await pour(blobs, root, kubo)
    kubo.pin(root, "a site")

def refusal(blobs, root, kubo):
    try:
        trio.run(copy, blobs, root, kubo)
    except ComityError as error:
        return str(error)

async def stored(blobs, size):
    return await blobs.add(os.urandom(size))

blobs = DiskBlobs(elsewhere)
large, small = trio.run(stored, blobs, 30_000_000), trio.run(stored, blobs, 100_000)
with running(program, disk / "repo") as kubo:
    rpc = Kubo(kubo.api)
    print(refusal(blobs, large, rpc))
    print(rpc.pinned("a site"))
    rpc.collect()
    print(refusal(blobs, small, rpc), rpc.pinned("a site") == {small})
"""


def test_a_full_disk_is_named_and_what_fits_is_published(program: Path, tmp_path: Path) -> None:
    """Lost: half a dataset that passes for published, or a Kubo that stays full of it."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    command = [
        bubblewrap(), "--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--size", "16000000", "--tmpfs", str(disk),
        "--", sys.executable, "-c", FULL, str(program), str(disk), str(elsewhere),
    ]  # fmt: skip
    ran = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    refused, pinned, after = ran.stdout.splitlines()
    assert refused.endswith("is full: make room there")
    assert pinned == "frozenset()"
    assert after == "None True"


def test_a_damaged_store_publishes_nothing_of_what_is_damaged(program: Path, tmp_path: Path) -> None:
    """Lost: half a tree is pinned under a name that promises all of it."""
    blobs = DiskBlobs(tmp_path / "blobs")

    async def store() -> Cid:
        return await blobs.add(os.urandom(900_000))

    root = trio.run(store)
    leaf = max((tmp_path / "blobs" / "nodes").rglob("bafk*"), key=lambda path: path.name)
    leaf.chmod(0o600)
    leaf.write_bytes(b"flipped")
    with running(program, tmp_path / "kubo") as kubo:
        with pytest.raises(ComityError, match="damaged"):
            trio.run(pour, blobs, root, Rpc(kubo.api))
        assert not kubo.has(leaf.name)
