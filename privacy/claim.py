"""Whose claims about a person count, and the facts that a policy reads of them (PROTOCOL.md, Keys and authority).

A home site speaks of its own people. The owner of data says who accepted its terms, and gives access by grants alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from catalog.claim import Claim, ClaimFields, ClaimType, Identity
from catalog.index import SiteIndex

OF_HOME: Final = frozenset({ClaimType.AFFILIATION, ClaimType.RESEARCHER, ClaimType.TERMS, ClaimType.IDENTITIES})
"""What a person's home site may say of them."""

OF_OWNER: Final = frozenset({ClaimType.TERMS})
"""What the owner of data may say of anyone, in its log."""

BY_GRANT: Final = frozenset({ClaimType.TERMS, ClaimType.ACCESS})
"""What a grant of the owner may say of whom it is for."""


def claim_facts(
    home: SiteIndex, owner: SiteIndex | None, person: str, now: int, granted: Iterable[Claim] = ()
) -> frozenset[str]:
    """What counts of ``person`` at ``now`` (Unix milliseconds), each as ``TYPE VALUE``.

    ``home`` is the log of the person's home site and ``owner`` that of the data's owner; ``granted`` are the claims
    of a grant of the owner that was found to hold.
    """
    said = [
        *_said_at_home(home, person),
        *(_said(owner, person, OF_OWNER) if owner is not None else ()),
        *(claim for claim in granted if claim.type in BY_GRANT),
    ]
    return frozenset(f"{claim.type} {claim.value}" for claim in said if stands(home, person, claim, now))


def stands(home: SiteIndex, person: str, claim: Claim, now: int) -> bool:
    """Whether ``claim`` is in time, and the account that its visa was issued to, if any, is the person's."""
    return now <= claim.not_after and (claim.identity is None or is_bound(home, person, claim.identity, now))


def is_bound(home: SiteIndex, person: str, identity: Identity, now: int) -> bool:
    """Whether the home site says that the account ``identity`` belongs to the key ``person``."""
    return any(
        claim.type is ClaimType.IDENTITIES and claim.identity == identity and now <= claim.not_after
        for claim in _said_at_home(home, person)
    )


def _said_at_home(home: SiteIndex, person: str) -> list[Claim]:
    return _said(home, person, OF_HOME) if home.key(person) is not None else []


def _said(site: SiteIndex, person: str, types: frozenset[ClaimType]) -> list[Claim]:
    fields = site.typed(ClaimFields, "claim", person)
    return [claim for claim in fields.claims if claim.type in types] if fields is not None else []
