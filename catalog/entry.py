"""The kinds of catalog entry: what each is about, its typed fields, and whose signature it needs (PROTOCOL.md, Keys).

Stewards decide who may do what; a node's key, which lies on a machine on the network, can write none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from catalog.approve import ApproveFields
from catalog.beat import BeatFields
from catalog.block import BlockFields, EndorseFields
from catalog.body import Body, fields_of
from catalog.capacity import CapacityFields
from catalog.certificate import CertificateFields
from catalog.claim import ClaimFields
from catalog.dagcbor import Value
from catalog.dataset import DatasetFields
from catalog.epoch import EpochSignatureFields
from catalog.error import VerificationFailed
from catalog.fork import AccuseFields
from catalog.grant import GrantFields
from catalog.member import KeyFields, Role
from catalog.mirror import MirrorFields
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from catalog.project import ProjectFields
from catalog.revoke import RevokeFields
from catalog.withdraw import WithdrawFields

_ROOT: Final[frozenset[Role]] = frozenset()
_STEWARD: Final = frozenset({Role.STEWARD})
_NODE: Final = frozenset({Role.NODE})
_AUTHOR: Final = frozenset({Role.STEWARD, Role.RESEARCHER})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of entry: the shape of its fields, its subject within a site's log, and who may sign it."""

    fields: type[Value]
    subject: Callable[[Value], str]
    signers: frozenset[Role]


def _kind(fields: type[Value], subject: str, signers: frozenset[Role]) -> Kind:
    return Kind(fields, lambda value: str(getattr(value, subject)) if subject else "", signers)


KINDS: Final[dict[str, Kind]] = {
    "key": _kind(KeyFields, "did", _STEWARD),
    "dataset": _kind(DatasetFields, "cid", _STEWARD),
    "block": _kind(BlockFields, "cid", _AUTHOR),
    "mirror": _kind(MirrorFields, "subject", _STEWARD),
    "endorse": _kind(EndorseFields, "block", _STEWARD),
    "grant": _kind(GrantFields, "cid", _AUTHOR),
    "revoke": _kind(RevokeFields, "subject", _AUTHOR),
    "claim": _kind(ClaimFields, "person", _STEWARD),
    "project": _kind(ProjectFields, "name", _STEWARD),
    "approve": _kind(ApproveFields, "subject", _STEWARD),
    "withdraw": _kind(WithdrawFields, "subject", _STEWARD),
    "certificate": _kind(CertificateFields, "subject", _NODE),
    "policy": _kind(PolicyFields, "", _STEWARD),
    "offer": _kind(OfferFields, "", _STEWARD),
    "capacity": _kind(CapacityFields, "", _NODE),
    "beat": _kind(BeatFields, "", _NODE),
    "accuse": _kind(AccuseFields, "origin", _NODE),
    "epoch-signature": _kind(EpochSignatureFields, "number", _ROOT),
}
"""The kinds that this version reads; a later index of the same subject replaces an earlier one."""

FOR_ALL: Final = frozenset(
    {"key", "revoke", "claim", "project", "approve", "certificate", "withdraw", "accuse", "epoch-signature"}
)
"""What says who may do what, or no more. It counts only if every member may see it, so whoever lacks one knows that."""

NEVER_WITHDRAWN: Final = frozenset({"withdraw", "certificate", "epoch-signature", "accuse"})
"""The kinds of leaves that no withdrawal may name: others rely on their being there."""

WITNESS_KINDS: Final = frozenset({"key", "beat", "epoch-signature", "withdraw", "accuse"})
"""What the catalog of a member may hold that only witnesses logs."""


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A verified entry: its place in the log of ``site``, its body and its typed fields."""

    site: str
    index: int
    body: Body
    fields: Value
    subject: str


def read_entry(site: str, index: int, leaf_kind: str, body: Body) -> Entry:
    """Give a body its place and its type; whether its actor may sign it is the index's question.

    Raises:
        VerificationFailed: it is for another log, another kind than its leaf says, or not of its kind's shape.
    """
    if body.site != site:
        raise VerificationFailed(f"entry {index} was written for another site's log")
    if body.kind != leaf_kind:
        raise VerificationFailed(f"entry {index} is a «{body.kind}» under a leaf that says «{leaf_kind}»")
    kind = KINDS.get(body.kind)
    if kind is None:
        raise VerificationFailed(f"entry {index} is of the kind «{body.kind}», which this version does not know")
    fields = fields_of(body, kind.fields)
    return Entry(site, index, body, fields, kind.subject(fields))
