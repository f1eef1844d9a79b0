"""Coming into a consortium that runs, and changing the node key or the addresses of a member: what is said and checked.

Pure values and steps; ``node/site/membership.py`` and ``node/site/entrance.py`` keep the state and carry the messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import structs

from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import Value, encode
from catalog.epoch import check_successor
from catalog.error import Denied, VerificationFailed
from catalog.keyring import Charter
from catalog.member import Epoch, KeyFields, Member, check_epoch0, consortium_cid
from node.founding import Enrolment, Founder, node_fields

MAX_STANDING: Final = 1 << 19
"""Bytes of epoch documents in one answer; whoever lacks more asks again."""


class Standing(Value, frozen=True, kw_only=True):
    """A consortium as a candidate is told of it: epoch documents in a row, and how its members are reached."""

    epochs: Annotated[tuple[Epoch, ...], msgspec.Meta(max_length=1024)]
    members: Annotated[tuple[Founder, ...], msgspec.Meta(max_length=256)]


class Announcement(Value, frozen=True, kw_only=True):
    """What a member says at every other's door: its node key, in a body by its root, and where it is reached.

    ``removals`` are the bodies in which the root removed the keys that the node had before.
    """

    founder: Founder
    removals: Annotated[tuple[Enrolment, ...], msgspec.Meta(max_length=8)] = ()


def part(chain: Sequence[Epoch], since: int) -> tuple[Epoch, ...]:
    """The documents from number ``since`` on, as many as one answer takes and at least one if there is one."""
    chosen: list[Epoch] = []
    size = 0
    for epoch in chain[since : since + 1024]:
        size += len(encode(epoch))
        if chosen and size > MAX_STANDING:
            break
        chosen.append(epoch)
    return tuple(chosen)


def extended(chain: Sequence[Epoch], more: Iterable[Epoch], consortium: Cid) -> tuple[Epoch, ...]:
    """``chain``, which was checked, with ``more`` behind it, every document checked against the one before.

    Raises:
        VerificationFailed: it begins with another document than that of ``consortium``, or one does not follow.
    """
    whole = list(chain)
    for epoch in more:
        if whole:
            check_successor(whole[-1], epoch)
        else:
            check_epoch0(epoch)
            if consortium_cid(epoch) != consortium:
                raise VerificationFailed("the founding document is that of another consortium than the one invited to")
        whole.append(epoch)
    return tuple(whole)


def announced(announcement: Announcement, charter: Charter) -> tuple[str, tuple[str, ...]]:
    """The node key that an announcement names, and those that were removed before it, by roots of the site.

    A root key that was replaced vouches for nothing new, but for what it enrolled while it acted: whether that key
    is new is for the caller to say (:func:`check_new`).

    Raises:
        VerificationFailed: a body is by no root of this site, or about no node.
    """
    site = announcement.founder.member.root
    fields = _by_a_root(announcement.founder.enrolment, site, charter)
    if fields.removed:
        raise VerificationFailed("the announced node key is removed")
    removals = [_by_a_root(data, site, charter) for data in announcement.removals]
    if not all(each.removed for each in removals):
        raise VerificationFailed("a removal among those announced removes nothing")
    return fields.did, tuple(each.did for each in removals)


def check_new(announcement: Announcement, charter: Charter, known: Iterable[str]) -> None:
    """Check that a key that is not the member's now may become it.

    Raises:
        Denied: it was the member's before, and so was removed. VerificationFailed: not by the root that acts now.
    """
    site = announcement.founder.member.root
    fields = node_fields(announcement.founder.enrolment, site, charter.roots[-1][1])
    if fields.did in set(known):
        raise Denied("this node key was replaced by another; a key that was removed does not come back")


def as_known(member: Member, announcement: Announcement) -> Announcement:
    """The announcement with the member as the epoch document has it: its own word on that counts for nothing."""
    return structs.replace(announcement, founder=structs.replace(announcement.founder, member=member))


def _by_a_root(data: bytes, site: str, charter: Charter) -> KeyFields:
    actor = read_body(data).actor
    if actor not in {did for _, did in charter.roots}:
        raise VerificationFailed("a node key is announced that no root key of its site enrolled")
    return node_fields(data, site, actor)
