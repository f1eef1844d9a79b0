"""Founding a consortium: one site gathers the others by invitation, then every root signs the same document.

Pure values and steps; ``node/site.py`` keeps the state and carries the messages. The gathering site has no special
rights afterwards: epoch 0 is valid because all of its founders signed it, and for no other reason.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, ClassVar

import msgspec
from msgspec import structs

from catalog.body import Index, Millis, Name, read_body
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.entry import read_entry
from catalog.error import Conflict, VerificationFailed
from catalog.key import Did, Signature, Signed, check, verify
from catalog.member import (
    MAX_MEMBERS,
    PROTOCOL_VERSION,
    Epoch,
    KeyFields,
    Member,
    Role,
    check_epoch0,
    consortium_cid,
    epoch_message,
    quorum_for,
)

INVITE_MILLIS = 7 * 86_400_000
Secret = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Enrolment = Annotated[bytes, msgspec.Meta(max_length=4096)]
Place = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[!-~]+\Z")]
PlaceOrNone = Annotated[str, msgspec.Meta(max_length=256, pattern=r"^[!-~]*\Z")]
"""Where a site is reached, or empty: it only dials out."""


class Invite(Signed, frozen=True, kw_only=True):
    """An invitation to found ``consortium``, signed by the inviting ``node``; ``secret`` admits one site, once.

    ``founded`` is its CID where it is founded already: the invitation is then to ask its members to be admitted.
    """

    DOMAIN: ClassVar[str] = "invite"

    consortium: Name
    site: Name
    node: Did
    bulk: Place
    secret: Secret
    not_after: Millis
    founded: Cid | None = None


class Founder(Value, frozen=True, kw_only=True):
    """A founder as the others reach it: ``enrolment`` is the body in which its root enrols its node key.

    ``control`` and ``bulk`` are empty for a site that only dials out.
    """

    member: Member
    enrolment: Enrolment
    control: PlaceOrNone
    bulk: PlaceOrNone


class Founding(Value, frozen=True, kw_only=True):
    """A founding in progress: who has joined, and the signatures of the document that they found."""

    consortium: Name
    expected: Annotated[int, msgspec.Meta(ge=1, le=MAX_MEMBERS)]
    founders: tuple[Founder, ...]
    signatures: dict[Did, Signature]

    @property
    def complete(self) -> bool:
        """Whether every founder is there, so that the document can be signed."""
        return len(self.founders) == self.expected

    def epoch(self) -> Epoch:
        """The document as it stands, with the signatures so far."""
        members = tuple(sorted((f.member for f in self.founders), key=lambda member: member.root))
        return Epoch(
            consortium=self.consortium,
            number=0,
            previous=None,
            members=members,
            quorum=quorum_for(len(members)),
            floor="",
            duties={},
            protocol=(PROTOCOL_VERSION, PROTOCOL_VERSION),
            signatures=self.signatures,
        )

    def founded(self) -> Cid | None:
        """The consortium's CID, once every root has signed."""
        if not self.complete or len(self.signatures) < self.expected:
            return None
        epoch = self.epoch()
        check_epoch0(epoch)
        return consortium_cid(epoch)


class Knock(Value, frozen=True, kw_only=True):
    """What a site sends to the inviting one: the invitation's secret, itself, and its signature once it has one.

    Where the consortium is founded already, ``since`` is the number of the next epoch document that it lacks.
    """

    secret: Secret
    founder: Founder
    signature: Signature | None
    since: Index = 0


def node_of(founder: Founder) -> str:
    """The node key that a founder's root enrolled.

    Raises:
        VerificationFailed: the enrolment is not by that root, or enrols no node.
    """
    root = founder.member.root
    fields = node_fields(founder.enrolment, root, root)
    if fields.removed:
        raise VerificationFailed("a founder's node key is not enrolled by its root key: it is removed")
    return fields.did


@lru_cache(maxsize=512)
def node_fields(data: bytes, site: str, by: str) -> KeyFields:
    """The fields of a body in which ``by``, as the root of ``site``, enrols or removes a node key.

    Raises:
        VerificationFailed: it is by another key, for another site, or about no node.
    """
    body = read_body(data)
    entry = read_entry(site, 0, "key", body)
    if body.actor != by or not isinstance(entry.fields, KeyFields) or entry.fields.role is not Role.NODE:
        raise VerificationFailed("a node key is not enrolled by its site's root key")
    check(body, by)
    return entry.fields


def nodes_of(founding: Founding) -> dict[str, str]:
    """The founders' node keys by their root keys.

    Raises:
        VerificationFailed: as for :func:`node_of`, or two founders claim one node key, or one root two.
    """
    nodes = {founder.member.root: node_of(founder) for founder in founding.founders}
    if not len(founding.founders) == len(nodes) == len(set(nodes.values())):
        raise VerificationFailed("two of the founders have one root key or one node key")
    return nodes


def joined(founding: Founding, founder: Founder) -> Founding:
    """``founding`` with one more founder; the same one again changes nothing but its addresses.

    Raises:
        Conflict: all founders are there, another site has that name, or this one joined as another than it is now.
    """
    earlier = next((f for f in founding.founders if f.member.root == founder.member.root), None)
    if earlier is not None:
        if (earlier.member, earlier.enrolment) != (founder.member, founder.enrolment):
            raise Conflict(f"this site has joined as «{earlier.member.site}» already, with the node key of then")
        return structs.replace(founding, founders=tuple(founder if f is earlier else f for f in founding.founders))
    if founding.complete:
        raise Conflict("all founders of this consortium have joined already")
    if any(f.member.site == founder.member.site for f in founding.founders):
        raise Conflict(f"a site called «{founder.member.site}» has joined already; choose another name")
    return structs.replace(founding, founders=(*founding.founders, founder))


def signed_by(founding: Founding, root: str, signature: bytes) -> Founding:
    """``founding`` with the signature of ``root``.

    Raises:
        Conflict: not every founder is there yet. VerificationFailed: the signature is not of this document.
    """
    if not founding.complete:
        raise Conflict("not every founder has joined yet; the document cannot be signed before")
    if root not in founding.epoch().roots():
        raise VerificationFailed("the signature is by none of the founders")
    verify(root, epoch_message(founding.epoch()), signature)
    return structs.replace(founding, signatures={**founding.signatures, root: signature})
