"""Exchanges over real sockets: one that comes too slowly or is reset is given up, one that comes steadily is not."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import pytest
import trio
import trio.testing

from catalog.error import Unreachable
from node.network.bulk import BulkClient
from node.network.bulk_exchange import PATIENCE_SECONDS, SLOWEST
from node.network.dial import Endpoint
from node.network.tls import server_context
from tests.node.network.test_bulk import ASKER, HOST, NODE, Clock, Entropy

TRICKLE = 6000
PAUSE_SECONDS = 0.01


@dataclass
class Slow:
    """A server that sends the ``first`` bytes of its answer at once, and the others one by one, with pauses.

    It comes to its end: a client that waits for it is answered.
    """

    first: int
    port: int = 0
    given_up: bool = False
    begin: Callable[[], None] = lambda: None
    """Called when the first bytes are there."""

    steady: threading.Event = field(default_factory=threading.Event)
    """Set, the rest comes at once."""

    def serve(self, listener: socket.socket) -> None:
        raw, _ = listener.accept()
        raw.settimeout(10)
        with server_context(NODE).wrap_socket(raw, server_side=True) as tls:
            while not tls.recv(1 << 16).endswith(b"\r\n\r\n"):
                pass
            head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (self.first + TRICKLE)
            tls.sendall(head + bytes(self.first))
            if not self.first:
                self.begin()  # else the client says so, which counts bytes in larger pieces
            try:
                for _ in range(TRICKLE):
                    self.steady.wait(PAUSE_SECONDS)
                    tls.sendall(b"x")
            except OSError:
                self.given_up = True


@contextmanager
def serving(slow: Slow) -> Iterator[Slow]:
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(10)
        slow.port = listener.getsockname()[1]
        thread = threading.Thread(target=slow.serve, args=(listener,))
        thread.start()
        try:
            yield slow
        finally:
            slow.steady.set()
            thread.join()


def fetch(slow: Slow, seconds: float) -> int | Unreachable:
    """How many bytes come to a client for which ``seconds`` pass once it has the first ones, or why none do."""
    clock = trio.testing.MockClock()

    async def main() -> int | Unreachable:
        token, begun = trio.lowlevel.current_trio_token(), trio.Event()
        slow.begin, came = partial(token.run_sync_soon, begun.set), 0

        def take(answer: IO[bytes]) -> int:
            nonlocal came
            while piece := answer.read(1 if came >= slow.first else 64):
                came += len(piece)
                if came >= slow.first:
                    slow.begin()
            return came

        async def pass_time() -> None:
            await begun.wait()
            clock.jump(seconds)
            await trio.testing.wait_all_tasks_blocked()  # whoever watches has looked
            slow.steady.set()

        with BulkClient(ASKER, Clock(), Entropy()) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pass_time)
                base = f"https://{HOST}:{slow.port}"
                try:
                    return await client.stream(NODE.did, base, "/a", take, limit=1 << 20)
                except Unreachable as error:
                    return error

    return trio.run(main, clock=clock)


def test_an_answer_of_a_byte_now_and_then_is_given_up() -> None:
    """Lost: each byte comes before the socket's own patience ends, and whoever sends so holds a thread for days."""
    with serving(Slow(first=0)) as slow:
        assert isinstance(fetch(slow, PATIENCE_SECONDS + 1), Unreachable)
    assert slow.given_up


def test_an_answer_that_comes_steadily_is_taken_however_long_it_takes() -> None:
    """Lost: a large dataset over a slow line never arrives."""
    with serving(Slow(first=64 * SLOWEST)) as slow:
        assert fetch(slow, PATIENCE_SECONDS + 60) == slow.first + TRICKLE
    assert not slow.given_up


class ResetDialer:
    """Gives a connection that its other end, with ``said`` on it, has reset already."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    async def dial(self, node: str, address: Endpoint | None) -> trio.SocketStream:
        with socket.create_server((HOST, 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
            far.sendall(self._said)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
        poll = select.poll()
        poll.register(near, select.POLLHUP)
        assert poll.poll(10_000)
        near.setblocking(False)
        return trio.SocketStream(trio.socket.from_stdlib_socket(near))


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK"])
def test_a_node_that_dies_before_tls_begins_is_unreachable_like_any_other(said: bytes) -> None:
    """Lost: a holder that is killed in that moment ends the whole transfer with a traceback."""

    async def main() -> None:
        client = BulkClient(ASKER, Clock(), Entropy(), ResetDialer(said))
        with client, pytest.raises(Unreachable, match="broke off"):
            await client.get(NODE.did, f"https://{HOST}:1", "/a", limit=10)

    trio.run(main)
