"""Fetching a root from several holders: on loopback, some of which lie, stall or go away."""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, TypeVar

import pytest
import trio

from catalog.cid import DAG_PB, Cid
from catalog.dagcbor import decode
from catalog.error import ComityError, Conflict, Infeasible, NotFound, Unreachable, VerificationFailed
from catalog.key import PrivateKey
from node.network.blob import Blob, BulkRequest
from node.network.bulk import BulkClient
from node.network.bulk_server import serve_bulk
from node.site import transfer
from node.site.gateway import PREFIX, Gateway, Wanted, read_question
from node.site.transfer import MAX_DEPTH, Transfer
from node.storage.arriving import Arrival
from node.storage.car import header, prefix
from node.storage.dagpb import Link, PBNode, encode_node
from node.storage.disk import DiskBlobs
from node.storage.room import Room
from node.storage.unixfs import CHUNK, Data, Kind, encode_data
from node.system import SystemClock, SystemRandom
from tests.node.storage.test_disk import content
from tests.node.storage.walk import names

T = TypeVar("T")
HOST = "127.0.0.1"
SIZE = 40 * CHUNK + 11


class Holder:
    """A site that serves a store; ``spoil`` may change what a question is answered with."""

    def __init__(self, number: int, store: DiskBlobs, spoil: Callable[[Blob], Blob] = lambda blob: blob) -> None:
        self.key = PrivateKey(bytes([number]) * 32)
        self.gateway = Gateway(store)
        self.spoil = spoil
        self.asked = 0
        self.sent = 0
        self.base = ""

    async def answer(self, request: BulkRequest) -> Blob:
        self.asked += 1
        question = read_question(request.method, request.path, request.query, request.body)
        return self.counted(self.spoil(await self.gateway.answer(question)))

    def counted(self, blob: Blob) -> Blob:
        def read(first: int, end: int | None) -> Iterator[bytes]:
            for piece in blob.read(first, end):
                self.sent += len(piece)
                yield piece

        return Blob(blob.size, read)


class Asking:
    """The ``Holders`` port over real connections; a site is known by its key."""

    def __init__(self, holders: Sequence[Holder], client: BulkClient) -> None:
        self.bases = {holder.key.did: holder for holder in holders}
        self.client = client

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        return await self.client.stream(site, self.bases[site].base, path, take, limit=limit, query=query)


@asynccontextmanager
async def serving(*holders: Holder) -> AsyncIterator[Asking]:
    async with AsyncExitStack() as stack:
        stack.enter_context(trio.fail_after(90))
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        for holder in holders:
            port = await nursery.start(_serve, holder)
            holder.base = f"https://{HOST}:{port}"
        client = stack.enter_context(BulkClient(PrivateKey(bytes([99]) * 32), SystemClock(), SystemRandom()))
        yield Asking(holders, client)


async def _serve(holder: Holder, *, task_status: object) -> None:
    await serve_bulk(
        HOST,
        0,
        holder.key,
        holder.answer,
        clock=SystemClock(),
        site_of=lambda did: did,
        task_status=task_status,  # type: ignore[arg-type]
    )


async def fetch(asking: Asking, store: DiskBlobs, root: Cid, *holders: Holder, limit: int = 1 << 30) -> Transfer:
    sites = [holder.key.did for holder in holders]
    with await store.arrive(root, "any") as arrival:
        moving = Transfer(root, sites, asking, arrival, limit)
        await moving.run()
        await store.adopt(root, arrival)
    return moving


@pytest.fixture
def source(tmp_path: Path) -> tuple[DiskBlobs, Cid]:
    """A store that holds a folder of a large file, many small ones and an empty one."""
    store, folder = DiskBlobs(tmp_path / "source"), tmp_path / "folder"
    (folder / "small").mkdir(parents=True)
    (folder / "large.bin").write_bytes(b"".join(content("large", SIZE)))
    (folder / "empty").touch()
    for number in range(1500):
        (folder / "small" / str(number)).write_bytes(str(number).encode() * 20)
    return store, trio.run(store.add_path, folder)


def test_only_what_lacks_of_a_tree_is_fetched_again(source: tuple[DiskBlobs, Cid], tmp_path: Path) -> None:
    """Lost: one damaged node of a terabyte brings all of it over the network once more, or comes back half."""
    store, root = source

    async def main() -> None:
        holder, there = Holder(1, store), DiskBlobs(tmp_path / "there")
        async with serving(holder) as asking:
            await fetch(asking, there, root, holder)
            everything = holder.sent
            large = next(each.cid for each in await there.entries(root) if each.name == "large.bin")
            leaf = next(cid for cid in await names(there, large) if cid != large)
            for cid in (root, large, leaf):
                there._place(cid).unlink()
            while lacking := await there.missing(root):
                with await there.arrive(root, "any") as arrival:
                    whence = [holder.key.did]
                    moving = Transfer(
                        root, whence, asking, arrival, 1 << 30, lacking, lambda cid: there.size(cid) is not None
                    )
                    await moving.run()
                    await there.adopt(root, arrival)
            assert await names(there, root) == await names(store, root)
            assert holder.sent - everything < 2 * CHUNK

    trio.run(main)


def test_a_tree_comes_whole_and_is_counted(source: tuple[DiskBlobs, Cid], tmp_path: Path) -> None:
    store, root = source

    async def main() -> None:
        holder, there = Holder(1, store), DiskBlobs(tmp_path / "there")
        async with serving(holder) as asking:
            moved = await fetch(asking, there, root, holder)
            assert await there.missing(root) == []
            assert await names(there, root) == await names(store, root)
            assert moved.progress.done == sum([len(await there.node(cid)) for cid in await names(there, root)])
            assert moved.progress.done <= moved.progress.total <= moved.progress.done * 1.01
            assert holder.asked < 30
        assert not list((tmp_path / "there" / "arriving").iterdir())

    trio.run(main)


def test_what_came_before_a_crash_is_not_fetched_again(
    source: tuple[DiskBlobs, Cid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a transfer of days over a bad line never ends, because each break begins it anew."""
    store, root = source
    monkeypatch.setattr(transfer, "TRIES", 1)

    async def main() -> None:
        there = DiskBlobs(tmp_path / "there")
        left = 10

        def breaking(blob: Blob) -> Blob:
            def read(first: int, end: int | None) -> Iterator[bytes]:
                nonlocal left
                for piece in blob.read(first, end):
                    left -= 1
                    if left <= 0:
                        raise OSError("cut")
                    yield piece

            return Blob(blob.size, read)

        holder = Holder(1, store, breaking)
        async with serving(holder) as asking:
            with await there.arrive(root, "any") as arrival:
                first = Transfer(root, [holder.key.did], asking, arrival, 1 << 30)
                with pytest.raises(Unreachable):
                    await first.run()
                came = {cid: arrival.get(cid) for cid in arrival.held}
            assert 0 < len(came) < len(await names(store, root))
            damaged = next(cid for cid in came if cid != root)
            folder = next((tmp_path / "there" / "arriving").iterdir())
            (folder / str(damaged)).write_bytes(b"half of i")
            holder.spoil, sent = (lambda blob: blob), holder.sent
            again = DiskBlobs(tmp_path / "there")  # as a new process opens it
            moved = await fetch(asking, again, root, holder)
            assert moved.progress.resumed == sum(len(data) for cid, data in came.items() if cid != damaged)
            assert await again.missing(root) == []
            whole = sum([len(await store.node(cid)) for cid in await names(store, root)])
            assert holder.sent - sent < whole - moved.progress.resumed + 200_000

    trio.run(main)


def flipped(blob: Blob) -> Blob:
    """Every answer has one bit turned, far in."""

    def read(first: int, end: int | None) -> Iterator[bytes]:
        data = bytearray(b"".join(blob.read(first, end)))
        data[len(data) * 3 // 4] ^= 1
        yield bytes(data)

    return Blob(blob.size, read)


def another(blob: Blob) -> Blob:
    """Other nodes than were asked for."""
    return Blob(None, lambda _first, _end: iter([header(Cid.of(b"x")) + prefix(Cid.of(b"x"), b"x") + b"x"]))


def endless(blob: Blob) -> Blob:
    """A node without end."""

    def read(_first: int, _end: int | None) -> Iterator[bytes]:
        yield header(Cid.of(b"x")) + b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(Cid.of(b"x"))
        while True:
            yield bytes(1 << 20)

    return Blob(None, read)


def nothing(blob: Blob) -> Blob:
    return Blob(None, lambda _first, _end: iter([header(Cid.of(b"x"))]))


@pytest.mark.parametrize("lie", [flipped, another, endless, nothing])
def test_a_lying_holder_poisons_nothing_and_is_named_when_it_is_alone(
    lie: Callable[[Blob], Blob], source: tuple[DiskBlobs, Cid], tmp_path: Path
) -> None:
    """Lost: wrong bytes are stored, memory runs full, or one liar keeps everybody from a dataset that others hold."""
    store, root = source

    async def main() -> None:
        honest, liar = Holder(1, store), Holder(2, store, lie)
        async with serving(honest, liar) as asking:
            alone = DiskBlobs(tmp_path / "alone")
            with pytest.raises((VerificationFailed, NotFound)):
                await fetch(asking, alone, root, liar)
            assert await names(alone, root) == frozenset(), "nothing counts as stored"
            there = DiskBlobs(tmp_path / "there")
            await fetch(asking, there, root, liar, honest)
            assert await there.missing(root) == []

    trio.run(main)


def test_a_slow_holder_is_overtaken(
    source: tuple[DiskBlobs, Cid], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: whoever answers and then sends a byte a second keeps a whole transfer waiting."""
    store, root = source
    monkeypatch.setattr(transfer, "OVERTAKE_SECONDS", 0.1)

    async def main() -> None:
        stop = trio.Event()

        def slow(blob: Blob) -> Blob:
            def read(first: int, end: int | None) -> Iterator[bytes]:
                whole = b"".join(blob.read(first, end))
                for at in range(0, len(whole), 1):
                    if stop.is_set():
                        return
                    yield whole[at : at + 1]
                    time.sleep(0.05)

            return Blob(blob.size, read)

        quick, tardy = Holder(1, store), Holder(2, store, slow)
        async with serving(quick, tardy) as asking:
            there = DiskBlobs(tmp_path / "there")
            await fetch(asking, there, root, tardy, quick)
            stop.set()
            assert await there.missing(root) == []
            assert tardy.asked >= 1

    trio.run(main)


def test_two_holders_share_the_work(tmp_path: Path) -> None:
    """Lost: a second holder helps nobody."""

    async def main() -> None:
        store = DiskBlobs(tmp_path / "source")
        root = await store.add(b"".join(content("shared", 300 * CHUNK)))
        one, two = Holder(1, store), Holder(2, store)
        async with serving(one, two) as asking:
            there = DiskBlobs(tmp_path / "there")
            await fetch(asking, there, root, one, two)
            assert await there.missing(root) == []
            assert min(one.sent, two.sent) > 5 * CHUNK
            assert one.sent + two.sent < 310 * CHUNK

    trio.run(main)


def test_holders_that_each_have_a_part_make_a_whole(source: tuple[DiskBlobs, Cid], tmp_path: Path) -> None:
    """Lost: what no one holder has whole is held to be lost."""
    store, root = source

    async def main() -> None:
        halves = [DiskBlobs(tmp_path / "even"), DiskBlobs(tmp_path / "odd")]
        for cid in await names(store, root):
            data = await store.node(cid)
            for half in halves if cid.codec == DAG_PB else halves[cid.digest[0] % 2 :][:1]:
                await half.put_nodes([(cid, data)])
        holders = [Holder(number, half) for number, half in enumerate(halves, 1)]
        async with serving(*holders) as asking:
            there = DiskBlobs(tmp_path / "there")
            await fetch(asking, there, root, *holders)
            assert await there.missing(root) == []

    trio.run(main)


def test_an_owner_that_is_away_is_told_when_nobody_else_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        away = Holder(1, DiskBlobs(tmp_path / "away"))
        with socket.create_server((HOST, 0)) as taken:
            away.base = f"https://{HOST}:{taken.getsockname()[1]}"
        there = DiskBlobs(tmp_path / "there")
        client = BulkClient(PrivateKey(bytes([99]) * 32), SystemClock(), SystemRandom())
        with client, pytest.raises(Unreachable):
            await fetch(Asking([away], client), there, Cid.of(b"x"), away)

    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.001)
    trio.run(main)


class Nodes:
    """The ``Holders`` port over nodes in memory, all of which are given out."""

    def __init__(self, nodes: dict[Cid, bytes]) -> None:
        self.nodes = nodes

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        wanted = decode(Wanted, query).cids
        car = b"".join(prefix(cid, self.nodes[cid]) + self.nodes[cid] for cid in wanted if cid in self.nodes)
        root = Cid.parse(path.removeprefix(PREFIX))
        return await trio.to_thread.run_sync(take, io.BytesIO(header(root) + car))


def chain(length: int) -> tuple[Cid, dict[Cid, bytes]]:
    """Folders in folders, so many."""
    nodes = {Cid.of(b"x"): b"x"}
    below = Cid.of(b"x")
    for _ in range(length):
        data = encode_node(PBNode((Link("a", below, 1),), encode_data(Data(Kind.DIRECTORY))))
        below = Cid.of(data, DAG_PB)
        nodes[below] = data
    return below, nodes


def play(root: Cid, nodes: dict[Cid, bytes], folder: Path, limit: int = 1 << 30) -> int:
    async def main() -> int:
        with Arrival(folder, Room(0, ())) as arrival:
            await Transfer(root, ["any"], Nodes(nodes), arrival, limit).run()
            return len(arrival.held)

    return trio.run(main)


def test_a_chain_without_end_is_given_up(tmp_path: Path) -> None:
    """Lost: a hundred thousand questions, one for each node of a chain, keep this site busy for a liar."""
    assert play(*chain(MAX_DEPTH), tmp_path / "fits") == MAX_DEPTH + 1
    with pytest.raises(VerificationFailed, match="below one another"):
        play(*chain(100_000), tmp_path / "endless")
    assert len(list((tmp_path / "endless").iterdir())) <= MAX_DEPTH + 1


def test_more_than_was_announced_is_not_taken(tmp_path: Path) -> None:
    """Lost: a dataset that says it is small fills the disk."""
    leaves = [os.urandom(CHUNK) for _ in range(40)]
    nodes = {Cid.of(data): data for data in leaves}
    links = tuple(Link(f"{number:03}", Cid.of(data), 1) for number, data in enumerate(leaves))
    top = encode_node(PBNode(links, encode_data(Data(Kind.DIRECTORY))))
    nodes[Cid.of(top, DAG_PB)] = top
    with pytest.raises(Infeasible, match="more below it than was announced"):
        play(Cid.of(top, DAG_PB), nodes, tmp_path / "bomb", limit=4 * CHUNK)
    with pytest.raises(ComityError):
        play(Cid.of(b"nobody has this"), {}, tmp_path / "none")


def test_the_same_is_not_fetched_twice_at_once(tmp_path: Path) -> None:
    """Lost: two fetches of one root write over one another."""
    with Arrival(tmp_path / "one", Room(0, ())), pytest.raises(Conflict):
        Arrival(tmp_path / "one", Room(0, ()))


def test_what_hangs_below_a_node_that_a_crash_damaged_comes_too(tmp_path: Path) -> None:
    """Lost: a fetch that went on after a power cut says that all is there, and a part is not."""

    async def main() -> None:
        store, there = DiskBlobs(tmp_path / "source"), DiskBlobs(tmp_path / "there")
        root = await store.add(b"".join(content("deep", 400 * CHUNK)))
        holder = Holder(1, store)
        async with serving(holder) as asking:
            with await there.arrive(root, "any") as arrival:
                await Transfer(root, [holder.key.did], asking, arrival, 1 << 30).run()
                folder = next((tmp_path / "there" / "arriving").iterdir())
                inner = [cid for cid in arrival.held if cid.codec == DAG_PB]
                for cid in [each for each in arrival.held if each.codec != DAG_PB][::3]:
                    (folder / str(cid)).unlink()
            for cid in inner:
                (folder / str(cid)).write_bytes(b"")
            (folder / "sources").write_bytes(bytes(40) + b"\xff\nnobody\n")
            moved = await fetch(asking, DiskBlobs(tmp_path / "there"), root, holder)
            assert moved.progress.resumed == 0
            assert await there.missing(root) == []
            assert await there.read(root, limit=1 << 30) == b"".join(content("deep", 400 * CHUNK))

    trio.run(main)
