"""What a chain of grants permits: from a steward of the owner down to the person who cites it, each link narrower.

A grant counts only from where its issuer may write it: the owner's log for the first, the issuer's home for the others
(the index sees to that). Every signature is verified, and one revoked link ends all that hang on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from catalog.cid import Cid
from catalog.error import Damaged, Denied, VerificationFailed
from catalog.grant import MAX_DEPTH, Action, Grant, GrantFields
from catalog.index import Index
from catalog.key import check
from catalog.project import ProjectRef
from catalog.revoke import RevokeFields, subject_of
from privacy.claim import stands
from privacy.disease import Diseases
from privacy.label import site_of
from privacy.modifier import IS, PS, US
from privacy.purpose import serves

REMEMBERED: Final = 512
"""Grants whose signatures are remembered to be good, those that were asked for last."""


@dataclass(frozen=True, slots=True)
class Held:
    """A grant, and the site whose log has it as an entry that counts."""

    grant: Grant
    site: str


@dataclass(frozen=True, slots=True)
class Chain:
    """A grant that was cited, first, and what it hangs on, up to the owner's own, last."""

    links: tuple[Held, ...]

    @property
    def grant(self) -> Grant:
        """The one that was cited, which permits least."""
        return self.links[0].grant

    @property
    def logs(self) -> frozenset[str]:
        """The sites whose word it rests on."""
        return frozenset(link.site for link in self.links)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a grant shall cover: ``action`` by ``subject`` on ``dataset``, which ``owner`` published.

    ``block`` is ``None`` where no step is asked for; ``destinations`` are the readers that results should gain.
    """

    owner: str
    subject: str
    project: ProjectRef
    dataset: Cid
    purpose: str
    action: Action
    block: Cid | None
    destinations: frozenset[str]


class Ledger(Protocol):
    """Where grants and revocations are looked up."""

    def held(self, grant: Cid) -> Sequence[Held]:
        """Every place where the grant counts; its content has that CID."""

    def revoked(self, grant: Cid, issuer: str, site: str) -> str | None:
        """The reason for which the log of ``site`` revokes it, by its stewards' word or its ``issuer``'s.

        ``None`` if it does not.
        """


class Logs:
    """The members' logs, as one :class:`Ledger`."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def held(self, grant: Cid) -> Sequence[Held]:
        """Every place where the grant counts."""
        subject = str(grant)
        return [
            Held(entry.fields.grant, site.root)
            for site in self._index.sites.values()
            if (entry := site.latest("grant", subject)) is not None and isinstance(entry.fields, GrantFields)
        ]

    def revoked(self, grant: Cid, issuer: str, site: str) -> str | None:
        """The reason for which the log of ``site`` revokes it."""
        known = self._index.sites.get(site)
        if known is None:
            return None
        words = (known.typed(RevokeFields, "revoke", subject_of(grant, by)) for by in (None, issuer))
        return next((fields.reason for fields in words if fields is not None), None)


DAMAGED: Final = "what this site has of a grant is damaged on its disk, as its operator can see"
"""Why no grant covers something that one might: not for good, and no word of whose file it is."""


def covering(
    index: Index, cited: Iterable[Cid], wanted: Wanted, *, consortium: Cid, home: str, diseases: Diseases, now: int
) -> tuple[Chain | None, str]:
    """The first of the ``cited`` grants that covers what is ``wanted``, with its chain; or why none does.

    ``home`` is the subject's home site, which says whose the account of an imported visa is; ``now`` is Unix
    milliseconds.
    """
    ledger, reason, damaged = Logs(index), "", False
    for cid in cited:
        try:
            held = ledger.held(cid)
            if not held or held[0].grant.site != wanted.owner:
                continue  # another owner's, or none that this site may see
            why = covers(held[0].grant, wanted, diseases, now)
            if not why:
                chain = chain_of(ledger, cid, consortium)
                _check_visas(index, chain, home, now)
                return chain, ""
        except (Denied, VerificationFailed) as error:
            why = str(error)
        except Damaged:
            damaged = True
            continue
        reason = reason or why
    return None, DAMAGED if damaged else reason or "no grant of the data's owner was cited"


def chain_of(ledger: Ledger, cited: Cid, consortium: Cid, *, whole: bool = True) -> Chain:
    """The grant ``cited`` with all that it hangs on, each link verified; if not ``whole``, as far as one can see.

    Raises:
        Denied: a link is not to be found, revoked, of another consortium, not narrower than what it hangs on, or
            there are more than four of them.
        VerificationFailed: a signature is not its issuer's.
    """
    links: list[Held] = []
    cid: Cid | None = cited
    while cid is not None:
        if len(links) == MAX_DEPTH:
            raise Denied(f"the grant hangs on more than {MAX_DEPTH - 1} others; ask for one nearer to the owner's own")
        if links and not whole and not ledger.held(cid):
            break
        link = _link(ledger, cid, consortium)
        widened = widens(links[-1].grant, link.grant) if links else ""
        if widened:
            raise Denied(f"the grant {widened} than the one that it hangs on")
        links.append(link)
        cid = link.grant.parent
    return Chain(tuple(links))


def revocation(ledger: Ledger, cited: Cid) -> str | None:
    """The reason for which the grant ``cited``, or one that it hangs on, was revoked; ``None`` if none was."""
    cid: Cid | None = cited
    for _ in range(MAX_DEPTH):
        found = ledger.held(cid) if cid is not None else ()
        if cid is None or not found:
            return None
        reason = _revoked(ledger, cid, found)
        if reason is not None:
            return reason
        cid = found[0].grant.parent
    return None


def widens(child: Grant, parent: Grant) -> str:
    """In what ``child`` permits more than ``parent``, or is not its subject's to give; empty if it attenuates it."""
    checks = (
        (child.issuer == parent.subject, "is by another person"),
        (child.consortium == parent.consortium, "is for another consortium"),
        (child.site == parent.site, "is for another owner's data"),
        (child.project == parent.project, "is for another project"),
        (set(child.datasets) <= set(parent.datasets), "names more datasets"),
        (set(child.purposes) <= set(parent.purposes), "names more purposes"),
        (set(child.actions) <= set(parent.actions), "names more actions"),
        (set(child.claims) <= set(parent.claims), "makes more claims"),
        (_within(child.blocks, parent.blocks), "allows more blocks"),
        (_within(child.destinations, parent.destinations), "allows more destinations"),
        (child.not_after <= parent.not_after, "lasts longer"),
    )
    return next((reason for holds, reason in checks if not holds), "")


def covers(grant: Grant, wanted: Wanted, diseases: Diseases, now: int) -> str:
    """Empty if ``grant``, taken for itself, covers what is ``wanted``, else the first thing in which it does not."""
    checks = (
        (grant.site == wanted.owner, "the grant is for another owner's data"),
        (grant.subject == wanted.subject, "the grant is for another person"),
        (grant.project == wanted.project, "the grant is for another project"),
        (wanted.dataset in grant.datasets, "the grant does not name this dataset"),
        (_serves(grant.purposes, wanted.purpose, diseases), f"the grant does not cover the purpose {wanted.purpose}"),
        (wanted.action in grant.actions, f"the grant does not cover «{wanted.action}»"),
        (not grant.blocks or wanted.block in grant.blocks, "the grant does not name this block"),
        (
            not grant.destinations or wanted.destinations <= set(grant.destinations),
            "the grant names other destinations",
        ),
        (now <= grant.not_after, "the grant has expired"),
    )
    return next((reason for holds, reason in checks if not holds), "")


def named_by(grant: Grant, home: str) -> frozenset[str]:
    """The DUO restrictions that hold because a grant names somebody: the person, the project, the institutions.

    An institution is named where the grant lists its destinations, and the person's ``home`` is among them.
    """
    places = {site_of(reader) for reader in grant.destinations}
    return frozenset({US, PS, IS} if home in places else {US, PS})


def _link(ledger: Ledger, cid: Cid, consortium: Cid) -> Held:
    found = [each for each in ledger.held(cid) if each.grant.parent is not None or each.site == each.grant.site]
    if not found:
        raise Denied(f"the grant {cid} stands in no log where its issuer could write it, or none for this site to see")
    grant = found[0].grant
    if grant.consortium != consortium:
        raise Denied("the grant was issued for another consortium")
    reason = _revoked(ledger, cid, found)
    if reason is not None:
        raise Denied("the grant was revoked" + (f": «{reason}»" if reason else ""))
    check_signature(grant)
    return found[0]


@lru_cache(maxsize=REMEMBERED)
def check_signature(grant: Grant) -> None:
    """Check the signature, once for each value: what can change, as whether it was revoked, is looked up each time.

    Raises:
        VerificationFailed: it is not its issuer's.
    """
    check(grant, grant.issuer)


def _check_visas(index: Index, chain: Chain, home: str, now: int) -> None:
    """Check the claims of every link: in time, and of accounts that are its subject's by the word of their home site.

    The home of whoever passed a grant on is the site whose log has what they passed on.

    Raises:
        Denied: one is not.
    """
    homes = [home, *(link.site for link in chain.links)]
    for link, site in zip(chain.links, homes, strict=False):
        known = index.sites.get(site)
        for claim in link.grant.claims:
            if known is None or not stands(known, link.grant.subject, claim, now):
                raise Denied(
                    "the grant rests on a claim that is over, or on a visa for an account that the person's home site "
                    "does not say is theirs"
                )


def _revoked(ledger: Ledger, cid: Cid, found: Sequence[Held]) -> str | None:
    """A grant is revoked in the log of the data's owner, or in one where it stands."""
    grant = found[0].grant
    sites = {grant.site, *(each.site for each in found)}
    return next((reason for site in sites if (reason := ledger.revoked(cid, grant.issuer, site)) is not None), None)


def _serves(purposes: Collection[str], purpose: str, diseases: Diseases) -> bool:
    return any(serves(term, purpose, diseases) for term in purposes)


def _within(child: Collection[object], parent: Collection[object]) -> bool:
    """Whether ``child`` is as narrow as ``parent``, where empty means any."""
    return not parent or (bool(child) and set(child) <= set(parent))
