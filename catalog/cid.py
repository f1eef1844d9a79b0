"""Content identifiers, version 1 (multiformats CID specification).

Three kinds of name occur in Comity: the CID of raw bytes, the CID of a dag-pb or DAG-CBOR node, and the
*keyed* CID of resident data, whose digest is ``HMAC-SHA-256(dataset key, plain CID)`` under a code of the
multicodec private-use range, so that no holder of a guess can confirm it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import Final, final

from catalog.error import BadInput

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
SHA2_256: Final = 0x12
HMAC_SHA2_256: Final = 0x300012  # private use: a name that only the holder of the dataset's key can compute

_CODECS: Final = {RAW: "raw", DAG_PB: "dag-pb", DAG_CBOR: "dag-cbor"}
_DIGEST = 32
_LONGEST_TEXT = 96
_CIDV0: Final = bytes((SHA2_256, _DIGEST))


@final
class Cid:
    """A CIDv1 with a 32-byte digest: ``codec`` and ``hash`` are multicodec numbers. Immutable and hashable.

    Raises:
        BadInput: a codec, a hash or a length that Comity does not use.
    """

    __slots__ = ("_text", "codec", "digest", "hash")

    codec: int
    hash: int
    digest: bytes
    _text: str
    """Its text form once it was asked for: base32 takes longer than all else that is done with a CID."""

    def __init__(self, codec: int, hash: int, digest: bytes) -> None:
        if codec not in _CODECS or hash not in (SHA2_256, HMAC_SHA2_256) or len(digest) != _DIGEST:
            raise BadInput("not a CID that Comity uses: raw, dag-pb or dag-cbor under SHA-256 is expected")
        for name, value in (("codec", codec), ("hash", hash), ("digest", digest), ("_text", "")):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a CID does not change: {name}")

    def __reduce__(self) -> tuple[type[Cid], tuple[int, int, bytes]]:
        return Cid, (self.codec, self.hash, self.digest)

    @classmethod
    def of(cls, data: bytes, codec: int = RAW) -> Cid:
        """The CID of ``data`` (hashed here; call it in a thread for more than a few KiB)."""
        return cls(codec, SHA2_256, hashlib.sha256(data).digest())

    def keyed(self, key: bytes) -> Cid:
        """The name that resident data show outside: an HMAC of this CID's bytes under the dataset's ``key``."""
        return Cid(RAW, HMAC_SHA2_256, hmac.new(key, bytes(self), hashlib.sha256).digest())

    @property
    def is_keyed(self) -> bool:
        """Whether this names resident data by commitment, so that no bytes hash to it."""
        return self.hash == HMAC_SHA2_256

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """Read the binary form: a CIDv1, or a CIDv0, which is the SHA-256 multihash of a dag-pb node and nothing else.

        A CIDv0 is read as the CIDv1 that names the same; what is written is that one.

        Raises:
            BadInput: the bytes are neither, use another hash, or are not minimally encoded.
        """
        known = _COMMON.get(data[:4]) if len(data) == 4 + _DIGEST else None
        if known is not None:
            return cls(*known, data[4:])
        if len(data) == len(_CIDV0) + _DIGEST and data.startswith(_CIDV0):
            return cls(DAG_PB, SHA2_256, data[len(_CIDV0) :])
        version, at = _varint(data, 0)
        codec, at = _varint(data, at)
        code, at = _varint(data, at)
        length, at = _varint(data, at)
        if version != 1 or length != _DIGEST or len(data) - at != _DIGEST:
            raise BadInput("not a CIDv1 with a 32-byte digest")
        return cls(codec, code, data[at:])

    @classmethod
    def parse(cls, text: str) -> Cid:
        """Read the text form (multibase base32, lower case, ``b…``).

        Raises:
            BadInput: the text is malformed; the message quotes at most its start.
        """
        shown = ascii(text[:20])[1:-1] + "…" if len(text) > 24 else ascii(text)[1:-1]
        if not text.startswith("b") or len(text) > _LONGEST_TEXT or text != text.lower():
            raise BadInput(f"«{shown}» is not a CID: expected base32 text that starts with «b»; copy it whole")
        body = text[1:].upper()
        try:
            cid = cls.from_bytes(base64.b32decode(body + "=" * (-len(body) % 8)))
        except (ValueError, BadInput) as error:
            raise BadInput(f"«{shown}» is not a CID: {_reason(error)}; copy it whole") from error
        if str(cid) != text:
            raise BadInput(f"«{shown}» is not a CID in canonical base32; copy it whole")
        return cid

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Cid)
            and self.digest == other.digest
            and self.codec == other.codec
            and self.hash == other.hash
        )

    def __lt__(self, other: Cid) -> bool:
        return bytes(self) < bytes(other)

    def __hash__(self) -> int:
        return int.from_bytes(self.digest[:8], "big")

    def __bytes__(self) -> bytes:
        return _head(self.codec, self.hash) + self.digest

    def __str__(self) -> str:
        if not self._text:
            text = "b" + base64.b32encode(bytes(self)).decode().rstrip("=").lower()
            object.__setattr__(self, "_text", text)
        return self._text

    def __repr__(self) -> str:
        return f"Cid({self})"

    def matches(self, data: bytes) -> bool:
        """Whether ``data`` is what this CID names; always false for a keyed CID."""
        return self.hash == SHA2_256 and hashlib.sha256(data).digest() == self.digest


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, BadInput) else "its base32 does not decode"


@lru_cache(maxsize=64)
def _head(codec: int, code: int) -> bytes:
    return _encode(1) + _encode(codec) + _encode(code) + _encode(_DIGEST)


def _encode(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned varint (multiformats: minimal, at most nine bytes) and the place after it."""
    number = shift = 0
    for index in range(at, min(at + 9, len(data))):
        byte = data[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and index > at:
                break
            return number, index + 1
        shift += 7
    raise BadInput("a varint in it is cut off or padded")


_COMMON: Final = {_head(codec, SHA2_256): (codec, SHA2_256) for codec in (RAW, DAG_PB, DAG_CBOR)}
"""The beginnings that nearly every CID has, in four bytes each, and what they mean."""
