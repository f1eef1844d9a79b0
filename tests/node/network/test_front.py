"""One port for both servers: who is sorted where, and that nobody on it holds up anybody else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from typing import IO

import pytest
import trio
import trio.testing

from catalog.error import Conflict
from node.network import front
from node.network.blob import PIECE, Blob
from node.network.bulk_server import MOST_CONNECTIONS
from node.network.crowd import origin_of
from node.network.dial import Endpoint
from node.network.front import HANDSHAKE, MULTISTREAM, WAITING, Front
from node.network.splice import pair
from tests.node.network.station import HOST, Consortium, run, started


def test_questions_and_bytes_come_in_by_one_port() -> None:
    """A hospital that may open one port alone could not be reached by both."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        one, other = await started(nursery, consortium, True, True)
        assert await one.get(other) == other.did.encode()
        assert await one.ask(other, b"on the same port") == b"on the same port"
        assert other.base.rpartition(":")[2] == other.multiaddr.rpartition("/")[2]

    run(test)


def test_a_large_transfer_holds_up_neither_questions_nor_another_transfer() -> None:
    """One site's download would keep a hospital from answering, cosigning and giving bytes to others."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        server, large, small = await started(nursery, consortium, True, True, True)
        sent = 0
        under_way, go_on = trio.Event(), trio.Event()
        pieces = 400

        def read(first: int, end: int | None) -> Iterator[bytes]:
            nonlocal sent
            assert end is not None
            while first < end:
                sent += PIECE
                yield bytes(min(PIECE, end - first))
                first += PIECE

        server.blobs["/large"] = Blob(pieces * PIECE, read)
        server.blobs["/small"] = Blob(4 * PIECE, _zeros)
        received = 0
        done = trio.Event()

        def take(answer: IO[bytes]) -> None:
            nonlocal received
            while piece := answer.read(PIECE):
                received += len(piece)
                if received == 16 * PIECE:  # from here on the asker takes no more until it is told to
                    trio.from_thread.run_sync(under_way.set)
                    trio.from_thread.run(go_on.wait)

        async def fetch() -> None:
            await large.client.stream(server.did, server.base, "/large", take, limit=pieces * PIECE)
            done.set()

        nursery.start_soon(fetch)
        await under_way.wait()
        for number in range(20):
            question = b"while bytes flow %d" % number
            assert await small.ask(server, question) == question
            assert await large.ask(server, question) == question
            assert len(await small.get(server, "/small")) == 4 * PIECE
        assert not done.is_set()
        assert sent < pieces * PIECE  # bounded memory: what is not taken is not read either
        go_on.set()
        await done.wait()
        assert received == pieces * PIECE

    run(test)


def _zeros(first: int, end: int | None) -> Iterator[bytes]:
    assert end is not None
    for start in range(first, end, PIECE):
        yield bytes(min(PIECE, end - start))


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b"\x00", b"SSH-2.0-x\r\n", b"\x80\x2e", os.urandom(0)])
def test_what_speaks_neither_protocol_is_closed_without_a_word(said: bytes) -> None:
    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        (node,) = await started(nursery, consortium, True)
        stream = await trio.open_tcp_stream(*consortium.reachable[node.did])
        async with stream:
            if said:
                await stream.send_all(said)
            else:
                await stream.send_eof()
            with suppress(trio.BrokenResourceError):  # reset: what was said was never read
                assert await stream.receive_some(1) == b""

    run(test)


def test_connections_that_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens connections and is silent (slowloris) would close the hospital's one port."""
    monkeypatch.setattr(front, "FIRST_BYTE_SECONDS", 3600)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        one, other = await started(nursery, consortium, True, True)
        where = consortium.reachable[other.did]
        silent = [await trio.open_tcp_stream(*where) for _ in range(WAITING + 20)]
        assert await silent[0].receive_some(1) == b""
        assert await one.get(other) == other.did.encode()
        assert await one.ask(other, b"still there?") == b"still there?"
        assert len(other.front._waiting) <= WAITING
        for stream in silent:
            await trio.aclose_forcefully(stream)

    run(test)


async def connected(where: Endpoint, origin: str) -> trio.SocketStream:
    """A connection from another address of this machine."""
    return await trio.open_tcp_stream(*where, local_address=origin)


@pytest.mark.parametrize("said", [b"", HANDSHAKE, MULTISTREAM], ids=["at the port", "in TLS", "in Noise"])
def test_whoever_opens_many_connections_sends_away_their_own(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """One machine that connects without end would end everybody else's connections before they have spoken."""
    monkeypatch.setattr(front, "FIRST_BYTE_SECONDS", 3600)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        (node,) = await started(nursery, consortium, True)
        where = consortium.reachable[node.did]
        async with AsyncExitStack() as stack:
            honest = await stack.enter_async_context(await connected(where, "127.0.0.3"))
            await honest.send_all(said)
            flood = []
            for _ in range(MOST_CONNECTIONS + 20):
                flood.append(await stack.enter_async_context(await connected(where, "127.0.0.2")))
                await flood[-1].send_all(said)
            with trio.move_on_after(0.2) as stands:
                if said == MULTISTREAM:  # the server answers the beginning of a name with its own
                    assert (await honest.receive_some(64)).startswith(MULTISTREAM)
                assert await honest.receive_some(1)
            assert stands.cancelled_caught
            with suppress(trio.BrokenResourceError):
                while await flood[0].receive_some(64):
                    pass

    run(test)


def test_over_lines_those_of_one_member_send_away_their_own() -> None:
    """A member that passes on one silent connection after the other would keep all others' from arriving."""

    async def test() -> None:
        door = Front()
        ends = [pair() for _ in range(WAITING + 2)]
        async with trio.open_nursery() as nursery:
            for number, (_, theirs) in enumerate(ends):
                nursery.start_soon(door.welcome, theirs, "one" if number == 0 else "another")
                await trio.testing.wait_all_tasks_blocked()
            assert len(door._waiting) == WAITING
            assert await ends[1][0].receive_some(1) == b""
            with trio.move_on_after(0.05) as stands:
                await ends[0][0].receive_some(1)
            assert stands.cancelled_caught
            nursery.cancel_scope.cancel()
        for ours, _ in ends:
            await trio.aclose_forcefully(ours)

    trio.run(test)


def test_addresses_of_one_network_count_as_one() -> None:
    """Whoever has an IPv6 network has addresses without number."""

    class Peer:
        def __init__(self, *name: object) -> None:
            self.socket = self
            self.getpeername = lambda: name

    def origin(*name: object) -> str:
        stream: object = Peer(*name)
        return origin_of(stream)  # type: ignore[arg-type]

    assert origin("2001:db8::1", 1, 0, 0) == origin("2001:db8::ffff:1", 2, 0, 0) != origin("2001:db8:0:1::1", 1, 0, 0)
    assert origin("fe80::1%eth0", 1, 0, 2) == "fe80::/64"
    assert origin("::ffff:192.0.2.1", 1, 0, 0) == origin("192.0.2.1", 1) != origin("192.0.2.2", 1)
    assert origin("") == origin() == ""


def test_a_connection_that_is_silent_for_too_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "FIRST_BYTE_SECONDS", 0.05)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        (node,) = await started(nursery, consortium, True)
        async with await trio.open_tcp_stream(*consortium.reachable[node.did]) as stream:
            assert await stream.receive_some(1) == b""

    run(test)


def test_a_port_in_use_is_said_to_be() -> None:
    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        (node,) = await started(nursery, consortium, True)
        with pytest.raises(Conflict, match="in use"):
            await nursery.start(Front().serve, HOST, consortium.reachable[node.did][1])

    run(test)
