"""Who is a member: keys that a site enrols, and the epoch documents of a consortium (PROTOCOL.md, Membership)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec

from catalog.body import Index, Name
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.error import BadInput, VerificationFailed
from catalog.key import Did, Signature, verify

PROTOCOL_VERSION: Final = 1
MAX_MEMBERS: Final = 256


class Role(StrEnum):
    """What an enrolled key may do at its site."""

    NODE = "node"
    STEWARD = "steward"
    RESEARCHER = "researcher"
    AUDITOR = "auditor"


class KeyFields(Value, frozen=True, kw_only=True):
    """The fields of a ``key`` entry: ``x25519`` is the public half that data keys are encrypted to, 32 bytes.

    When ``removed``: nothing that the key signed counts from the catalog place ``until`` on, which may lie before
    this entry (a stolen key) and is this entry's own place where none is given. Of a node key, ``audit_until`` says
    the same of the audit log; without it, nothing of the audit log counts by that key's word alone.
    """

    did: Did
    role: Role
    name: Name
    x25519: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    removed: bool = False
    until: Index | None = None
    audit_until: Index | None = None


class Member(Value, frozen=True, kw_only=True):
    """A site of a consortium: its name for people, its root key, and whether it only witnesses logs.

    ``root`` is the site's name among machines for ever. A root key that was lost or stolen is replaced by
    ``acting``, which signs in its place from the catalog index ``acting_from`` on: what the old one signed from
    there on does not count. While a member is ``suspended`` no decision relies on what it says.
    """

    site: Name
    root: Did
    witness_only: bool = False
    suspended: bool = False
    acting: Did | None = None
    acting_from: Index = 0

    @property
    def signer(self) -> str:
        """The key that signs as this member's root now."""
        return self.acting or self.root


class Epoch(Value, frozen=True, kw_only=True):
    """One epoch of a consortium. Number 0 is signed by the root of every founder; its CID names the consortium.

    ``previous`` is the content CID of the epoch before (:func:`content_cid`); ``quorum`` is how many witnesses must
    cosign; ``floor`` is Cedar text of ``forbid`` policies; ``protocol`` is the least and the greatest version that
    members speak. ``left`` has, for each site that is no member any more, how many entries of its catalog count.
    """

    DOMAIN: ClassVar[str] = "epoch"

    consortium: Name
    number: Index
    previous: Cid | None
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1, max_length=MAX_MEMBERS)]
    quorum: Index
    floor: Annotated[str, msgspec.Meta(max_length=16 << 10)]
    duties: dict[str, str]
    protocol: tuple[int, int]
    signatures: dict[Did, Signature]
    left: Annotated[dict[Did, Index], msgspec.Meta(max_length=4 * MAX_MEMBERS)] = msgspec.field(default_factory=dict)

    def roots(self) -> frozenset[str]:
        """The root keys of all members."""
        return frozenset(member.root for member in self.members)

    def member(self, root: str) -> Member | None:
        """The member whose root key is ``root``."""
        return next((member for member in self.members if member.root == root), None)


def epoch_message(epoch: Epoch) -> bytes:
    """What a member's root signs: the epoch without its signatures."""
    fields = {name: getattr(epoch, name) for name in epoch.__struct_fields__ if name != "signatures"}
    return f"comity/{Epoch.DOMAIN}/v1\n".encode() + encode(fields)


def consortium_cid(epoch0: Epoch) -> Cid:
    """The consortium's name: the CID of epoch 0 with all its signatures (Ed25519 is deterministic)."""
    return cid_of(epoch0)


def content_cid(epoch: Epoch) -> Cid:
    """The name of what an epoch says, whoever signed it: the CID of the document with empty signatures."""
    return cid_of(msgspec.structs.replace(epoch, signatures={}))


def check_epoch0(epoch: Epoch) -> None:
    """Check a founding document: every founder signed it, once, and its numbers make sense.

    Raises:
        VerificationFailed: a signature is missing, foreign or wrong, a site or a name stands in it twice, or its
            quorum is more than there are witnesses or too few to outvote a liar.
    """
    roots = [member.root for member in epoch.members]
    if epoch.number != 0 or epoch.previous is not None or epoch.left:
        raise VerificationFailed("a founding document must be epoch 0 and follow nothing")
    if any(member.suspended or member.acting or member.acting_from for member in epoch.members):
        raise VerificationFailed("no founder is suspended, or has another key than its root, in a founding document")
    if len(set(roots)) != len(roots):
        raise VerificationFailed("a site stands twice in the founding document")
    if len({member.site for member in epoch.members}) != len(roots):
        raise VerificationFailed("two sites of one name stand in the founding document")
    if not quorum_for(len(roots)) <= epoch.quorum < len(roots):
        raise VerificationFailed(f"a quorum of {epoch.quorum} makes no sense for {len(roots)} members")
    if not epoch.protocol[0] <= PROTOCOL_VERSION <= epoch.protocol[1]:
        raise VerificationFailed(
            f"this consortium speaks protocol {epoch.protocol}, this node version {PROTOCOL_VERSION}"
        )
    if set(epoch.signatures) != set(roots):
        raise VerificationFailed("the founding document is not signed by exactly its founders")
    message = epoch_message(epoch)
    for root, signature in epoch.signatures.items():
        verify(root, message, signature)


def quorum_for(members: int, liars: int = 1) -> int:
    """The least quorum of the owner's ``members - 1`` witnesses that outvotes ``liars`` (PROTOCOL.md: q > (w+f)/2).

    With two members the logs are mutual evidence only and the quorum is the one witness there is.

    Raises:
        BadInput: no quorum of so few witnesses could outvote that many liars.
    """
    witnesses = members - 1
    if witnesses <= 1:
        return witnesses
    quorum = (witnesses + liars) // 2 + 1
    if quorum > witnesses:
        raise BadInput(f"{members} members cannot outvote {liars} liars: add witness-only members")
    return quorum
