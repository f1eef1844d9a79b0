"""dag-pb, the IPLD codec of UnixFS nodes (IPLD DAG-PB specification), in its one canonical form.

A node is its links, then its data; a link is its hash, its name (written even when empty) and its cumulative
size. Go's and JavaScript's encoders write exactly this, so anything else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, VerificationFailed
from node.storage.protobuf import bytes_field, fields, number_field

MAX_NODE: Final = 2 << 20
"""Bytes of an IPLD node, of any codec; IPFS exchanges none larger."""
MAX_LINKS: Final = 1 << 15
"""Links of a dag-pb node."""

_DATA: Final = 1
_LINKS: Final = 2
_HASH, _NAME, _TSIZE = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Link:
    """A named link. ``total`` is the Tsize: encoded bytes of the node it names and of all below; a hint only."""

    name: str
    cid: Cid
    total: int


@dataclass(frozen=True, slots=True)
class PBNode:
    """A dag-pb node: links in their order, then the data, if any."""

    links: tuple[Link, ...] = ()
    data: bytes | None = None


def encode_node(node: PBNode) -> bytes:
    """The canonical bytes of ``node``."""
    out = bytearray()
    for link in node.links:
        body = (
            bytes_field(_HASH, bytes(link.cid))
            + bytes_field(_NAME, link.name.encode())
            + number_field(_TSIZE, link.total)
        )
        out += bytes_field(_LINKS, body)
    if node.data is not None:
        out += bytes_field(_DATA, node.data)
    return bytes(out)


def decode_node(data: bytes) -> PBNode:
    """Read a dag-pb node.

    Raises:
        VerificationFailed: malformed, not canonical, too large, too many links, or a CID that Comity does not use.
    """
    if len(data) > MAX_NODE:
        raise VerificationFailed(f"a dag-pb node of {len(data):,} bytes was refused: at most {MAX_NODE:,} are read")
    links: list[Link] = []
    payload: bytes | None = None
    for number, value in fields(data):
        if payload is not None or not isinstance(value, bytes):
            raise _refused("its fields are not links and then data")
        if number == _LINKS:
            if len(links) == MAX_LINKS:
                raise _refused(f"it has more than {MAX_LINKS:,} links")
            links.append(_decode_link(value))
        elif number == _DATA:
            payload = value
        else:
            raise _refused("it has a field of another number")
    return PBNode(tuple(links), payload)


def _decode_link(data: bytes) -> Link:
    parts = list(fields(data))
    if [number for number, _ in parts] != [_HASH, _NAME, _TSIZE]:
        raise _refused("a link is not a hash, a name and a size")
    (_, hash_), (_, name), (_, total) = parts
    if not isinstance(hash_, bytes) or not isinstance(name, bytes) or not isinstance(total, int):
        raise _refused("a link's fields have other types")
    try:
        return Link(name.decode(), Cid.from_bytes(hash_), total)
    except UnicodeDecodeError as error:
        raise _refused("a link's name is not UTF-8") from error
    except BadInput as error:
        raise _refused(f"a link is {error}") from error


def _refused(reason: str) -> VerificationFailed:
    return VerificationFailed(f"a dag-pb node was refused: {reason}")
