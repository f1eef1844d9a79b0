r"""Ed25519 keys written as ``did:key``, and signatures over values.

A signature is Ed25519 (RFC 8032, PyNaCl) over ``"comity/" type "/v1\n"`` followed by the canonical DAG-CBOR of
the value without its ``sig`` (PROTOCOL.md). The type in front keeps a signature made for one kind of value from
counting for another.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, ClassVar, Final, Protocol, TypeVar

import base58
import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from catalog.dagcbor import Value, encode
from catalog.error import BadInput, VerificationFailed

_PREFIX: Final = "did:key:z"
_ED25519: Final = b"\xed\x01"

_DID: Final = re.compile(r"did:key:z6Mk[1-9A-HJ-NP-Za-km-z]{44}")  # base58 passes over blanks around it

Did = Annotated[str, msgspec.Meta(pattern=rf"^{_DID.pattern}\Z", max_length=64)]
"""An Ed25519 public key as text, ``did:key:z6Mk…`` (W3C did:key)."""

Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
"""An Ed25519 signature, 64 bytes."""


class Signed(Value, frozen=True, kw_only=True):
    """A value that carries one signature; subclasses name their type in ``DOMAIN``."""

    DOMAIN: ClassVar[str]

    sig: Signature


S = TypeVar("S", bound=Signed)


class Signer(Protocol):
    """Whoever can sign: a key in memory here, a hardware token behind the same two names elsewhere."""

    @property
    def did(self) -> str:
        """The signer's public key."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 over ``message``."""


class PrivateKey:
    """An Ed25519 key in memory. Its ``repr`` shows the public half alone."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise BadInput("a private key is 32 bytes; the key file is damaged, restore it from its backup")
        self._key = SigningKey(seed)
        self._did = did_of(bytes(self._key.verify_key))

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes, for the key file alone."""
        return bytes(self._key)

    @property
    def did(self) -> str:
        """The public key as ``did:key``."""
        return self._did

    def sign(self, message: bytes) -> bytes:
        """64 bytes of Ed25519 over ``message``."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"PrivateKey({self.did})"


def did_of(public: bytes) -> str:
    """The ``did:key`` of 32 bytes of Ed25519 public key."""
    return _PREFIX + base58.b58encode(_ED25519 + public).decode()


@lru_cache(maxsize=4096)
def public_bytes(did: str) -> bytes:
    """The 32 bytes of public key in a ``did:key``.

    Raises:
        BadInput: it is no Ed25519 ``did:key``.
    """
    data = base58.b58decode(did.removeprefix(_PREFIX)) if _DID.fullmatch(did) else b""
    if len(data) != 34 or data[:2] != _ED25519:
        raise BadInput(f"«{ascii(did[:32])[1:-1]}» is not an Ed25519 did:key")
    return data[2:]


def short(did: str) -> str:
    """The last characters of a key, for tables; never for comparing."""
    return "…" + did[-8:]


def verify(did: str, message: bytes, signature: bytes) -> None:
    """Check 64 bytes of Ed25519 over ``message`` by the key ``did``.

    Raises:
        VerificationFailed: the signature is not that key's.
    """
    try:
        VerifyKey(public_bytes(did)).verify(message, signature)
    except (BadSignatureError, ValueError, BadInput) as error:
        raise VerificationFailed(f"a signature is not by the key {short(did)} that it names") from error


def message_of(value: Signed) -> bytes:
    """The bytes that a value's signature covers: its type, then the value without ``sig``."""
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name != "sig"}
    return f"comity/{value.DOMAIN}/v1\n".encode() + encode(fields)


def signed(value: S, by: Signer) -> S:
    """``value`` with its ``sig`` made by ``by``; the ``sig`` that it came with is ignored."""
    return msgspec.structs.replace(value, sig=by.sign(message_of(value)))


def check(value: Signed, did: str) -> None:
    """Check that ``value`` was signed by ``did``.

    Raises:
        VerificationFailed: it was not.
    """
    verify(did, message_of(value), value.sig)


UNSIGNED: Final = bytes(64)
"""What ``sig`` holds until :func:`signed` fills it."""
