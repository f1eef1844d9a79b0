"""Reading one leaf and its body, by themselves: what they say before anybody asks whether it counts.

That a body is canonical and signed by its actor is most of what indexing costs and depends on nothing else. So it is
apart, and may be done by another process of this node, for many leaves at once (:func:`pack`, :func:`unpack`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from catalog.body import Body, fields_of, message_in, read_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.entry import KINDS, Entry, read_entry
from catalog.error import VerificationFailed
from catalog.key import check, verify
from catalog.leaf import kind_in, log_id
from catalog.origin import earlier, site_of

DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    """By which the bytes of a body are known again that were read and counted: 16 bytes."""
    return sha256(body).digest()[:DIGEST_BYTES]


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What leaf ``index`` says.

    ``kind`` is the leaf's, empty if the leaf is none. ``entry`` is there if its body is here, well-formed and signed
    by its actor; else ``fault`` says what is wrong, or is empty where the body is not here. ``digest`` is that of the
    bytes of ``entry``'s body.
    """

    index: int
    kind: str
    entry: Entry | None = None
    fault: str = ""
    digest: bytes = b""


def read_leaf(origin: str, index: int, leaf: bytes, data: bytes | None) -> Reading:
    """Read leaf ``index`` of the catalog ``origin`` and the bytes of its body, if they are here.

    What does not decode, was written for another log, or is not signed by the actor that it names, is a fault, and
    never an error.
    """
    try:
        kind = kind_in(leaf, _logs(origin))
    except VerificationFailed as error:
        return Reading(index, "", fault=str(error))
    if data is None:
        return Reading(index, kind)
    try:
        body = read_body(data)
        verify(body.actor, message_in(data), body.sig)
        entry = read_entry(site_of(origin), index, kind, body)
    except VerificationFailed as error:
        return Reading(index, kind, fault=str(error))
    return Reading(index, kind, entry, digest=digest_of(data))


def read_leaves(origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
    """Read consecutive leaves with their bodies, from leaf ``start`` on."""
    return [read_leaf(origin, index, leaf, body) for index, (leaf, body) in enumerate(rows, start)]


@lru_cache(maxsize=256)
def _logs(origin: str) -> frozenset[bytes]:
    """What leaves of a log say of theirs: a new epoch of a log takes over those of the epochs before."""
    return frozenset(log_id(each) for each in earlier(origin))


def read_signed(site: str, index: int, kind: str, body: Body) -> Reading:
    """Read a body under a leaf that says ``kind``, its signature included."""
    try:
        entry = read_entry(site, index, kind, body)
        check(body, body.actor)
    except VerificationFailed as error:
        return Reading(index, kind, fault=str(error))
    return Reading(index, kind, entry, digest=digest_of(encode(body)))


# --- from one process of this node to another ------------------------------------------------------------------------


class _PackedEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What differs between entries of one log and one kind."""

    actor: str
    audience: tuple[str, ...] | None
    previous: int | None
    at: int
    fields: dict[str, Any]
    sig: bytes
    subject: str


class _Packed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A :class:`Reading` without its place."""

    kind: str
    entry: _PackedEntry | None
    fault: str
    digest: bytes


def pack(readings: Sequence[Reading]) -> bytes:
    """Consecutive readings of one log as bytes, for another process of the same node alone: nobody verifies them."""
    return _PACKER.encode([_packed(reading) for reading in readings])


def unpack(site: str, start: int, data: bytes) -> list[Reading]:
    """What one :func:`pack` made of the readings from leaf ``start`` of the log of ``site`` on."""
    return [_unpacked(site, index, packed) for index, packed in enumerate(_UNPACKER.decode(data), start)]


def _packed(reading: Reading) -> _Packed:
    entry = reading.entry
    packed = None
    if entry is not None:
        body = entry.body
        packed = _PackedEntry(body.actor, body.audience, body.previous, body.at, body.fields, body.sig, entry.subject)
    return _Packed(reading.kind, packed, reading.fault, reading.digest)


def _unpacked(site: str, index: int, packed: _Packed) -> Reading:
    kind, told = packed.kind, packed.entry
    if told is None:
        return Reading(index, kind, fault=packed.fault)
    body = Body(
        kind=kind,
        site=site,
        actor=told.actor,
        audience=told.audience,
        previous=told.previous,
        at=told.at,
        fields=told.fields,
        sig=told.sig,
    )
    entry = Entry(site, index, body, fields_of(body, KINDS[kind].fields), told.subject)
    return Reading(index, kind, entry, digest=packed.digest)


def _write_link(value: object) -> msgspec.msgpack.Ext:
    if isinstance(value, Cid):
        return msgspec.msgpack.Ext(_LINK, bytes(value))
    raise TypeError(f"a {type(value).__name__} stands in no body")


def _read_link(_code: int, data: memoryview) -> Cid:
    return Cid.from_bytes(bytes(data))


_LINK: Final = 1
_PACKER: Final = msgspec.msgpack.Encoder(enc_hook=_write_link)
_UNPACKER: Final = msgspec.msgpack.Decoder(list[_Packed], ext_hook=_read_link)
