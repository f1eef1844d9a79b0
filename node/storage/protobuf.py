"""The strict part of the protobuf wire format that dag-pb and UnixFS use: varints and length-delimited fields.

Strict means that a message has one encoding: minimal varints, numbers below 2**63, no other wire types. So what
decodes here encodes again to the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from catalog.error import VerificationFailed

_VARINT: Final = 0
_BYTES: Final = 2
_LONGEST: Final = 9  # seven bits a byte: 63 bits, as Go reads sizes into a signed 64-bit number


def encode_varint(number: int) -> bytes:
    """``number`` ≥ 0 as an unsigned varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(field: int, number: int) -> bytes:
    """A varint field."""
    return encode_varint(field << 3 | _VARINT) + encode_varint(number)


def bytes_field(field: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return encode_varint(field << 3 | _BYTES) + encode_varint(len(data)) + data


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (number, value) of each field, in order: an integer for a varint, bytes for a length-delimited one.

    Raises:
        VerificationFailed: cut off, another wire type, or a varint that is padded or too long.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        if key & 7 == _VARINT:
            yield key >> 3, value
        elif key & 7 == _BYTES and value <= len(message) - at:
            yield key >> 3, message[at : at + value]
            at += value
        else:
            raise VerificationFailed("a protobuf message was refused: a field is cut off or of another wire type")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    if at < len(message) and message[at] < 0x80:  # nearly always, and three times as fast as the loop
        return message[at], at + 1
    number = shift = 0
    for index in range(at, min(at + _LONGEST, len(message))):
        byte = message[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and index > at:
                break
            return number, index + 1
        shift += 7
    raise VerificationFailed("a protobuf message was refused: a varint in it is cut off, padded or too long")
