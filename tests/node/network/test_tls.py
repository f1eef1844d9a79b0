from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from catalog.error import VerificationFailed
from catalog.key import PrivateKey
from node.network.tls import certificate, check_peer, client_context, server_context

NODE = PrivateKey(bytes(range(32)))
OTHER = PrivateKey(bytes([1] * 32))


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = version
    return context


@contextmanager
def connected(server: ssl.SSLContext, client: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A client's connection after its handshake with a server in a thread."""
    near, far = socket.socketpair()
    near.settimeout(10)
    far.settimeout(10)

    def serve() -> None:
        with closing(server.wrap_socket(far, server_side=True, do_handshake_on_connect=False)) as tls:
            try:
                tls.do_handshake()
                tls.recv(1)
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    tls = client.wrap_socket(near, do_handshake_on_connect=False)
    try:
        tls.do_handshake()
        yield tls
    finally:
        tls.close()
        thread.join()


def test_the_pinned_key_is_accepted_and_no_other() -> None:
    """Lost if it failed: whoever answers at an address could stand for the site."""
    with connected(server_context(NODE), client_context()) as tls:
        check_peer(tls, NODE.did)
        assert tls.version() == "TLSv1.3"
        with pytest.raises(VerificationFailed, match="another key"):
            check_peer(tls, OTHER.did)


def test_older_tls_is_refused_by_both_ends() -> None:
    with pytest.raises(ssl.SSLError), connected(server_context(NODE), only(ssl.TLSVersion.TLSv1_2, client_context())):
        pass
    with pytest.raises(ssl.SSLError), connected(only(ssl.TLSVersion.TLSv1_2, server_context(NODE)), client_context()):
        pass
    both = only(ssl.TLSVersion.TLSv1_2, server_context(NODE)), only(ssl.TLSVersion.TLSv1_2, client_context())
    with connected(*both) as tls, pytest.raises(VerificationFailed, match=r"TLS 1\.3"):
        check_peer(tls, NODE.did)


def test_the_certificate_is_the_same_at_every_start_and_never_expires() -> None:
    """Lost if it failed: a wrong clock, or a restart, would change what a site shows."""
    assert certificate(NODE) == certificate(NODE) != certificate(OTHER)
    shown = x509.load_der_x509_certificate(certificate(NODE))
    assert (shown.not_valid_before_utc.year, shown.not_valid_after_utc.year) == (1970, 9999)
    shown.verify_directly_issued_by(shown)


def test_no_key_is_written_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(os.listdir("/proc/self/fd"))
    server_context(NODE)
    assert not list(tmp_path.iterdir())
    assert set(os.listdir("/proc/self/fd")) == before
