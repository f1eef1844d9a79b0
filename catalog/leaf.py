"""The leaf of a log (PROTOCOL.md, Logs): a kind and a salted commitment, all leaves of one size.

The body that a leaf commits to is served beside it to those who may see it, and can be erased together with its
salt: what is left then is a random-looking number. So no key, name or grant may ever stand in a leaf.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Container
from typing import Annotated, Final, Literal

import msgspec

from catalog.body import MAX_BODY
from catalog.dagcbor import Value
from catalog.error import BadInput, VerificationFailed

VERSION: Final = 1

SALT_BYTES: Final = 32

LEAF_BYTES: Final = 120
"""Bytes of every encoded leaf."""

_KIND_BYTES: Final = 16
_KIND: Final = re.compile(rb"[a-z][a-z-]{0,15}")
_PARTS: Final = b"\xa5\x61v\x01\x63log\x58\x20%b\x64kind\x50%b\x65epoch\x44%b\x6acommitment\x58\x20%b"
_LAYOUT: Final = re.compile(
    rb"\xa5\x61v\x01\x63log\x58\x20(.{32})\x64kind\x50(.{16})\x65epoch\x44(.{4})\x6acommitment\x58\x20(.{32})",
    re.DOTALL,
)
"""The one canonical encoding of a leaf: every length is fixed, so that a million can be read in a second."""


Four = Annotated[bytes, msgspec.Meta(min_length=4, max_length=4)]
Sixteen = Annotated[bytes, msgspec.Meta(min_length=_KIND_BYTES, max_length=_KIND_BYTES)]
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


def is_critical(kind: str) -> bool:
    """Whether a reader that does not know ``kind`` must stop trusting the log's newer statements."""
    return not kind.startswith("x-")


class Leaf(Value, frozen=True, kw_only=True):
    """One leaf: ``log`` is SHA-256 of the log's origin, ``epoch`` the number of the epoch document under which it was
    written, 4 bytes big-endian, ``kind`` ASCII padded by zeros.

    ``commitment`` is HMAC-SHA-256 under the leaf's salt over the body's bytes.
    """

    v: Literal[1] = 1
    log: Hash
    epoch: Four
    kind: Sixteen
    commitment: Hash

    @property
    def kind_name(self) -> str:
        """The kind as text, such as ``dataset`` or ``epoch-signature``."""
        return self.kind.rstrip(b"\0").decode("ascii")

    def belongs_to(self, origin: str) -> bool:
        """Whether this leaf was written for the log ``origin``."""
        return self.log == log_id(origin)


def log_id(origin: str) -> bytes:
    """How a leaf names its log: SHA-256 of the origin string."""
    return hashlib.sha256(origin.encode()).digest()


def seal(origin: str, epoch: int, kind: str, body: bytes, salt: bytes) -> Leaf:
    """The leaf that commits the log ``origin`` to ``body``, under 32 random bytes of ``salt`` used once.

    Raises:
        BadInput: the kind, the epoch, the salt or the body's size cannot stand in a leaf.
    """
    name = kind.encode()
    if not _KIND.fullmatch(name):
        raise BadInput(f"«{kind[:32]}» is no kind of entry: 1 to 16 small letters and hyphens are expected")
    if len(body) > MAX_BODY:
        raise BadInput(
            f"a «{kind}» entry of {len(body):,} bytes is too large: at most {MAX_BODY:,}; store a blob instead"
        )
    if len(salt) != SALT_BYTES or not 0 <= epoch < 1 << 32:
        raise BadInput(f"a leaf needs {SALT_BYTES} bytes of salt and an epoch below 2**32")
    return Leaf(
        log=log_id(origin),
        epoch=epoch.to_bytes(4, "big"),
        kind=name.ljust(_KIND_BYTES, b"\0"),
        commitment=_commit(salt, body),
    )


def opens(leaf: Leaf, body: bytes, salt: bytes) -> bool:
    """Whether ``leaf`` commits to ``body`` under ``salt``."""
    right_size = len(body) <= MAX_BODY and len(salt) == SALT_BYTES
    return right_size and hmac.compare_digest(leaf.commitment, _commit(salt, body))


def encode_leaf(leaf: Leaf) -> bytes:
    """The :data:`LEAF_BYTES` bytes that the log hashes."""
    data = _PARTS % (leaf.log, leaf.kind, leaf.epoch, leaf.commitment)
    if len(data) != LEAF_BYTES:
        raise BadInput(f"a leaf of {len(data)} bytes was made where all have {LEAF_BYTES}")
    return data


def decode_leaf(data: bytes) -> Leaf:
    """Read a leaf.

    Raises:
        VerificationFailed: another size, another version, or not a leaf.
    """
    log, kind, epoch, commitment = _parts(data)
    return Leaf(log=log, kind=kind, epoch=epoch, commitment=commitment)


def kind_in(data: bytes, logs: Container[bytes]) -> str:
    """The kind that a leaf says, as text; the leaf was written for one of ``logs`` (:func:`log_id`).

    Raises:
        VerificationFailed: as for :func:`decode_leaf`; or it was written for another log.
    """
    log, kind, _, _ = _parts(data)
    if log not in logs:
        raise VerificationFailed("a leaf was refused: it was written for another log")
    return kind.rstrip(b"\0").decode("ascii")


def _parts(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Log, kind, epoch and commitment."""
    if len(data) != LEAF_BYTES:
        raise VerificationFailed(f"a leaf of {len(data):,} bytes was refused: every leaf has {LEAF_BYTES}")
    found = _LAYOUT.fullmatch(data)
    if found is None:
        raise VerificationFailed("a leaf was refused: it is not laid out as every leaf is")
    log, kind, epoch, commitment = found.groups()
    if not _KIND.fullmatch(kind.rstrip(b"\0")):
        raise VerificationFailed("a leaf was refused: its kind is not small letters and hyphens, padded by zeros")
    return log, kind, epoch, commitment


def _commit(salt: bytes, body: bytes) -> bytes:
    # hmac.digest gives up the interpreter each time, and waits for it beside whatever else computes.
    return hmac.new(salt, body, "sha256").digest()
