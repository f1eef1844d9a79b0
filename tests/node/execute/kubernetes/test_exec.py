"""What an API server answers to whoever wants a process in a pod, and where the node's token goes then."""

from __future__ import annotations

import base64
import hashlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import kubernetes.client as official  # type: ignore[import-untyped]
import pytest

from catalog.error import Unreachable
from node.execute.kubernetes.api import Api
from node.execute.kubernetes.exec import Exec

TOKEN = "Bearer secret-token"


def api_at(port: int) -> Api:
    settings = official.Configuration()
    settings.host = f"http://127.0.0.1:{port}"
    settings.api_key = {"authorization": TOKEN}
    return Api(settings)


@contextmanager
def answering(answer: bytes, *frames: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that answers one request so, and its port and what it was asked; ``frames`` follow a handshake."""
    asked: list[bytes] = []

    def serve(server: socket.socket) -> None:
        line, _ = server.accept()
        with line:
            request = b""
            while b"\r\n\r\n" not in request:
                request += line.recv(1 << 16)
            asked.append(request)
            key = _header(request, b"sec-websocket-key")
            line.sendall(answer.replace(b"ACCEPTED", _accepted(key)))
            for frame in frames:
                line.sendall(bytes([0x82, 126]) + len(frame).to_bytes(2, "big") + frame)
            line.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, args=(server,))
        thread.start()
        yield server.getsockname()[1], asked
        thread.join()


def _header(request: bytes, name: bytes) -> bytes:
    lines = (line.partition(b": ") for line in request.split(b"\r\n"))
    return next(value for key, _, value in lines if key.lower() == name)


def _accepted(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_node_s_token_goes_to_no_other_address(status: int) -> None:
    """Lost: the token, and with it the rights to every step, to whoever an API server, or a proxy before it, names."""
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        place = f"ws://localhost:{elsewhere.getsockname()[1]}/"
        redirect = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
        with answering(redirect.encode()) as (port, asked), pytest.raises(Unreachable, match="broke off"):
            Exec(api_at(port), "steps", "step-1-x", "side", ("true",))
        assert TOKEN.encode() in asked[0], "where it was to go"
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("said", [b"", b"[]", b"null", b'{"status": 1}', b"[" * 60_000, b'{"status": "\\ud800"}'])
def test_what_is_no_end_of_a_process_is_told_as_one_that_broke_off(said: bytes) -> None:
    """Lost: the node, to one byte that an API server should not have said."""
    handshake = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    handshake += b"Sec-WebSocket-Accept: ACCEPTED\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    with (
        answering(handshake, b"\3" + said) as (port, _),
        Exec(api_at(port), "steps", "step-1-x", "side", ("true",)) as there,
        pytest.raises(Unreachable, match="broke off") as raised,
    ):
        there.finish()
    assert str(raised.value).isprintable()
