"""From one epoch of a consortium to the next: what a member signs, what may follow, and who must have signed it.

Nobody is believed: every node checks each document from scratch against the one before, and counts signatures itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import structs

from catalog.dagcbor import Value
from catalog.error import VerificationFailed
from catalog.key import Signature, Signer, verify
from catalog.keyring import Charter
from catalog.member import PROTOCOL_VERSION, Epoch, Member, content_cid, epoch_message, quorum_for
from catalog.plural import counted

KIND: Final = "epoch-signature"


class EpochSignatureFields(Value, frozen=True, kw_only=True):
    """The fields of an ``epoch-signature`` entry: the ``document`` with no signatures in it, and the root key's own."""

    document: Epoch
    signature: Signature

    @property
    def number(self) -> str:
        """The subject of the entry: a site signs one document for each number."""
        return str(self.document.number)


def sign_epoch(document: Epoch, root: Signer) -> EpochSignatureFields:
    """The fields by which the key ``root`` signs a document; signatures that stand in it are left out."""
    bare = structs.replace(document, signatures={})
    return EpochSignatureFields(document=bare, signature=root.sign(epoch_message(bare)))


def check_next(now: Epoch, document: Epoch) -> None:
    """Check that ``document`` may follow ``now``, whoever signed it.

    Raises:
        VerificationFailed: it does not follow it, its numbers make no sense, a name or a key stands in it twice, or it
            changes what no epoch may change.
    """
    if document.consortium != now.consortium or document.number != now.number + 1:
        raise VerificationFailed(f"the document is not epoch {now.number + 1} of «{now.consortium}»")
    if document.previous != content_cid(now):
        raise VerificationFailed(f"epoch {document.number} names another document as the one that it follows")
    if not document.protocol[0] <= PROTOCOL_VERSION <= document.protocol[1]:
        raise VerificationFailed(
            f"epoch {document.number} speaks protocol {document.protocol}, this node version {PROTOCOL_VERSION}"
        )
    _check_members(document)
    _check_left(now, document)
    for member in document.members:
        before = now.member(member.root)
        if before is None:
            _check_newcomer(now, member)
        else:
            _check_same(before, member)


def _check_members(document: Epoch) -> None:
    members = document.members
    roots = [member.root for member in members]
    if roots != sorted(set(roots)):
        raise VerificationFailed("the members do not stand in the order of their root keys, each once")
    if len({member.site for member in members}) != len(members):
        raise VerificationFailed("two members of one name stand in the document")
    keys = [*roots, *(member.acting for member in members if member.acting)]
    if len(set(keys)) != len(keys):
        raise VerificationFailed("one key would act as the root of two members")
    if not quorum_for(len(members)) <= document.quorum < len(members):
        raise VerificationFailed(f"a quorum of {document.quorum} makes no sense for {len(members)} members")


def _check_left(now: Epoch, document: Epoch) -> None:
    gone = now.roots() - document.roots()
    if set(document.left) != set(now.left) | gone or any(document.left[root] != now.left[root] for root in now.left):
        raise VerificationFailed("the document does not say of exactly those that left how many entries count")


def _check_newcomer(now: Epoch, member: Member) -> None:
    if member.root in now.left:
        raise VerificationFailed(f"«{member.site}» left this consortium; it can come back as a new site alone")
    if member.acting or member.acting_from or member.suspended:
        raise VerificationFailed(f"«{member.site}» is new, and so neither suspended nor with a replaced root key")
    if any(member.root == other.acting for other in now.members):
        raise VerificationFailed(f"the root key of «{member.site}» acts for another member already")


def _check_same(before: Member, member: Member) -> None:
    if member.site != before.site:
        raise VerificationFailed(f"«{before.site}» would be called «{member.site}»; a member keeps its name")
    if member.acting == before.acting:
        if member.acting_from != before.acting_from:
            raise VerificationFailed(f"the place from which the root key of «{member.site}» acts would change")
    elif member.acting in (None, member.root) or member.acting_from < before.acting_from:
        raise VerificationFailed(f"the root key of «{member.site}» would be put back, or act from before the last one")


def signers(now: Epoch, document: Epoch, signatures: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those of ``signatures`` (root → 64 bytes) that the keys acting for members of ``now`` made of ``document``."""
    message, found = epoch_message(document), {}
    for member in now.members:
        signature = signatures.get(member.root)
        if signature is not None and _is_by(member.signer, message, signature):
            found[member.root] = signature
    return found


def _is_by(did: str, message: bytes, signature: bytes) -> bool:
    try:
        verify(did, message, signature)
    except VerificationFailed:
        return False
    return True


def needed(now: Epoch) -> int:
    """How many members of ``now`` must sign what follows: more than half."""
    return len(now.members) // 2 + 1


def check_successor(now: Epoch, document: Epoch) -> None:
    """Check a next epoch whole: that it may follow, and that more than half of the members of ``now`` signed it.

    Raises:
        VerificationFailed: as for :func:`check_next`, or it lacks signatures, or has one that is not a member's.
    """
    check_next(now, document)
    found = signers(now, document, document.signatures)
    if len(found) != len(document.signatures):
        raise VerificationFailed(f"a signature under epoch {document.number} is by no member of the epoch before")
    if len(found) < needed(now):
        by = counted(len(found), "member")
        raise VerificationFailed(f"epoch {document.number} is signed by {by}; {needed(now)} of {len(now.members)} must")


def successor(now: Epoch, signed: Mapping[str, EpochSignatureFields]) -> Epoch | None:
    """The epoch that follows ``now``, if more than half of its members signed one document.

    ``signed`` has, by root key, what each member's log says that it signed for that number. What may not follow is
    passed over, by however many it was signed.
    """
    documents = {content_cid(each.document): each.document for each in signed.values()}
    for cid, document in sorted(documents.items(), key=lambda item: str(item[0])):
        mine = {root: each.signature for root, each in signed.items() if content_cid(each.document) == cid}
        whole = structs.replace(document, signatures=signers(now, document, mine))
        try:
            check_successor(now, whole)
        except VerificationFailed:
            continue
        return whole
    return None


def charters(chain: Iterable[Epoch]) -> dict[str, Charter]:
    """What a chain of epochs, the first one epoch 0, says of each site's root keys and end, by the site's root."""
    roots: dict[str, tuple[tuple[int, str], ...]] = {}
    left: dict[str, int] = {}
    witnesses: set[str] = set()
    for epoch in chain:
        witnesses = {member.root for member in epoch.members if member.witness_only}
        left = dict(epoch.left)
        for member in epoch.members:
            before = roots.setdefault(member.root, ((0, member.root),))
            if member.signer != before[-1][1]:
                roots[member.root] = (*before, (member.acting_from, member.signer))
    return {root: Charter(acting, left.get(root), root in witnesses) for root, acting in roots.items()}


def next_epoch(
    now: Epoch,
    members: Iterable[Member],
    *,
    floor: str | None = None,
    gone: Mapping[str, int] | None = None,
) -> Epoch:
    """An unsigned document that follows ``now`` with these members; the quorum is the one that follows from them.

    ``gone`` has, for each member that is left out, how many entries of its catalog count.

    Raises:
        BadInput: so few members could not outvote one that lies.
    """
    chosen = tuple(sorted(members, key=lambda member: member.root))
    return structs.replace(
        now,
        number=now.number + 1,
        previous=content_cid(now),
        members=chosen,
        quorum=quorum_for(len(chosen)),
        floor=now.floor if floor is None else floor,
        left={**now.left, **(gone or {})},
        signatures={},
    )


def changes(now: Epoch, document: Epoch) -> tuple[str, ...]:
    """What would change, in plain words, a line each: what whoever signs agrees to."""
    lines = [line for member in document.members for line in _changed(now.member(member.root), member)]
    for member in now.members:
        if document.member(member.root) is None:
            size = document.left.get(member.root, 0)
            lines.append(f"«{member.site}» leaves; of its catalog the first {size} entries count")
    if document.quorum != now.quorum:
        lines.append(f"{document.quorum} witnesses must cosign each log, not {now.quorum}")
    if document.floor != now.floor:
        lines.append(f"the floor that binds every member becomes:\n{document.floor}" if document.floor else "no floor")
    if document.duties != now.duties:
        lines.append(f"the duties become: {', '.join(sorted(document.duties)) or 'none'}")
    if document.protocol != now.protocol:
        lines.append(f"members speak protocol {document.protocol[0]} to {document.protocol[1]}")
    return tuple(lines)


def _changed(before: Member | None, member: Member) -> list[str]:
    name = f"«{member.site}»"
    if before is None:
        kind = "a member that only witnesses logs" if member.witness_only else "a full member"
        return [f"{name} becomes {kind}; its root key is {member.root}"]
    lines = []
    if member.suspended != before.suspended:
        lines.append(f"{name} is {'suspended: no decision relies on it' if member.suspended else 'suspended no more'}")
    if member.witness_only != before.witness_only:
        lines.append(f"{name} {'only witnesses logs from now on' if member.witness_only else 'becomes a full member'}")
    if member.acting != before.acting:
        lines.append(
            f"{name} has another root key, {member.acting}; what the one before signed does not count"
            f" from entry {member.acting_from} of its catalog on"
        )
    return lines
