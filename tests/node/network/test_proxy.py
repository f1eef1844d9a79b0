"""Connections out through an HTTP proxy, honest and not."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from catalog.error import BadInput, Unreachable
from node.network.dial import Direct
from node.network.proxy import Proxy
from node.network.tls import Intercepted
from tests.infra.firewall.connect_proxy import ConnectProxy
from tests.node.network.station import Consortium, Station, run, started

WANTED = "Basic " + base64.b64encode(b"holm:let us: out").decode()
LOOPBACK = "127.0.0.1"
HERE = "0.0.0.0"


@contextmanager
def proxy(notes: Path) -> Iterator[int]:
    """A proxy that wants a password; its port."""
    with ConnectProxy((LOOPBACK, 0), WANTED, notes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def answering(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server of connections one after the other; its port."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                with stream, suppress(OSError):
                    serve(stream)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def through(station: Station, port: int, userinfo: str = "") -> None:
    """Have a node use the proxy at ``port`` for everything."""
    direct = Direct(Proxy.of({"HTTPS_PROXY": f"http://{userinfo}{LOOPBACK}:{port}"}))
    station.routes._direct = direct
    station.upgrades._dialer = direct


def not_on_loopback(consortium: Consortium) -> None:
    for node, (_, port) in consortium.reachable.items():
        consortium.reachable[node] = (HERE, port)


def test_questions_and_bytes_go_through_the_proxy_which_sees_connect_alone(tmp_path: Path) -> None:
    """A hospital whose only way out is a proxy could not take part."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        one, other = await started(nursery, consortium, True, True)
        not_on_loopback(consortium)
        port = consortium.reachable[other.did][1]
        with proxy(tmp_path / "notes") as at:
            through(one, at, "holm:let%20us%3A%20out@")
            assert await one.get(other) == other.did.encode()
            assert await one.ask(other, b"through") == b"through"
            one.client.close()
            await one.network._running.host.get_network().close_peer(  # type: ignore[union-attr]
                next(iter(one.network._running.host.get_network().connections))  # type: ignore[union-attr]
            )
        noted = (tmp_path / "notes").read_text().splitlines()
        assert noted == [f"CONNECT {HERE}:{port} HTTP/1.1 16", f"CONNECT {HERE}:{port} HTTP/1.1 13"]

    run(test)


def test_a_wrong_password_is_said_and_never_shown(tmp_path: Path) -> None:
    """The password would stand in logs and in what people are told."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        one, other = await started(nursery, consortium, True, True)
        not_on_loopback(consortium)
        with proxy(tmp_path / "notes") as at:
            through(one, at, "holm:wrong-secret@")
            with pytest.raises(Unreachable, match="name and password in HTTPS_PROXY") as caught:
                await one.get(other)
            assert "wrong-secret" not in str(caught.value) + repr(one.routes._direct.__dict__)

    run(test)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "gives no connection .* \\(403 Forbidden\\)"),
        (b"HTTP/1.1 503 \x1b[31m\r\n\r\n", "503 �\\[31m"),
        (b"SSH-2.0-x\r\n\r\n", "does not answer as an HTTP proxy"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000, "does not answer as an HTTP proxy"),
        (b"", "does not answer as an HTTP proxy"),
    ],
)
def test_a_proxy_that_answers_otherwise_is_named(said: bytes, told: str) -> None:
    """An operator could not tell a refusal of the proxy from a site that is away."""

    def serve(stream: socket.socket) -> None:
        stream.recv(1 << 16)
        stream.sendall(said)

    async def test() -> None:
        with answering(serve) as port, trio.fail_after(30):
            direct = Direct(Proxy(LOOPBACK, port))
            with pytest.raises(Unreachable, match=told):
                await direct.dial("did:key:z6Mk", ("hospital.example.org", 443))

    trio.run(test)


def test_what_follows_the_proxys_answer_is_the_nodes() -> None:
    """A first packet of the other end that came with the answer would be lost."""

    def serve(stream: socket.socket) -> None:
        stream.recv(1 << 16)
        stream.sendall(b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nfirst words")

    async def test() -> None:
        with answering(serve) as port, trio.fail_after(30):
            async with await Proxy(LOOPBACK, port).connect("hospital.example.org", 443) as stream:
                heard = b""
                while piece := await stream.receive_some():
                    heard += piece
                assert heard == b"first words"

    trio.run(test)


def test_an_inspecting_proxy_is_found_out_and_named_until_it_lets_us_through(tmp_path: Path) -> None:
    """The hospital's proxy would read and alter all that its node asks and gets; nobody would know why it fails."""
    context = _inspecting(tmp_path)

    def serve(stream: socket.socket) -> None:
        stream.recv(1 << 16)
        stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with context.wrap_socket(stream, server_side=True) as tls:
            assert tls.recv(1) == b""  # nothing is said to it

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        one, other, away = await started(nursery, consortium, True, True, False)
        honest = dict(consortium.reachable)
        not_on_loopback(consortium)
        with answering(serve) as port:
            through(one, port)
            with pytest.raises(Intercepted, match="certificate by «Hospital Inspection CA»"):
                await one.get(other)
            assert list(one.interceptions.found) == [other.did]
            one.interceptions.found.clear()
            with pytest.raises(Unreachable, match="Hospital Inspection CA"):
                await one.routes._ask_relays(away.did, nursery)
            assert list(one.interceptions.found) == [other.did]
        consortium.reachable.update(honest)
        assert await one.get(other) == other.did.encode()
        assert one.interceptions.found == {}

    run(test)


def _inspecting(folder: Path) -> ssl.SSLContext:
    """What a proxy that opens TLS shows: a certificate of its own authority for whatever name is asked for."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (HERE, "Hospital Inspection CA")]
    made = (
        x509.CertificateBuilder(subject_name=names[0], issuer_name=names[1], public_key=key.public_key())
        .serial_number(7)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(authority, SHA256())
    )
    file = folder / "inspecting.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(secret + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_the_proxy_comes_from_the_environment_and_keeps_its_secret() -> None:
    found = Proxy.of({"HTTPS_PROXY": "http://holm:s%40cret@proxy.example.org:3128", "NO_PROXY": ".intern,10.1.2.3"})
    assert found is not None
    assert found.name == "proxy.example.org:3128"
    assert base64.b64decode(found.authorization.removeprefix("Basic ")) == b"holm:s@cret"
    assert "s@cret" not in repr(found)
    assert found.authorization not in repr(found)
    assert found.serves("hospital.example.org", 443)
    for host in ("node.intern", "10.1.2.3", "127.0.0.1", "localhost", "::1"):
        assert not found.serves(host, 443)
    assert Proxy.of({"https_proxy": "proxy:8080", "HTTPS_PROXY": "http://other:1"}) == Proxy("proxy", 8080)
    assert Proxy.of({}) is None
    assert Proxy.of({"HTTPS_PROXY": ""}) is None


@pytest.mark.parametrize(
    "text", ["https://u:secret@proxy:1", "socks5://u:secret@proxy:1", "http://u:secret@:x", "http://"]
)
def test_a_proxy_that_cannot_be_used_is_said_without_its_secret(text: str) -> None:
    with pytest.raises(BadInput, match="HTTPS_PROXY") as caught:
        Proxy.of({"HTTPS_PROXY": text})
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
