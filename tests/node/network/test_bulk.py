"""The bulk server and client over real TLS on loopback."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import IO

import pytest
import trio
import trio.testing

from catalog.error import BadInput, ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.httpsig import sign_request
from catalog.key import PrivateKey
from node.network import bulk_connection, bulk_exchange, bulk_server
from node.network.blob import PIECE, Blob, BulkRequest, blob_of
from node.network.bulk import BulkClient
from node.network.bulk_connection import MAX_BODY, REFUSAL
from node.network.bulk_server import serve_bulk
from node.network.tls import client_context, server_context

NODE = PrivateKey(bytes(range(32)))
ASKER = PrivateKey(bytes([1] * 32))
OTHER = PrivateKey(bytes([2] * 32))
LARGE = 3 * PIECE + 17
DATA = bytes(range(256)) * 40
HOST = "127.0.0.1"


class Clock:
    """The real time."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


class Entropy:
    def token(self, count: int) -> bytes:
        return os.urandom(count)


def large(first: int, end: int | None) -> Iterator[bytes]:
    assert end is not None
    for start in range(first, end, PIECE):
        yield bytes(min(PIECE, end - start))


def unsized(first: int, end: int | None) -> Iterator[bytes]:
    assert (first, end) == (0, None)
    for _ in range(4):
        yield bytes(1000)


def short(first: int, end: int | None) -> Iterator[bytes]:
    yield bytes(10)


def endless(first: int, end: int | None) -> Iterator[bytes]:
    while True:
        yield bytes(PIECE)


BLOBS = {
    "/data": blob_of(DATA),
    "/empty": blob_of(b""),
    "/large": Blob(LARGE, large),
    "/unsized": Blob(None, unsized),
    "/short": Blob(1000, short),
    "/endless": Blob(1 << 60, endless),
}


class Site:
    """What stands behind the server in these tests; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[BulkRequest] = []
        self.waiting = trio.Event()

    async def answer(self, request: BulkRequest) -> Blob | None:
        self.asked.append(request)
        if request.path == "/forbidden":
            raise Denied("not for you")
        if request.path == "/broken":
            raise RuntimeError("a fault of ours")
        if request.path == "/wait":
            self.waiting.set()
            await trio.sleep_forever()
        if request.path == "/echo" or request.method == "QUERY":
            return blob_of(request.body)
        return BLOBS.get(request.path)


class Serving:
    """A running server, and a client of it."""

    def __init__(self, port: int, site: Site, client: BulkClient, scope: trio.CancelScope) -> None:
        self.port = port
        self.site = site
        self.client = client
        self.scope = scope
        self.base = f"https://{HOST}:{port}"

    async def get(self, target: str, limit: int = 1 << 20, **more: tuple[int, int]) -> bytes:
        return await self.client.get(NODE.did, self.base, target, limit=limit, **more)


@asynccontextmanager
async def serving(key: PrivateKey = NODE, port: int = 0, most: int = 8) -> AsyncIterator[Serving]:
    site = Site()
    serve = partial(serve_bulk, clock=Clock(), site_of={ASKER.did: "asker"}.get, most_connections=most)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            bound: int = await nursery.start(serve, HOST, port, key, site.answer)
            with BulkClient(ASKER, Clock(), Entropy()) as client:
                yield Serving(bound, site, client, nursery.cancel_scope)
            nursery.cancel_scope.cancel()


def poured(sink: Callable[[bytes], object]) -> Callable[[IO[bytes]], int]:
    """Gives an answer to ``sink`` piece by piece, and counts its bytes."""

    def take(answer: IO[bytes]) -> int:
        count = 0
        while piece := answer.read(PIECE):
            count += len(piece)
            sink(piece)
        return count

    return take


def run(test: Callable[[Serving], object]) -> None:
    async def main() -> None:
        async with serving() as server:
            await test(server)  # type: ignore[misc]

    trio.run(main)


def dial(port: int) -> ssl.SSLSocket:
    return client_context().wrap_socket(socket.create_connection((HOST, port), timeout=10))


def talk(port: int, data: bytes) -> bytes:
    """Everything that the server says to ``data``, until it closes."""
    with dial(port) as tls:
        tls.sendall(data)
        socket.socket.shutdown(tls, socket.SHUT_WR)
        heard = b""
        try:
            while piece := tls.recv(1 << 16):
                heard += piece
        except (ssl.SSLEOFError, ConnectionResetError):
            pass
        return heard


def wire(
    target: str, method: str = "GET", body: bytes = b"", ahead: int = 0, peer: str = NODE.did, extra: str = ""
) -> bytes:
    headers = sign_request(ASKER, method, target, peer=peer, now=Clock().now() + ahead, nonce=os.urandom(16), body=body)
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + f"\r\n{extra}\r\n").encode() + body


def test_bytes_arrive_whole_in_every_way_they_are_sent() -> None:
    async def test(server: Serving) -> None:
        assert await server.get("/data?x=%20") == DATA
        assert await server.get("/empty") == b""
        assert await server.get("/large") == bytes(LARGE)
        assert await server.get("/unsized") == bytes(4000)
        assert await server.client.post(NODE.did, server.base, "/echo", DATA, limit=1 << 20) == DATA
        first = server.site.asked[0]
        assert (first.asker, first.method, first.path, first.query) == (ASKER.did, "GET", "/data", "x=%20")

    run(test)


def test_ranges() -> None:
    async def test(server: Serving) -> None:
        for first, last in [(0, 0), (5, 99), (len(DATA) - 1, len(DATA) - 1), (100, 1 << 40)]:
            assert await server.get("/data", range=(first, last)) == DATA[first : last + 1]
        assert await server.get("/large", range=(PIECE - 1, 2 * PIECE)) == bytes(PIECE + 2)
        with pytest.raises(BadInput, match="after the end"):
            await server.get("/data", range=(len(DATA), len(DATA)))
        with pytest.raises(VerificationFailed):
            await server.get("/unsized", range=(0, 9))
        assert await server.get("/data", range=(1, 2)) == DATA[1:3]

    run(test)


def test_whatever_is_not_answered_gets_the_same_bytes() -> None:
    """Lost if it failed: an asker could tell what exists from what does not, or what was wrong with a request."""
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

    async def test(server: Serving) -> None:
        replayed = wire("/data")
        answered = await trio.to_thread.run_sync(talk, server.port, replayed)
        assert answered.startswith(b"HTTP/1.1 200 ")
        signed = wire("/data")
        posted = wire("/echo", "POST", b"body")
        questions = {
            "unknown": wire("/unknown"),
            "forbidden": wire("/forbidden"),
            "our own fault": wire("/broken"),
            "unsigned": b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n",
            "unsigned and unknown": b"GET /unknown HTTP/1.1\r\nHost: x\r\n\r\n",
            "unsigned HEAD": b"HEAD /data HTTP/1.1\r\nHost: x\r\n\r\n",
            "replayed": replayed,
            "for another server": wire("/data", peer=OTHER.did),
            "another path": signed.replace(b"/data", b"/large"),
            "another query": signed.replace(b"/data", b"/data?x"),
            "a range added": signed.replace(b"Host: x", b"Range: bytes=0-1"),
            "another method": signed.replace(b"GET ", b"PUT "),
            "another body": posted.replace(b"\r\n\r\nbody", b"\r\n\r\nbold"),
            "too early": wire("/data", ahead=62_000),
            "too late": wire("/data", ahead=-62_000),
            "another method, signed": wire("/data", "DELETE"),
            "a body with GET": wire("/data", "GET", b"body"),
            "too large a body": wire("/echo", "POST", bytes(MAX_BODY + 1)),
            "too large a head": wire("/data", extra=f"X: {'x' * 40_000}\r\n"),
            "expecting": wire("/echo", "POST", b"body", extra="Expect: 100-continue\r\n")[:-4],
            "upgrading": b"GET /data HTTP/1.1\r\nHost: x\r\n" + upgrade.encode() + b"\r\n",
            "HTTP/1.0": signed.replace(b"HTTP/1.1", b"HTTP/1.0"),
            "not HTTP": b"\x16\x03\x01 hello\r\n\r\n",
        }
        for what, question in questions.items():
            assert await trio.to_thread.run_sync(talk, server.port, question) == REFUSAL, what
        asked = [request.path for request in server.site.asked]
        assert asked == ["/data", "/unknown", "/forbidden", "/broken"], "nothing unverified reaches the site"
        assert await server.get("/data") == DATA

    run(test)


def test_refused_and_answered_requests_share_a_connection() -> None:
    async def test(server: Serving) -> None:
        questions = wire("/unknown") + wire("/data") + wire("/forbidden") + wire("/data")
        heard = await trio.to_thread.run_sync(talk, server.port, questions)
        assert heard.startswith(REFUSAL + b"HTTP/1.1 200 ")
        assert heard.count(DATA + REFUSAL) == 1
        assert heard.endswith(DATA)

    run(test)


def test_a_request_signed_for_one_server_is_worthless_at_another() -> None:
    """Lost if it failed: a site that is asked something could ask it elsewhere in the asker's name."""

    async def main() -> None:
        async with serving() as one, serving(OTHER) as two:
            forwarded = wire("/data")
            assert await trio.to_thread.run_sync(talk, two.port, forwarded) == REFUSAL
            assert (await trio.to_thread.run_sync(talk, one.port, forwarded)).endswith(DATA)

    trio.run(main)


def test_not_found_and_forbidden_raise_the_same() -> None:
    async def test(server: Serving) -> None:
        messages = []
        for target in ("/forbidden", "/unknown00"):
            with pytest.raises(NotFound) as caught:
                await server.get(target)
            messages.append(str(caught.value).replace(target, ""))
        assert messages[0] == messages[1]
        assert await server.get("/data") == DATA

    run(test)


def test_more_bytes_than_the_limit_are_refused() -> None:
    """Lost if it failed: a peer could fill memory or the disk."""

    async def test(server: Serving) -> None:
        assert len(await server.get("/data", limit=len(DATA))) == len(DATA)
        with pytest.raises(VerificationFailed, match="announced"):
            await server.get("/endless", limit=1 << 20)
        with pytest.raises(VerificationFailed, match="more than"):
            await server.get("/unsized", limit=3999)
        seen = bytearray()
        with pytest.raises(VerificationFailed):
            await server.client.stream(NODE.did, server.base, "/unsized", poured(seen.extend), limit=500)
        assert not seen

    run(test)


def test_a_query_is_signed_with_its_body_and_goes_over_a_connection_that_is_kept() -> None:
    """Lost: what is asked for in a body could be altered on its way, or each such question costs a handshake."""

    async def test(server: Serving) -> None:
        for body in (b"which of these", bytes(MAX_BODY)):
            stream = server.client.stream
            answered = await stream(NODE.did, server.base, "/x", lambda a: a.read(), limit=1 << 20, query=body)
            assert (answered, server.site.asked[-1].method) == (body, "QUERY")
        (known,) = server.client._nodes.values()
        assert len(known._idle) == 1

    run(test)


def test_an_answer_that_breaks_off_is_never_taken_for_whole() -> None:
    async def test(server: Serving) -> None:
        with pytest.raises(Unreachable, match="broke off"):
            await server.get("/short")
        assert await server.get("/data") == DATA

    run(test)


def test_what_takes_an_answer_ends_the_exchange_by_raising_and_the_caller_hears_it() -> None:
    async def test(server: Serving) -> None:
        def full(_: bytes) -> None:
            raise OSError("no space left")

        with pytest.raises(OSError, match="no space left"):
            await server.client.stream(NODE.did, server.base, "/large", poured(full), limit=1 << 20)
        assert await server.get("/data") == DATA

    run(test)


def scripted(
    context: ssl.SSLContext, connections: Sequence[Sequence[bytes]]
) -> tuple[int, list[bytes], threading.Thread]:
    """A TLS server in a thread that reads a request's head and says the next thing, connection after connection."""
    listener = socket.create_server((HOST, 0))
    listener.settimeout(10)
    heard: list[bytes] = []

    def serve() -> None:
        with listener:
            for answers in connections:
                raw, _ = listener.accept()
                raw.settimeout(10)
                with context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as tls:
                    try:
                        tls.do_handshake()
                        for answer in answers:
                            head = b""
                            while not head.endswith(b"\r\n\r\n") and (piece := tls.recv(1 << 16)):
                                head += piece
                            heard.append(head)
                            tls.sendall(answer)
                    except OSError as error:
                        heard.append(f"ended: {type(error).__name__}".encode())

    thread = threading.Thread(target=serve)
    thread.start()
    return listener.getsockname()[1], heard, thread


def ask_scripted(
    context: ssl.SSLContext, connections: Sequence[Sequence[bytes]], count: int = 1, **more: tuple[int, int]
) -> tuple[list[bytes | ComityError], list[bytes]]:
    port, heard, thread = scripted(context, connections)
    results: list[bytes | ComityError] = []

    async def main() -> None:
        with trio.fail_after(60), BulkClient(ASKER, Clock(), Entropy()) as client:
            for _ in range(count):
                try:
                    results.append(await client.get(NODE.did, f"https://{HOST}:{port}", "/a", limit=100, **more))
                except ComityError as error:
                    results.append(error)

    trio.run(main)
    thread.join()
    return results, heard


def test_nothing_is_sent_to_a_server_with_another_key() -> None:
    """Lost if it failed: an impostor would learn who asks for what."""
    results, heard = ask_scripted(server_context(OTHER), [[REFUSAL]])
    assert isinstance(results[0], VerificationFailed)
    assert "another key" in str(results[0])
    assert heard[0] in {b"", b"ended: SSLEOFError", b"ended: ConnectionResetError"}


def test_a_server_that_speaks_only_tls_1_2_is_refused() -> None:
    context = server_context(NODE)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    results, heard = ask_scripted(context, [[REFUSAL]])
    assert isinstance(results[0], VerificationFailed)
    assert heard == [b"ended: SSLError"]


def test_a_client_that_speaks_only_tls_1_2_is_refused() -> None:
    async def test(server: Serving) -> None:
        context = client_context()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2

        def attempt() -> None:
            with socket.create_connection((HOST, server.port), timeout=10) as raw, pytest.raises(ssl.SSLError):
                context.wrap_socket(raw)

        await trio.to_thread.run_sync(attempt)
        assert await server.get("/data") == DATA

    run(test)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere/\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 206 Partial\r\ncontent-length: 2\r\ncontent-range: bytes 0-1/2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok",
        b"HTTP/1.1 404 No\r\ncontent-length: 5\r\n\r\nhello",
        b"SSH-2.0-server\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n",
    ],
    ids=range(8),
)
def test_an_answer_that_no_node_gives_is_refused(answer: bytes) -> None:
    results, _ = ask_scripted(server_context(NODE), [[answer]])
    assert isinstance(results[0], VerificationFailed)


@pytest.mark.parametrize("content_range", ["bytes 4-6/9", "bytes 5-9/20", "bytes 5-6", "bytes 5-7/9", ""])
def test_an_answer_with_another_range_is_refused(content_range: str) -> None:
    answer = f"HTTP/1.1 206 Partial\r\ncontent-length: 2\r\ncontent-range: {content_range}\r\n\r\nok".encode()
    results, _ = ask_scripted(server_context(NODE), [[answer]], range=(5, 8))
    assert isinstance(results[0], VerificationFailed)


def test_a_kept_connection_that_died_is_replaced_once() -> None:
    """Lost if it failed: a server's restart would fail the next fetch."""
    results, heard = ask_scripted(server_context(NODE), [[OK, b""], [OK]], count=2)
    assert results == [b"ok", b"ok"]
    assert len({line for head in heard for line in head.split(b"\r\n") if line.startswith(b"Signature:")}) == 3
    results, _ = ask_scripted(server_context(NODE), [[b""]])
    assert isinstance(results[0], Unreachable)


def test_connections_are_kept_and_the_number_is_bounded() -> None:
    async def test(server: Serving) -> None:
        async def fetch() -> None:
            assert await server.get("/large") == bytes(LARGE)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(fetch)
        assert len(server.site.asked) == 20

    run(test)


def test_a_cancelled_fetch_leaves_no_thread_behind() -> None:
    async def test(server: Serving) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.get, "/wait")
            await server.site.waiting.wait()
            nursery.cancel_scope.cancel()
        assert server.client._threads.borrowed_tokens == 0
        seen = trio.Event()
        token = trio.lowlevel.current_trio_token()
        endless = partial(
            server.client.stream, NODE.did, server.base, "/endless",
            poured(lambda _: token.run_sync_soon(seen.set)), limit=1 << 61,
        )  # fmt: skip
        async with trio.open_nursery() as nursery:
            nursery.start_soon(endless)
            await seen.wait()
            nursery.cancel_scope.cancel()
        assert server.client._threads.borrowed_tokens == 0
        assert await server.get("/data") == DATA

    run(test)


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_exchange, "PATIENCE_SECONDS", 0.2)

    async def test(server: Serving) -> None:
        with pytest.raises(Unreachable):
            await server.get("/wait")

    run(test)


def test_nobody_listening_is_unreachable() -> None:
    async def main() -> None:
        with socket.create_server((HOST, 0)) as probe:
            port = probe.getsockname()[1]
        with BulkClient(ASKER, Clock(), Entropy()) as client, pytest.raises(Unreachable, match="cannot be reached"):
            await client.get(NODE.did, f"https://{HOST}:{port}", "/data", limit=1)

    trio.run(main)


@pytest.mark.parametrize("base", ["http://h:1", "https://", "https://h:1/x", "https://u@h:1", "https://h:x", "h:1"])
def test_an_address_that_is_none_is_refused(base: str) -> None:
    async def main() -> None:
        with BulkClient(ASKER, Clock(), Entropy()) as client, pytest.raises(BadInput):
            await client.get(NODE.did, base, "/data", limit=1)

    trio.run(main)


def test_those_who_only_hold_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost if it failed: a handful of idle or slow connections would cut a site off."""
    monkeypatch.setattr(bulk_server, "HANDSHAKE_SECONDS", 1000.0)  # so that only the bound can end them

    async def main() -> None:
        async with serving(most=4) as server:
            raw = [socket.create_connection((HOST, server.port), timeout=10) for _ in range(6)]
            slow = []
            for _ in range(6):
                tls = await trio.to_thread.run_sync(dial, server.port)
                tls.sendall(b"GET /da")
                slow.append(tls)
            assert await server.get("/data") == DATA
            # The longest idle were sent away to make room: their ends would not come otherwise.
            for held in raw:
                with held:
                    assert await trio.to_thread.run_sync(held.recv, 1) == b""
            for tls in slow:
                tls.close()

    trio.run(main)


@pytest.mark.parametrize(
    ("constant", "said"), [("HEAD_SECONDS", b"GET /da"), ("BODY_SECONDS", wire("/echo", "POST", b"body")[:-1])]
)
def test_a_slow_request_is_cut_off(monkeypatch: pytest.MonkeyPatch, constant: str, said: bytes) -> None:
    monkeypatch.setattr(bulk_connection, constant, 0.05)

    async def test(server: Serving) -> None:
        def hold() -> bytes:
            with dial(server.port) as tls:
                tls.sendall(said)
                try:
                    return tls.recv(1)
                except (ssl.SSLEOFError, ConnectionResetError):
                    return b""

        assert await trio.to_thread.run_sync(hold) == b""

    run(test)


async def ask_and_do_not_read(server: Serving) -> ssl.SSLSocket:
    tls = await trio.to_thread.run_sync(dial, server.port)
    tls.sendall(wire("/endless"))
    while not server.site.asked:
        await trio.lowlevel.checkpoint()
    return tls


def test_a_client_that_does_not_read_does_not_hold_up_the_stop() -> None:
    """Lost if it failed: any asker could keep a node from stopping."""

    async def test(server: Serving) -> None:
        with await ask_and_do_not_read(server):
            server.scope.cancel()
            await trio.lowlevel.checkpoint()

    run(test)


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_connection, "PIECE_SECONDS", 0.05)

    async def test(server: Serving) -> None:
        tls = await ask_and_do_not_read(server)

        def write_until_it_fails() -> None:
            # Our half of the connection stays open until the server has given up: only then does a write fail.
            while True:
                tls.sendall(b"x" * 4096)

        with tls, pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe, as the kernel has it
            await trio.to_thread.run_sync(write_until_it_fails)
        assert await server.get("/data") == DATA

    run(test)


def test_after_the_stop_the_port_is_free_again() -> None:
    async def main() -> None:
        async with serving() as first:
            assert await first.get("/data") == DATA
            with pytest.raises(Conflict, match="in use"):
                await serve_bulk(HOST, first.port, NODE, first.site.answer, clock=Clock(), site_of=lambda did: did)
        async with serving(port=first.port) as second:
            assert await second.get("/data") == DATA

    trio.run(main)


def test_an_address_of_another_machine_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(BadInput, match="cannot listen"):
            await serve_bulk("192.0.2.1", 0, NODE, Site().answer, clock=Clock(), site_of=lambda did: did)

    trio.run(main)


def reset(port: int, data: bytes) -> None:
    """Connect, perhaps say something, and reset the connection before anybody has looked at it."""
    with socket.create_connection((HOST, port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.sendall(data)


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_connections_that_are_reset_before_tls_begins_end_nothing_but_themselves(data: bytes) -> None:
    """Lost if it failed: anybody on the network ends a hospital's node with one packet."""

    async def test(server: Serving) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(40):
            reset(server.port, data)  # all in the backlog before one is accepted, for this is the loop's own thread
        assert await server.get("/data") == DATA
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(os.listdir("/proc/self/fd")) <= before + 6, "none of them is kept open"

    run(test)


def test_what_may_not_be_sent_any_more_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a site is halted, and goes on handing out what it had begun to, for as long as the asker likes."""
    monkeypatch.setattr(bulk_connection, "STANDS_SECONDS", 0.01)

    async def test(server: Serving) -> None:
        stands = True
        monkeypatch.setitem(BLOBS, "/long", Blob(1 << 60, endless, stands=lambda: stands))
        came = trio.Event()

        def take(answer: IO[bytes]) -> None:
            while answer.read(PIECE):
                trio.from_thread.run_sync(came.set)

        async with trio.open_nursery() as nursery:
            ask = partial(server.client.stream, NODE.did, server.base, "/long", take, limit=1 << 60)
            nursery.start_soon(broken_off, ask)
            await came.wait()
            stands = False

    run(test)


async def broken_off(fetch: Callable[[], Awaitable[object]]) -> None:
    """An answer that ends before its end."""
    with pytest.raises(Unreachable):
        await fetch()
