"""What a grant permits: a signature by a steward of the owner, and sets that hold what is asked."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.cid import Cid
from catalog.error import VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.index import SiteIndex
from catalog.key import check
from catalog.member import Role
from catalog.project import ProjectRef


def issued(owner: SiteIndex, cited: Iterable[Cid]) -> list[Grant]:
    """The cited grants that ``owner`` issued and its log still holds.

    A grant counts only from the owner's own log, under the signature of one of the owner's stewards: nobody else's
    word grants another site's data.
    """
    found = (owner.typed(GrantFields, "grant", str(cid)) for cid in cited)
    return [fields.grant for fields in found if fields is not None and _signed_by_steward(owner, fields.grant)]


def _signed_by_steward(owner: SiteIndex, grant: Grant) -> bool:
    key = owner.key(grant.issuer)
    if key is None or key.role is not Role.STEWARD or grant.site != owner.root or grant.parent is not None:
        return False
    try:
        check(grant, grant.issuer)
    except VerificationFailed:
        return False
    return True


def covers(
    grant: Grant,
    *,
    subject: str,
    project: ProjectRef,
    dataset: Cid,
    purpose: str,
    action: Action,
    block: Cid,
    destinations: Iterable[str],
    now: int,
) -> str:
    """Empty if ``grant`` covers the request, else the first thing in which it does not, in plain words."""
    checks = (
        (grant.subject == subject, "the grant is for another person"),
        (grant.project == project, "the grant is for another project"),
        (dataset in grant.datasets, "the grant does not name this dataset"),
        (purpose in grant.purposes, f"the grant does not cover the purpose {purpose}"),
        (action in grant.actions, f"the grant does not cover «{action}»"),
        (not grant.blocks or block in grant.blocks, "the grant does not name this block"),
        (not grant.destinations or set(destinations) <= set(grant.destinations), "the grant names other destinations"),
        (now <= grant.not_after, "the grant has expired"),
    )
    return next((reason for holds, reason in checks if not holds), "")
