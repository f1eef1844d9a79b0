"""TLS 1.3 on the node key: a self-signed certificate, and a client that pins the key and nothing else.

Names and dates in the certificate mean nothing: the consortium's documents say which key a site's node has, and
TLS 1.3 proves that the other end holds that key. So the certificate never expires, is the same bytes at every
start, and no clock takes part.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from catalog.error import Infeasible, VerificationFailed, shown
from catalog.key import PrivateKey, did_of, short

_ALPN: Final = ["http/1.1"]
_FROM: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280, 4.1.2.5: no well-defined expiration
_SERIAL: Final = 1


class Intercepted(VerificationFailed):
    """The certificate that was shown is no node's: something on the way opens TLS, as inspecting proxies do."""


class Interceptions:
    """The nodes on the way to which TLS was opened when they were asked last; ``found`` has the messages."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    @contextmanager
    def watching(self, node: str) -> Iterator[None]:
        """Note how a connection with ``node`` fares."""
        try:
            yield
        except Intercepted as error:
            self.found[node] = str(error)
            raise
        self.found.pop(node, None)


def certificate(key: PrivateKey) -> bytes:
    """The node's certificate, DER: self-signed by ``key``, its did:key as the common name, always the same bytes."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, key.did)])
    builder = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=private.public_key())
        .serial_number(_SERIAL)
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(private, None).public_bytes(Encoding.DER)


def server_context(key: PrivateKey) -> ssl.SSLContext:
    """What the node's servers wrap their connections with.

    Raises:
        Infeasible: ``/proc`` cannot be read, so the key cannot be handed over without a file on disk.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # every connection proves the key again
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF  # HTTP says where a request ends
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem += ssl.DER_cert_to_PEM_cert(certificate(key)).encode()
    # The ssl module takes a key by file name alone. An anonymous file in memory has one under /proc for as long as
    # its descriptor is open, so the secret never lies on a disk a second time.
    descriptor = os.memfd_create("comity-tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    except (FileNotFoundError, PermissionError) as error:
        raise Infeasible(
            "TLS cannot start: /proc/self/fd cannot be read; mount /proc and start the node again"
        ) from error
    finally:
        os.close(descriptor)
    return context


def client_context() -> ssl.SSLContext:
    """What a client wraps a connection with; :func:`check_peer` must follow the handshake at once."""
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no authority vouches for a node: its key is pinned
    return context


def check_peer(connection: ssl.SSLSocket | ssl.SSLObject, did: str) -> None:
    """Check, after the handshake and before any byte is sent, that the other end holds the key ``did``.

    Raises:
        VerificationFailed: its certificate has another key, or it did not speak TLS 1.3.
        Intercepted: its certificate is not even another node's.
    """
    der = connection.getpeercert(binary_form=True)
    if connection.version() != "TLSv1.3" or der is None:
        raise VerificationFailed(f"the server that should be {short(did)} did not speak TLS 1.3")
    try:
        shown_here = x509.load_der_x509_certificate(der)
        public = shown_here.public_key()
        subject, issuer = _names(shown_here.subject), _names(shown_here.issuer)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerificationFailed(f"the certificate that should be {short(did)}'s cannot be read") from error
    other = did_of(public.public_bytes_raw()) if isinstance(public, Ed25519PublicKey) else None
    if other is None or subject != [other]:
        by = shown(", ".join(issuer), 80) or "somebody without a name"
        raise Intercepted(
            f"the server that should be {short(did)} shows another key, in a certificate by «{by}»: its address is"
            " wrong, or a proxy on the way opens TLS; ask who runs that to leave this address alone"
        )
    if other != did:
        raise VerificationFailed(
            f"the server that should be {short(did)} shows another key, that of {short(other)}: its address is wrong"
        )


def _names(name: x509.Name) -> list[str]:
    return [str(each.value) for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)]


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(_ALPN)
    return context
