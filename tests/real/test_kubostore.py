"""A site's store in a real Kubo: it does what the embedded store does, under the same names, and hands out nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput, Conflict, NotFound, Unreachable, VerificationFailed
from catalog.project import ProjectRef
from node.storage.disk import DiskBlobs
from node.storage.fresh import FRESH_SECONDS
from node.storage.kubo import Kubo as Rpc
from node.storage.kubostore import open_store
from tests.infra.kubo.build import ipfs
from tests.infra.kubo.daemon import Kubo, running
from tests.node.storage.walk import names
from tests.real.hospital import Hospital

T = TypeVar("T")
SITE = "did:key:z6MkSite"


@pytest.fixture(scope="session")
def program() -> Path:
    return ipfs()


def closed(socket: Path) -> dict[str, object]:
    """The settings that a store needs."""
    swarm = ["/ip4/127.0.0.1/tcp/0"]
    return {
        "Addresses": {"API": f"/unix{socket}", "Gateway": [], "Swarm": swarm, "Announce": [], "NoAnnounce": []},
        "Bitswap": {"ServerEnabled": False},
    }


@contextmanager
def store_of(program: Path, at: Path, **changed: object) -> Iterator[Kubo]:
    """A Kubo that a site may use as its store, with ``changed`` settings."""
    # The test profile does not flush, and a socket's path is short.
    at.mkdir(exist_ok=True)
    with (
        short_folder(at) as sockets,
        running(program, at / "repo", settings=closed(sockets / "api") | {"sync": True} | changed) as kubo,
    ):
        yield kubo


@contextmanager
def short_folder(at: Path) -> Iterator[Path]:
    folder = Path("/tmp") / f"ck-{os.getpid()}-{abs(hash(str(at))) % 10**8}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def play(
    blobs: DiskBlobs, story: Callable[[DiskBlobs], Coroutine[Any, Any, T]], clock: trio.abc.Clock | None = None
) -> T:
    return trio.run(story, blobs, clock=clock)


def write_tree(path: Path) -> Path:
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "ünïcode").write_bytes(b"names")
    (path / "deep" / "empty").touch()
    (path / ".hidden").write_bytes(b"hidden")
    (path / "large").write_bytes(os.urandom(900_000))
    return path


def test_it_names_and_reads_as_the_embedded_store_does(program: Path, tmp_path: Path) -> None:
    """Lost: the same data have another name at a hospital that uses Kubo, and no policy or grant finds them."""
    tree = write_tree(tmp_path / "tree")
    with store_of(program, tmp_path / "kubo") as kubo:
        mine, disk = open_store(tmp_path / "blobs", kubo.api, SITE), DiskBlobs(tmp_path / "disk")

        async def story(blobs: DiskBlobs) -> list[object]:
            root = await blobs.add_path(tree)
            small = await blobs.add(b"a few bytes")
            car = BytesIO()
            await blobs.export_car(root, car)
            return [
                root,
                small,
                await blobs.hash_path(tree),
                await blobs.entries(root, "deep"),
                await blobs.read(root, "deep/er/ünïcode"),
                await names(blobs, root),
                (await blobs.reachable(root)).complete,
                blobs.size(root),
                await blobs.missing(root),
                await blobs.node(root),
                car.getvalue(),
            ]

        assert play(mine, story) == play(disk, story)
        root = play(mine, lambda blobs: blobs.add_path(tree))
        assert kubo("add", "-r", "--hidden", "-Q", "--cid-version=1", "--pin=false", tree).decode().strip() == str(root)
        play(mine, lambda blobs: blobs.checkout(root, tmp_path / "out"))
        assert {each.name for each in (tmp_path / "out").iterdir()} == {"deep", ".hidden", "large"}
        assert not any(path.is_file() for path in (tmp_path / "blobs" / "nodes").rglob("*"))
        with pytest.raises(NotFound):
            play(mine, lambda blobs: blobs.node(Cid.of(b"nowhere")))


def test_nodes_come_one_by_one_and_false_ones_do_not(program: Path, tmp_path: Path) -> None:
    """Lost: what another site sends is believed, or lost on its way."""
    with store_of(program, tmp_path / "kubo") as kubo:
        blobs, disk = open_store(tmp_path / "blobs", kubo.api, SITE), DiskBlobs(tmp_path / "disk")
        root = play(disk, lambda disk: disk.add_path(write_tree(tmp_path / "tree")))
        nodes = [
            (cid, play(disk, lambda disk, cid=cid: disk.node(cid)))
            for cid in play(disk, lambda disk: names(disk, root))
        ]
        play(blobs, lambda blobs: blobs.put_nodes([each for each in nodes if each[0] == root]))
        assert play(blobs, lambda blobs: blobs.missing(root))
        with pytest.raises(VerificationFailed):
            play(blobs, lambda blobs: blobs.put_nodes([(Cid.of(b"true"), b"false")]))
        play(blobs, lambda blobs: blobs.put_nodes(nodes))
        assert play(blobs, lambda blobs: blobs.missing(root)) == []


def test_what_arrived_from_another_site_is_adopted_and_pinned(program: Path, tmp_path: Path) -> None:
    """Lost: a site whose store is a Kubo can fetch nothing, or loses it with the next collection."""

    async def bring(blobs: DiskBlobs) -> None:
        with await blobs.arrive(root, "a site") as arrival:
            arrival.put(nodes)
            await blobs.adopt(root, arrival)

    with store_of(program, tmp_path / "kubo") as kubo:
        blobs, disk = open_store(tmp_path / "blobs", kubo.api, SITE), DiskBlobs(tmp_path / "disk")
        root = play(disk, lambda disk: disk.add_path(write_tree(tmp_path / "tree")))
        nodes = [(cid, disk.get(cid)) for cid in play(disk, lambda disk: names(disk, root))]
        play(blobs, bring)
        kubo("repo", "gc")
        assert play(blobs, lambda blobs: blobs.missing(root)) == []
        assert not any((tmp_path / "blobs" / "arriving").iterdir())


def test_what_came_for_a_project_alone_is_sealed_beside_the_kubo_and_never_in_it(program: Path, tmp_path: Path) -> None:
    """Lost: another site's released value lies in the clear in a Kubo, where no project's end reaches its blocks."""
    project = ProjectRef(site=SITE, name="trial")

    async def bring(blobs: DiskBlobs) -> None:
        with await blobs.arrive(root, "a site", project) as arrival:
            arrival.put(nodes)
            await blobs.adopt(root, arrival)

    with store_of(program, tmp_path / "kubo") as kubo:
        blobs, disk = open_store(tmp_path / "blobs", kubo.api, SITE), DiskBlobs(tmp_path / "disk")
        root = play(disk, lambda disk: disk.add_path(write_tree(tmp_path / "tree")))
        nodes = [(cid, disk.get(cid)) for cid in play(disk, lambda disk: names(disk, root))]
        play(blobs, bring)
        assert (
            play(blobs, lambda blobs: blobs.missing(root))
            == play(blobs, lambda blobs: blobs.missing(root, project))
            == []
        )
        assert blobs.size_in_clear(root) is None
        assert blobs.sealed.end(project)[0] == len(nodes)
        assert play(blobs, lambda blobs: blobs.missing(root)) == [root]


def test_what_nobody_keeps_is_dropped_and_the_rest_outlives_a_collection(program: Path, tmp_path: Path) -> None:
    """Lost: results of a project that has ended stay, or an operator's «ipfs repo gc» empties the hospital's store."""

    async def story(blobs: DiskBlobs) -> tuple[Cid, Cid]:
        kept, gone = await blobs.add(b"kept " * 100_000), await blobs.add(b"gone " * 100_000)
        swept = await blobs.drop(lambda: [kept])
        assert swept.nodes == 0  # both are fresh
        await trio.sleep(FRESH_SECONDS + 1)
        swept = await blobs.drop(lambda: [kept])
        assert swept.nodes == 3
        assert 500_000 < swept.bytes < 501_000
        return kept, gone

    with store_of(program, tmp_path / "kubo") as kubo:
        blobs = open_store(tmp_path / "blobs", kubo.api, SITE)
        kept, gone = play(blobs, story, trio.testing.MockClock(autojump_threshold=5))
        kubo("repo", "gc")
        again = open_store(tmp_path / "blobs", kubo.api, SITE)
        assert play(again, lambda blobs: blobs.read(kept)) == b"kept " * 100_000
        with pytest.raises(NotFound):
            play(again, lambda blobs: blobs.read(gone))


def test_bytes_that_the_daemon_changed_are_not_believed(program: Path, tmp_path: Path) -> None:
    """Lost: a flipped bit, or somebody at Kubo's files, becomes a patient's data."""
    with store_of(program, tmp_path / "kubo") as kubo:
        blobs = open_store(tmp_path / "blobs", kubo.api, SITE)
        root = play(blobs, lambda blobs: blobs.add(b"a true word"))
        [file] = [path for path in (kubo.repo / "blocks").rglob("*.data") if path.read_bytes() == b"a true word"]
        file.write_bytes(b"a lie, long")
        with pytest.raises(VerificationFailed, match="other bytes"):
            play(blobs, lambda blobs: blobs.read(root))


def test_another_repository_is_refused_and_a_store_does_not_change_its_place(program: Path, tmp_path: Path) -> None:
    """Lost: a site that starts on an empty store, and takes all that it had for gone."""
    with store_of(program, tmp_path / "kubo") as kubo:
        blobs = open_store(tmp_path / "blobs", kubo.api, SITE)
        root = play(blobs, lambda blobs: blobs.add(b"data"))
    with pytest.raises(Unreachable, match="does not answer"):
        open_store(tmp_path / "blobs", kubo.api, SITE)
    with store_of(program, tmp_path / "another") as other, pytest.raises(Conflict, match="another repository"):
        open_store(tmp_path / "blobs", other.api, SITE)
    with pytest.raises(Conflict, match="lie in a Kubo"):
        open_store(tmp_path / "blobs", None, SITE)
    disk = open_store(tmp_path / "disk", None, SITE)
    play(disk, lambda blobs: blobs.add(b"data"))
    with store_of(program, tmp_path / "kubo") as kubo:
        assert play(open_store(tmp_path / "blobs", kubo.api, SITE), lambda blobs: blobs.read(root)) == b"data"
        with pytest.raises(Conflict, match="before anything is stored"):
            open_store(tmp_path / "disk", kubo.api, SITE)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"Bitswap": {}}, "Bitswap.ServerEnabled=false"),
        ({"Provide": {"Enabled": True}}, "Provide.Enabled=false"),
        ({"sync": False}, '"sync": true'),
    ],
)
def test_a_kubo_that_would_hand_out_or_lose_is_refused(
    program: Path, tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    """Lost: whoever is connected to the hospital's Kubo asks for all that it holds."""
    with store_of(program, tmp_path / "kubo", **settings) as kubo, pytest.raises(BadInput, match=named):
        open_store(tmp_path / "blobs", kubo.api, SITE)


def test_a_connected_peer_gets_nothing_of_the_store(program: Path, tmp_path: Path) -> None:
    with store_of(program, tmp_path / "kubo") as kubo, running(program, tmp_path / "peer") as peer:
        blobs = open_store(tmp_path / "blobs", kubo.api, SITE)
        root = play(blobs, lambda blobs: blobs.add(b"for this site alone"))
        peer("swarm", "connect", kubo.address)
        assert peer.asks(str(root), 4.0) is None
        assert Rpc(kubo.api).peers() == 1


def test_a_node_runs_on_it(program: Path, tmp_path: Path) -> None:
    """Lost: the setting is there, and a real node does not start with it."""
    tree = write_tree(tmp_path / "tree")
    with store_of(program, tmp_path / "kubo") as kubo:
        site = Hospital(tmp_path, None, f'store = "kubo"\napi = "{kubo.api}"\n', "[storage]")
        with site.running() as node:
            made = node.node.publish_dataset(tree, "open data", level="open")
            assert node.node.fetch(made.cid, ".hidden") == b"hidden"
        assert kubo.has(str(made.cid))
        with site.running() as node:
            assert node.node.fetch(made.cid, "deep/er/ünïcode") == b"names"
    assert "does not answer; see that it runs" in site.ended()
