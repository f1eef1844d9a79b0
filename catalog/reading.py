"""Reading one leaf and its body, by themselves: what they say before anybody asks whether it counts.

That a body is canonical and signed by its actor is most of what indexing costs and depends on nothing else. So it is
apart (:func:`prove`), and may be done elsewhere, for many bodies at once, before :func:`read_leaf`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from catalog.body import MAX_BODY, Body, message_in, read_body
from catalog.dagcbor import convert, encode, glance
from catalog.entry import Entry, read_entry
from catalog.error import VerificationFailed
from catalog.key import check, verify
from catalog.leaf import kind_in, log_id
from catalog.origin import earlier, site_of

DIGEST_BYTES: Final = 16


def digest_of(body: bytes) -> bytes:
    """By which the bytes of a body are known again that were read and counted: 16 bytes."""
    return sha256(body).digest()[:DIGEST_BYTES]


class Proof(NamedTuple):
    """What is wrong with a body by itself; nothing if ``fault`` is empty."""

    fault: str = ""


class Reading(msgspec.Struct, frozen=True):
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


def prove(data: bytes) -> Proof:
    """Whether these bytes are a body in its canonical form, signed by the actor that it names."""
    try:
        body = read_body(data)
    except VerificationFailed as error:
        return Proof(str(error))
    try:
        verify(body.actor, message_in(data), body.sig)
    except VerificationFailed as error:
        return Proof(str(error))
    return Proof()


def read_leaf(origin: str, index: int, leaf: bytes, body: bytes | None, proof: Proof) -> Reading:
    """Read leaf ``index`` of the catalog ``origin``, of whose body ``proof`` is what :func:`prove` said.

    What does not decode, or was written for another log, is a fault, and never an error.
    """
    try:
        kind = kind_in(leaf, _logs(origin))
    except VerificationFailed as error:
        return Reading(index, "", fault=str(error))
    if body is None or proof.fault:
        return Reading(index, kind, fault=proof.fault)
    try:
        entry = read_entry(site_of(origin), index, kind, convert(Body, glance(body, MAX_BODY)))
    except VerificationFailed as error:
        return Reading(index, kind, fault=str(error))
    return Reading(index, kind, entry, digest=digest_of(body))


def read_leaves(
    origin: str, start: int, rows: Sequence[tuple[bytes, bytes | None]], proofs: Sequence[Proof]
) -> list[Reading]:
    """Read consecutive leaves with their bodies, from leaf ``start`` on."""
    return [
        read_leaf(origin, start + offset, leaf, body, proof)
        for offset, ((leaf, body), proof) in enumerate(zip(rows, proofs, strict=True))
    ]


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
