"""What a faulty registry answers, or what stands before one, is told in one line; a real one is in tests/real."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from catalog.error import Unreachable
from node.execute.image import File, Image, Layer
from node.execute.kubernetes import images
from node.execute.kubernetes.images import Registry
from node.execute.machine import architecture

MISSING = b"HTTP/1.1 404 Missing\r\nContent-Length: 0\r\n\r\n"

Answer = Callable[[socket.socket], None]


@contextmanager
def registry(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A server that has nothing, and whose answer to all but that is ``answer``; its host, and what it was asked."""
    asked: list[bytes] = []

    def serve(server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                line, _ = server.accept()
                with line, suppress(OSError):
                    while request := line.recv(1 << 16):
                        asked.append(request)
                        line.sendall(MISSING) if request.startswith(b"HEAD") else answer(line)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, args=(server,))
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def refusal(host: str, login: Path | None = None) -> str:
    """What is told of it, in one line."""
    with pytest.raises(Unreachable) as raised:
        Registry(f"{host}/steps", login).place(Image((Layer({"a": File(b"a")}),), architecture()), "one")
    told = str(raised.value)
    assert told.isprintable()
    assert len(told) < 400
    return told


def saying(status: int, body: bytes = b"", header: bytes = b"") -> Answer:
    """An answer of that status."""
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n".encode()
    return lambda line: line.sendall(head + header + b"\r\n" + body)


@pytest.mark.parametrize(
    "place",
    [
        b"http://[::1",
        b"http://127.0.0.1:port/",
        b"http://127.0.0.1:99999999/",
        b"http://\xe2\x80\x8d/",
        b"/" + b"a" * 70_000,
    ],
)
def test_a_place_for_uploads_that_is_none_is_told(place: bytes) -> None:
    """Lost: the node's start, to a registry behind a proxy that was set up wrong."""
    with registry(saying(202, header=b"Location: " + place + b"\r\n")) as (host, _):
        assert "wants uploads at" in refusal(host)


@pytest.mark.parametrize("body", [b"[" * 200_000, b"[" * 60_000, b'{"errors": null}', b'{"errors": [1]}', b"\xff"])
def test_a_reason_that_is_none_is_told_with_its_number(body: bytes) -> None:
    with registry(saying(500, body)) as (host, _):
        assert "refuses POST with 500" in refusal(host)


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_a_refusal(status: int) -> None:
    """Lost: the password, to where a registry points."""
    with registry(saying(status, header=b"Location: http://127.0.0.1:1/\r\n")) as (host, _):
        assert f"refuses POST with {status}" in refusal(host)


def test_of_an_answer_without_end_no_more_is_read_than_a_reason_takes() -> None:
    """Lost: the node's memory."""
    sent: list[int] = []

    def pour(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 500 Said\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            for _ in range(64):
                line.sendall(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
                sent.append(1)

    with registry(pour) as (host, _):
        assert "refuses POST with 500" in refusal(host)
    assert len(sent) < 64


def test_what_is_compressed_though_nobody_asked_is_not_unpacked() -> None:
    """Lost: the node's memory, to some kilobytes."""
    body = gzip.compress(b'{"errors": [{"code": "UNPACKED", "message": ""}]}')
    with registry(saying(500, body, b"Content-Encoding: gzip\r\n")) as (host, asked):
        assert "UNPACKED" not in refusal(host)
        assert all(b"accept-encoding: identity" in each.lower() for each in asked)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 202 Said\r\nLocation: /x\r\nContent-Length: 100000\r\n\r\n"])
def test_an_answer_that_comes_by_the_byte_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    """Lost: the node's start: each byte is within the time that one is waited for."""
    monkeypatch.setattr(images, "_SECONDS", 0.5)

    def drip(line: socket.socket) -> None:
        line.sendall(begun or b"HTTP/1.1 202 Said\r\nX: ")
        for _ in range(100):
            line.sendall(b"x")
            time.sleep(0.1)

    with registry(drip) as (host, _):
        before = time.monotonic()
        assert "does not answer (TooSlowError)" in refusal(host)
        assert time.monotonic() - before < 5


def test_what_is_asked_of_loopback_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lost: the password, in plain text, to the proxy that the node's other requests go through."""
    login = tmp_path / "login"
    login.write_text("anna:s3cret")
    login.chmod(0o600)
    with registry(saying(503)) as (proxy, told), registry(saying(500)) as (host, asked):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{proxy}")
        assert "refuses POST with 500" in refusal(host, login)
        assert any(b"authorization: basic" in each.lower() for each in asked)
        assert not told
