"""A node with a Kubo beside it: what is open any client of IPFS in the swarm reads, and nothing else comes out."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from node.storage.disk import DiskBlobs
from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, running
from tests.node.storage.walk import names
from tests.real.hospital import Hospital, Running, eventually, stored

WANTED = 20.0
"""Seconds that a peer waits for what it should get. A want can get lost, so each is asked of a new repository."""
UNWANTED = 4.0
"""Seconds that a peer waits for what it should not get; what it should, it gets in a tenth of one."""

EMPTY_FOLDER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
TREE = {"readme.txt": b"open to everybody\n", "tumours.csv": os.urandom(700_000)}


@pytest.fixture(scope="session")
def program() -> Path:
    return ipfs()


def write_tree(path: Path) -> Path:
    path.mkdir()
    for name, data in TREE.items():
        (path / name).write_bytes(data)
    return path


@contextmanager
def peers(at: Running, program: Path, folder: Path, count: int = 1) -> Iterator[list[Kubo]]:
    """Ordinary Kubos in new repositories that have the swarm's key, connected to the one of ``at``."""
    key = at.site.swarm_key.read_bytes()
    with ExitStack() as stack:
        found = [stack.enter_context(running(program, folder / f"peer-{number}", key)) for number in range(count)]
        for peer in found:
            peer("swarm", "connect", at.address)
        yield found


def test_what_is_open_is_read_by_ipfs_and_its_gateways(program: Path, tmp_path: Path) -> None:
    """Lost: «open» is a word, and nobody outside Comity can fetch what a hospital publishes."""
    site = Hospital(tmp_path, program)
    source = write_tree(tmp_path / "data")
    with site.running() as node:
        made = node.node.publish_dataset(source, "open data", level="open")
        view = node.published(1)
        assert view.version.startswith("0.")
        assert view.bytes > 700_000
        with peers(node, program, tmp_path, 2) as (reader, gateway):
            reader("get", "-o", tmp_path / "got", str(made.cid))
            assert {each.name: each.read_bytes() for each in (tmp_path / "got").iterdir()} == TREE
            assert reader("cat", f"{made.cid}/readme.txt") == TREE["readme.txt"]
            with urllib.request.urlopen(f"{gateway.gateway}/ipfs/{made.cid}/tumours.csv", timeout=WANTED) as answer:
                assert answer.read() == TREE["tumours.csv"]
        told = node.site.command("site", "status")
        assert f"version {view.version}, {view.repo}: 1 dataset in the swarm" in told.stdout, told.stdout
        socket = Path((site.folder.kubo / "api").read_text().strip().removeprefix("/unix"))
        assert socket.is_socket()
    assert not socket.parent.exists()


def test_a_reader_joins_as_the_guide_says(program: Path, tmp_path: Path) -> None:
    """Lost: whoever is to read open data by IPFS types what the guide shows, and Kubo refuses it."""
    site = Hospital(tmp_path, program)
    (write_tree(tmp_path / "data") / "empty").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ipfs").symlink_to(program)
    before, after = guide()
    repo = tmp_path / "two-hospitals.ipfs"
    with site.running() as node:
        made = node.node.publish_dataset(tmp_path / "data", "open data", level="open")
        node.published(1)
        (tmp_path / "two-hospitals.swarm").write_bytes(site.folder.swarm_key.read_bytes())

        def typed(lines: str) -> None:
            lines = re.sub(r"/dns4/\S+", node.address, lines).replace("bafy…", str(made.cid))
            environment = os.environ | {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["bash", "-e", "-c", lines], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 0, done.stderr

        typed(before)
        assert json.loads((repo / "config").read_text())["AutoConf"]["Enabled"] is False
        with running(program, repo):
            typed("export IPFS_PATH=$HOME/two-hospitals.ipfs\n" + after)
    got = tmp_path / str(made.cid)
    assert {each.name: each.read_bytes() for each in got.iterdir()} == {**TREE, "empty": b""}


def guide() -> tuple[str, str]:
    """What the operator's guide has a reader type, before the daemon's line and after it."""
    text = (Path(__file__).resolve().parents[2] / "docs/guide/operator.md").read_text()
    block = next(each for each in text.split("```") if each.startswith("sh\n") and "LIBP2P_FORCE_PNET" in each)
    lines = [line.partition("  #")[0].rstrip() for line in block.splitlines()[1:]]
    daemon = next(at for at, line in enumerate(lines) if "ipfs daemon" in line)
    assert lines[daemon] == "LIBP2P_FORCE_PNET=1 ipfs daemon &"
    return "\n".join(lines[:daemon]), "\n".join(lines[daemon + 1 :])


def test_an_empty_file_is_read_by_who_has_one(program: Path, tmp_path: Path) -> None:
    """Lost: the way round what bitswap never sends (Kubo 0.39): a node of no bytes, which an empty file is."""
    site = Hospital(tmp_path, program)
    (write_tree(tmp_path / "data") / "empty").touch()
    with site.running() as node:
        made = node.node.publish_dataset(tmp_path / "data", "open data", level="open")
        node.published(1)
        with peers(node, program, tmp_path) as [reader]:
            reader("add", "--cid-version=1", given=b"")
            reader("get", "-o", tmp_path / "got", str(made.cid))
            assert {each.name: each.read_bytes() for each in (tmp_path / "got").iterdir()} == {**TREE, "empty": b""}


def test_a_swarm_peer_that_asks_for_all_else_gets_nothing(program: Path, tmp_path: Path) -> None:
    """Lost: whatever a hospital holds under a label is anybody's who can name it, for bitswap knows no labels."""
    site = Hospital(tmp_path, program)
    secret = tmp_path / "patients.csv"
    secret.write_bytes(os.urandom(900_000))
    with site.running() as node:
        opened = node.node.publish_dataset(write_tree(tmp_path / "data"), "open data", level="open")
        node.node.publish_dataset(secret, "patients", level="resident")
        block = node.node.publish_block(
            {
                "tool.cwl": b"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: {}\n",
                "secret.py": b"print('for one site')\n",
            },
            "a block",
        )
        node.published(1)
        result = as_a_step_leaves_it(site, os.urandom(400_000))
        public = nodes_below(site, opened.cid)
        plain, bytes_of_source = names_of(secret, tmp_path)
        bodies = {Cid.of(each.read_bytes()) for each in (site.folder.catalog).rglob("*") if each.is_file()}
        everything = stored(site.folder) | {block.cid, plain} | bytes_of_source | bodies
        private = everything - public
        assert len(private) > 8
        assert {block.cid, result} < private
        with peers(node, program, tmp_path) as [peer]:
            asked_at_once(peer, private, UNWANTED)
            assert [cid for cid in private if peer.has(str(cid))] == []
            assert sent(node, program) == 0
            # The connection that brought nothing brings what is open.
            assert all(peer.asks(str(cid), WANTED) is not None for cid in public)
            assert sent(node, program) == len(public)
        assert held(node, program) == {cid.digest for cid in public}


def as_a_step_leaves_it(site: Hospital, data: bytes) -> Cid:
    """Put a result into the store beside the node, as the runner does: held, in no catalog."""

    async def store() -> Cid:
        return await DiskBlobs(site.folder.blobs).add(data)

    return trio.run(store)


def nodes_below(site: Hospital, root: Cid) -> set[Cid]:
    async def look() -> frozenset[Cid]:
        return await names(DiskBlobs(site.folder.blobs), root)

    return set(trio.run(look))


def held(node: Running, program: Path) -> set[bytes]:
    """The digests of all that lies in the site's Kubo, but for the empty folder that every Kubo makes for itself."""
    cids = [Cid.parse(each) for each in node.asked(program, "refs", "local").decode().split()]
    return {cid.digest for cid in cids} - {Cid.parse(EMPTY_FOLDER).digest}


def names_of(path: Path, folder: Path) -> tuple[Cid, set[Cid]]:
    """The plain CID of a file, which is nowhere in the catalog, and those of all its nodes."""

    async def look() -> tuple[Cid, frozenset[Cid]]:
        blobs = DiskBlobs(folder / "aside")
        root = await blobs.add_path(path)
        return root, await names(blobs, root)

    root, below = trio.run(look)
    return root, set(below)


def asked_at_once(peer: Kubo, cids: set[Cid], seconds: float) -> None:
    with ThreadPoolExecutor(len(cids)) as pool:
        got = list(pool.map(lambda cid: peer.asks(str(cid), seconds), cids))
    assert got == [None] * len(cids)


def sent(node: Running, program: Path) -> int:
    """How many nodes the site's Kubo gave to others, as it counts itself."""
    line = next(line for line in node.asked(program, "bitswap", "stat").decode().splitlines() if "blocks sent" in line)
    return int(line.rpartition(":")[2])


def test_what_is_withdrawn_is_gone_and_so_is_all_while_the_site_is_halted(program: Path, tmp_path: Path) -> None:
    """Lost: a hospital takes data back, or stops everything, and its Kubo goes on handing them out."""
    site = Hospital(tmp_path, program)
    (tmp_path / "kept").write_bytes(os.urandom(300_000))
    with site.running() as node:
        gone = node.node.publish_dataset(write_tree(tmp_path / "data"), "taken back", level="open")
        kept = node.node.publish_dataset(tmp_path / "kept", "kept", level="open")
        node.published(2)
        node.node.withdraw_dataset(gone.cid)
        node.published(1)
        everything = nodes_below(site, gone.cid)
        with peers(node, program, tmp_path) as [peer]:
            asked_at_once(peer, everything, UNWANTED)
            assert peer.asks(str(kept.cid), WANTED) is not None
        node.node.halt("a doubt")
        node.published(0)
        assert held(node, program) == set()
        node.node.halt("looked at", resume=True)
        node.published(1)
    with site.running() as node:
        node.published(1)


def test_what_is_taken_back_while_it_is_published_or_cut_off_with_the_node(program: Path, tmp_path: Path) -> None:
    """Lost: a withdrawal waits behind hours of copying, or half a dataset stays because the node ended in between."""
    site = Hospital(tmp_path, program)
    (tmp_path / "large").write_bytes(os.urandom(200_000_000))
    with site.running() as node:
        made = node.node.publish_dataset(tmp_path / "large", "large", level="open")
        eventually(lambda: len(held(node, program)) > 20 or None, "some of its nodes")
        node.node.withdraw_dataset(made.cid)
        eventually(lambda: not held(node, program) or None, "the end of all of it")
        assert "published in the swarm" not in site.log.read_text()
        node.node.publish_dataset(tmp_path / "large", "large again", level="open")
        eventually(lambda: len(held(node, program)) > 20 or None, "some of its nodes")
    assert "Traceback" not in site.log.read_text()
    with site.running() as node:
        node.published(1)
        assert held(node, program) == {cid.digest for cid in nodes_below(site, made.cid)}


def test_a_kubo_that_is_killed_is_started_again_and_gets_what_came_meanwhile(program: Path, tmp_path: Path) -> None:
    """Lost: one crash of a program beside it, and the node publishes nothing any more, or ends."""
    site = Hospital(tmp_path, program)
    (tmp_path / "second").write_bytes(b"second")
    with site.running() as node:
        node.node.publish_dataset(write_tree(tmp_path / "data"), "first", level="open")
        node.published(1)
        first = node.kubo()
        node.kill_kubo()
        node.node.publish_dataset(tmp_path / "second", "second", level="open")
        assert "started again" in node.fault("Kubo ended|does not answer")
        node.published(2)
        assert node.kubo() != first
        assert "Traceback" not in site.log.read_text()
        last = node.kubo()
    assert not runs(last)


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_kubo_that_a_killed_node_left_is_ended_by_the_next_one(program: Path, tmp_path: Path) -> None:
    """Lost: after a crash of the node the old Kubo holds its repository, and goes on giving what was withdrawn."""
    site = Hospital(tmp_path, program)
    with site.running() as node:
        node.node.publish_dataset(write_tree(tmp_path / "data"), "open", level="open")
        node.published(1)
        left = node.kubo()
        node.process.send_signal(signal.SIGKILL)
        node.process.wait()
    assert runs(left)
    with site.running() as node:
        assert not runs(left)
        assert node.kubo() != left
        node.published(1)


def test_only_who_has_the_swarms_key_connects(program: Path, tmp_path: Path) -> None:
    """Lost: a swarm that is called private and is the network's."""
    site = Hospital(tmp_path, program)
    with site.running() as node:
        opened = node.node.publish_dataset(write_tree(tmp_path / "data"), "open", level="open")
        node.published(1)
        with running(program, tmp_path / "without") as stranger:
            with pytest.raises(AssertionError, match="failure"):
                stranger("swarm", "connect", node.address)
            assert stranger.asks(str(opened.cid), UNWANTED) is None
        other = b"/key/swarm/psk/1.0.0/\n/base16/\n" + b"cd" * 32 + b"\n"
        with running(program, tmp_path / "other", other) as stranger, pytest.raises(AssertionError, match="failure"):
            stranger("swarm", "connect", node.address)
        assert node.swarm().peers == 0


def test_a_kubo_of_the_nodes_own_is_closed_to_the_machines_other_users(program: Path, tmp_path: Path) -> None:
    """Lost: whoever has an account on the hospital's machine empties or fills its Kubo, or reads the swarm's key."""
    site = Hospital(tmp_path, program)
    with site.running() as node:
        kubo = site.folder.kubo
        assert stat.S_IMODE(kubo.stat().st_mode) == 0o700
        for name in ("config", "swarm.key", "daemon.log"):
            assert stat.S_IMODE((kubo / name).stat().st_mode) == 0o600, name
        socket = Path((kubo / "api").read_text().strip().removeprefix("/unix"))
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert ports_of(node.kubo()) == {site.swarm_port}
        key = site.swarm_key.read_text().split()[-1]
        assert key not in Path(f"/proc/{node.kubo()}/environ").read_text()
        assert key not in site.log.read_text() + (kubo / "daemon.log").read_text()


def ports_of(pid: int) -> set[int]:
    """The TCP and UDP ports at which a process listens."""
    inodes = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        target = os.readlink(each)
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[9] in inodes and (table.startswith("udp") or words[3] == "0A"):
                found.add(int(words[1].rpartition(":")[2], 16))
    return found


def test_what_cannot_be_started_says_so_in_one_line(program: Path, tmp_path: Path) -> None:
    """Lost: an operator who reads a traceback, or a node that seems to publish and does not."""
    site = Hospital(tmp_path, "/nowhere/ipfs")
    assert "there is no program «/nowhere/ipfs»" in site.ended()
    old = tmp_path / "old-ipfs"
    old.write_text("#!/bin/sh\necho 0.28.0\n")
    old.chmod(0o755)
    site.program = old
    assert "Kubo 0.28.0 is too old; install Kubo 0.39 or newer" in site.ended()
    site.program = program
    site.folder.swarm_key.unlink()
    assert "needs the key of the consortium's swarm" in site.ended()
    site.folder.swarm_key.write_text("no key")
    site.folder.swarm_key.chmod(0o600)
    assert "is no key of a swarm" in site.ended()
