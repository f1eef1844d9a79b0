"""Grants, revocations and claims as stewards and researchers write them: what a signature alone cannot say."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.claim import ClaimFields
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.grant import MAX_DEPTH, Grant, GrantFields
from catalog.index import Index
from catalog.key import check, short
from catalog.member import Role
from catalog.revoke import RevokeFields
from node.site.site import Site
from privacy.claim import BY_GRANT, OF_HOME, OF_OWNER
from privacy.grant import Logs, chain_of, widens
from privacy.purpose import checked
from privacy.trust import approved


def check_access(site: Site, fields: GrantFields | RevokeFields | ClaimFields, actor: str) -> None:
    """Check a grant, a revocation, or claims about a person before this site's log takes them.

    Raises:
        Denied, NotFound, BadInput, VerificationFailed, Conflict: as for each of them, below.
    """
    match fields:
        case GrantFields(grant=grant):
            check_grant(site, grant, actor)
        case RevokeFields():
            check_revocation(site, fields, actor)
        case ClaimFields():
            check_claims(site, fields)


def check_grant(site: Site, grant: Grant, actor: str) -> None:
    """Check a grant before this site's log takes it.

    Raises:
        VerificationFailed: not signed by its issuer, or for another consortium or another site's data.
        Denied: it hangs on a grant that does not hold, or permits more than that one; or this site has not approved
            the project as it stands.
        BadInput: an unknown purpose, or a claim that is not the owner's to make.
        Conflict: this site is in no consortium yet.
    """
    if grant.issuer != actor:
        raise VerificationFailed("a grant is issued by whoever signs its entry")
    check(grant, grant.issuer)
    _check_terms(site, grant)
    if grant.parent is None and grant.site != site.root:
        raise VerificationFailed("a grant is issued by the steward who signs its entry, for this site's data")
    if grant.parent is None and not _is_steward(site, actor):
        raise Denied("access to this site's data is for its stewards to grant; others pass on what they hold")
    if site.membership.consortium is None:
        raise Conflict("this site is in no consortium yet; see «comity consortium show»")
    if grant.consortium != site.membership.consortium:
        raise VerificationFailed("the grant is for another consortium than this site's")
    if grant.parent is not None:
        _check_above(site, grant, grant.parent)
    elif reason := approved(site.index, grant.project, site.root):
        raise Denied(reason)


def _check_above(site: Site, grant: Grant, parent: Cid) -> None:
    above = chain_of(Logs(site.index), parent, grant.consortium, whole=False)
    if len(above.links) == MAX_DEPTH:
        raise Denied(f"that grant is the {MAX_DEPTH}th in its chain, and nothing may hang on it; use one further up")
    widened = widens(grant, above.grant)
    if widened:
        raise Denied(f"the grant {widened} than the one that it hangs on")


def _check_terms(site: Site, grant: Grant) -> None:
    for purpose in grant.purposes:
        checked(purpose, site.diseases)
    foreign = next((claim.type for claim in grant.claims if claim.type not in BY_GRANT), None)
    if foreign is not None:
        raise BadInput(f"a grant makes no claim of the type {foreign}: that is for the person's home site to say")


def check_revocation(site: Site, fields: RevokeFields, actor: str) -> None:
    """Check a revocation before this site's log takes it.

    Raises:
        NotFound: no such grant, or none for this site to see.
        Denied: it is neither a grant of this site's data nor one that was attenuated here; or not the actor's own.
    """
    held = Logs(site.index).held(fields.grant)
    if not held:
        raise NotFound(f"there is no grant {fields.grant} here, or none for you to see; see «comity grant list»")
    grant = held[0].grant
    if grant.site != site.root and all(each.site != site.root for each in held):
        raise Denied("a grant is revoked by the owner of the data, or by the site where it was attenuated")
    if fields.issuer not in (None, grant.issuer) or (not _is_steward(site, actor) and grant.issuer != actor):
        raise Denied(f"the key {short(actor)} did not issue that grant; a steward of the owner can revoke it")


def check_claims(site: Site, fields: ClaimFields) -> None:
    """Check what a steward says of a person before this site's log takes it.

    Raises:
        NotFound: nobody of that key. Denied: that is not for this site to say.
    """
    home = site.index.site(site.root).key(fields.person)
    if home is None and not _is_known(site.index, fields.person):
        raise NotFound(f"no member has enrolled the key {short(fields.person)}; enrol it first")
    ours = OF_HOME if home is not None else OF_OWNER
    foreign = next((claim.type for claim in fields.claims if claim.type not in ours), None)
    if foreign is not None:
        whose = "the owner of data says so by a grant" if home is not None else "that is for the person's home site"
        raise Denied(f"this site cannot claim {foreign} of that person: {whose}")


def _is_steward(site: Site, actor: str) -> bool:
    key = site.index.site(site.root).key(actor)
    return key is not None and key.role is Role.STEWARD


def _is_known(index: Index, person: str) -> bool:
    keys = (site.key(person) for site in index.sites.values())
    return any(key is not None and key.role is not Role.NODE for key in keys)
