"""CAR v1: the roots, then nodes one behind the other, each with its CID (IPLD CARv1 specification). Streaming.

Nothing of a file is believed: lengths are bounded before anything is read, and every node is held against its CID.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final

from catalog.cid import Cid
from catalog.dagcbor import encode, glance
from catalog.error import BadInput, VerificationFailed
from node.storage.dagpb import MAX_NODE
from node.storage.protobuf import encode_varint

MAX_HEADER: Final = 64 << 10
"""Bytes of a header that are read: some 1,500 roots."""
_MAX_CID: Final = 64
_V0: Final = 34
_V1: Final = 36
_SHA2_256: Final = b"\x12"
_LONGEST: Final = 9


def header(*roots: Cid) -> bytes:
    """How a file with these roots begins."""
    data = encode({"roots": list(roots), "version": 1})
    return encode_varint(len(data)) + data


def prefix(cid: Cid, node: bytes) -> bytes:
    """What stands before a node in a file."""
    name = bytes(cid)
    return encode_varint(len(name) + len(node)) + name


def read_header(file: IO[bytes]) -> tuple[Cid, ...]:
    """The roots of the file that begins here.

    Raises:
        VerificationFailed: it is no CAR of version 1, or its header is too large.
    """
    size = _length(file)
    if size is None or size > MAX_HEADER:
        raise _refused(f"it has no header of at most {MAX_HEADER:,} bytes")
    plain = glance(_exactly(file, size), MAX_HEADER)
    roots = plain.get("roots") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or plain.get("version") != 1 or set(plain) != {"roots", "version"}:
        raise _refused("its header is not one of version 1")
    if not isinstance(roots, list) or not all(isinstance(root, Cid) for root in roots):
        raise _refused("its roots are not CIDs")
    return tuple(roots)


def read_nodes(file: IO[bytes]) -> Iterator[tuple[Cid, bytes]]:
    """The nodes behind the header, in their order, each verified.

    Raises:
        VerificationFailed: a length lies, a node is too large or not what its CID names, or the file is cut off.
    """
    while (size := _length(file)) is not None:
        if size > MAX_NODE + _MAX_CID:
            raise _refused(f"a node of {size:,} bytes is in it: at most {MAX_NODE:,} are read")
        cid, width = _name(file, size)
        node = _exactly(file, size - width)
        if not cid.matches(node):
            raise _refused(f"the bytes under «{cid}» are not what it names")
        yield cid, node


def _name(file: IO[bytes], size: int) -> tuple[Cid, int]:
    """The CID in front of a node and its width: 34 bytes of a CIDv0, or 36 of the CIDv1s that occur here."""
    data = _exactly(file, min(size, _V0))
    if not data.startswith(_SHA2_256):
        data += _exactly(file, min(size, _V1) - len(data))
    try:
        return Cid.from_bytes(data), len(data)
    except BadInput as error:
        raise _refused("a node in it has a CID that Comity does not use") from error


def _length(file: IO[bytes]) -> int | None:
    """The length that stands next; none at the end."""
    number = shift = 0
    for index in range(_LONGEST):
        byte = file.read(1)
        if not byte:
            if index == 0:
                return None
            break
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            if byte[0] == 0 and index > 0:
                break
            return number
        shift += 7
    raise _refused("a length in it is cut off, padded or too long")


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise _refused("it is cut off")
    return data


def _refused(reason: str) -> VerificationFailed:
    return VerificationFailed(f"a CAR file was refused: {reason}")
