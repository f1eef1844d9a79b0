"""Access as people give it: grants, what hangs on them, revocations, and what a site says of a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import structs

from catalog.approve import ApproveFields
from catalog.cid import Cid
from catalog.claim import Claim, ClaimFields, ClaimType, Identity
from catalog.dagcbor import cid_of
from catalog.dataset import DatasetFields, Level
from catalog.error import BadInput, Conflict, Denied, NotFound, VerificationFailed
from catalog.grant import Action, Grant, GrantFields
from catalog.key import UNSIGNED, signed
from catalog.label import Reader
from catalog.member import KeyFields
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields, subject_of
from node.api.publish import Publisher, end_of, now, readable
from node.api.quantity import Moment
from node.api.schema import MemberView
from node.api.short import is_named
from node.api.view import Listing, Published
from privacy.freshness import overdue
from privacy.grant import Held, chain_of, revocation, widens
from privacy.label import site_of
from privacy.purpose import checked
from privacy.trust import unapproved
from privacy.visa import Visa, read_issuers, read_visa

_ADD = (
    "a steward of the project's site can add these (comity project new, with the project's name and all that stays),"
    " and this site then approves it again"
)
"""Characters of a grant's CID, from its end, by which it may be asked for."""


class State(StrEnum):
    """How a grant stands, as far as this site sees.

    ``stale`` if too little is known of those who gave it; ``idle`` if it holds and nobody can use it, for want of its
    project or its site.
    """

    VALID = "valid"
    IDLE = "idle"
    EXPIRED = "expired"
    REVOKED = "revoked"
    STALE = "stale"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Standing:
    """A grant, the site whose log has it, how it stands, and why where it does not hold."""

    cid: Cid
    grant: Grant
    site: str
    site_name: str
    index: int
    state: State
    reason: str


class Granter(Publisher):
    """Gives and takes access as one person, who signs each entry here."""

    def grant(
        self,
        person: str,
        project: str,
        datasets: Iterable[Cid | str],
        *,
        until: Moment,
        purposes: Sequence[str] | None = None,
        actions: Sequence[str] = ("see", "compute", "release"),
        blocks: Iterable[Cid | str] = (),
        destinations: Iterable[str] = (),
        claims: Sequence[Claim] = (),
    ) -> Published:
        """Grant an enrolled person of any member these actions on this site's datasets, within a project.

        ``purposes`` are the project's where none are given; no ``blocks`` or ``destinations`` means any that policy
        allows; ``claims`` are what this site says of the person with it. The person's home, the project's site, the
        destinations, and readers and custodians of shared data see the grant, nobody else.

        Raises:
            NotFound: the person, the project or a dataset. BadInput: a dataset that is not this site's.
        """
        who, where = self.enrolled(person), self.project(project)
        found = [self.dataset(each) for each in datasets]
        foreign = [each.fields.name for each in found if each.site != self.site]
        if foreign:
            raise BadInput(f"only its own site can grant access to «{foreign[0]}»")
        grant = Grant(
            consortium=self._consortium(),
            issuer=self.person,
            site=self.site,
            subject=who.fields.did,
            project=ProjectRef(site=where.site, name=where.fields.name),
            claims=tuple(claims),
            datasets=tuple(sorted({each.fields.cid for each in found})),
            purposes=tuple(checked(each) for each in purposes or (where.fields.purpose,)),
            actions=_actions(actions),
            blocks=self._blocks(blocks),
            destinations=self._destinations(destinations),
            not_after=end_of(until),
            parent=None,
            sig=UNSIGNED,
        )
        return self._issue(grant, who)

    def attenuate(
        self,
        grant: Cid | str,
        person: str,
        *,
        until: Moment | None = None,
        datasets: Iterable[Cid | str] | None = None,
        purposes: Sequence[str] | None = None,
        actions: Sequence[str] | None = None,
        blocks: Iterable[Cid | str] | None = None,
        destinations: Iterable[str] | None = None,
    ) -> Published:
        """Pass a grant that you hold on to ``person``, as it is or narrower in whatever is given.

        Raises:
            NotFound: no such grant or person. Denied: it is another person's grant, it does not hold, or what is
            given is wider than it.
        """
        above, who = self.standing(grant), self.enrolled(person)
        if above.state not in (State.VALID, State.STALE, State.IDLE):
            raise Denied(f"the grant {above.cid} is {above.state}: {above.reason}")
        held = above.grant
        child = structs.replace(
            held,
            issuer=self.person,
            subject=who.fields.did,
            datasets=held.datasets if datasets is None else self._datasets(datasets),
            purposes=held.purposes if purposes is None else tuple(checked(each) for each in purposes),
            actions=held.actions if actions is None else _actions(actions),
            blocks=held.blocks if blocks is None else self._blocks(blocks),
            destinations=held.destinations if destinations is None else self._destinations(destinations),
            not_after=held.not_after if until is None else end_of(until),
            claims=(),
            parent=above.cid,
        )
        widened = widens(child, held)
        if widened:
            raise Denied(f"the grant {widened} than the one that it hangs on, {above.cid}")
        return self._issue(child, who)

    def revoke(self, grant: Cid | str, reason: str = "") -> int:
        """Revoke a grant of this site's data, or one that you attenuated; what hangs on it ends too, and for good.

        Every member sees the entry, so that ``reason`` should name nobody. The index of the entry.

        Raises:
            NotFound: no such grant. Denied: it is not for this site or person to revoke. Conflict: it was revoked
                before.
        """
        found = self.standing(grant)
        if found.state is State.REVOKED:
            raise Conflict(f"the grant …{str(found.cid)[-8:]} was revoked before: {found.reason}")
        issuer = self.person if found.grant.issuer == self.person else None
        return self._write("revoke", RevokeFields(grant=found.cid, reason=reason, issuer=issuer))

    def standings(self) -> tuple[Standing, ...]:
        """Every grant that this person may see, with how it stands."""
        ledger = _Listed(self.grants(), self.listed("revoke", RevokeFields))
        consortium, time = self._consortium(), now()
        members = {each.site: each for each in self.members() if not each.here}
        around = _Around(
            projects={(each.site, each.subject): each.fields for each in self.listed("project", ProjectFields)},
            approvals={(each.site, each.subject): each.fields for each in self.listed("approve", ApproveFields)},
            datasets={(each.site, each.fields.cid): each.fields for each in self.listed("dataset", DatasetFields)},
            people=frozenset(each.fields.did for each in self.people()),
            here=self.site,
        )
        return tuple(_standing(each, ledger, members, consortium, time, around) for each in ledger.grants)

    def standing(self, grant: Cid | str) -> Standing:
        """A grant by its CID or the last eight or more characters of it.

        Raises:
            NotFound: none that this person may see. BadInput: several end so.
        """
        named = str(grant)
        found = {each.cid: each for each in self.standings() if is_named(named, each.cid)}
        if len(found) > 1:
            raise BadInput(f"{len(found)} grants end in «{named}»; give more of the CID")
        if not found:
            raise NotFound(f"there is no grant «{named[:80]}» here, or none for you to see; see «comity grant list»")
        return next(iter(found.values()))

    def chain(self, grant: Cid | str) -> tuple[Standing, ...]:
        """A grant with what it hangs on, the owner's own first, as far as this person may see."""
        known = {each.cid: each for each in self.standings()}
        links = [self.standing(grant)]
        while (above := links[-1].grant.parent) is not None and above in known and len(links) < len(known):
            links.append(known[above])
        return tuple(reversed(links))

    def doubts(self, grant: Cid) -> tuple[str, ...]:
        """Why a grant that holds, or a part of it, is of no use to its person as things stand, and what to do."""
        found = self.standing(grant)
        if found.state is State.IDLE:
            return (found.reason,)
        ref = found.grant.project
        there = (each.fields for each in self.projects() if (each.site, each.fields.name) == (ref.site, ref.name))
        project = next(there, None)
        if project is None or not project.datasets:
            return ()
        names = {each.fields.cid: each.fields.name for each in self._published()}
        other = [names.get(cid, str(cid)) for cid in found.grant.datasets if cid not in project.datasets]
        return tuple(f"the project «{ref.name}» does not name «{name}»; {_ADD}" for name in other)

    def claim(
        self, person: str, type: str, value: str, *, source: str, until: Moment, identity: Identity | None = None
    ) -> int:
        """Say of ``person`` what a GA4GH visa of that type would say; for stewards. The index of the entry.

        With the type ``LinkedIdentities``, ``identity`` is an account that is the person's.

        Raises:
            NotFound: nobody of that name. BadInput: an unknown type. Denied: it is not for this site to say.
        """
        if type not in set(ClaimType):
            raise BadInput(f"«{type}» is no type of claim; there are: {', '.join(ClaimType)}")
        made = Claim(
            type=ClaimType(type),
            value=value,
            source=source,
            by="so",
            asserted=now() // 1000,
            identity=identity,
            not_after=end_of(until),
        )
        return self._claim(self.enrolled(person), made)

    def unclaim(self, person: str, type: str, value: str) -> int:
        """Say no more what :meth:`claim` or a visa said. The index of the entry.

        Raises:
            NotFound: nobody of that name, or nothing of the kind is said.
        """
        who = self.enrolled(person)
        said = self._said(who.fields.did)
        left = tuple(claim for claim in said if (claim.type, claim.value) != (type, value))
        if left == said:
            raise NotFound(f"this site does not say «{type} {value}» of {who.fields.name}")
        return self._write("claim", ClaimFields(person=who.fields.did, claims=left))

    def claims(self) -> tuple[Listing[ClaimFields], ...]:
        """What the members say of people, as far as this person may see."""
        return self.listed("claim", ClaimFields)

    def import_visa(
        self, token: bytes, issuers: bytes, person: str, *, project: str = "", until: Moment | None = None
    ) -> Published:
        """Read a GA4GH visa of ``person`` and say what it says, until it expires; for stewards.

        ``ControlledAccessGrants`` becomes a grant of the dataset that it names by name or CID, within ``project``,
        until its end or ``until`` if that is sooner; it counts while the person's home says that the visa's account
        is theirs. Every other type becomes a claim of this site.

        Raises:
            VerificationFailed: the visa is not what it claims to be, expired, or not of a listed issuer.
            Denied: the person's home site does not say that the account is theirs. NotFound: person or dataset.
            BadInput: the file of issuers, or no project where one is needed.
        """
        time = now()
        visa, who = read_visa(token, read_issuers(issuers), time), self.enrolled(person)
        claim = visa.claim
        binds = claim.type is ClaimType.IDENTITIES and who.site == self.site
        if not binds and not self._is_bound(who, visa, time):
            raise Denied(
                f"{who.site_name} does not say that the account {visa.identity.sub} at {visa.identity.iss} is "
                f"{who.fields.name}'s; a steward there can: «comity grant claim {who.fields.name} LinkedIdentities …»"
            )
        if claim.type is not ClaimType.ACCESS:
            return Published(cid_of(claim), f"{claim.type} {claim.value}", self._claim(who, claim))
        if not project:
            raise BadInput("this visa gives access to data, which is granted within a project: name it with --project")
        end = claim.not_after if until is None else min(claim.not_after, end_of(until))
        ends = datetime.fromtimestamp(end / 1000, UTC)
        return self.grant(person, project, [claim.value], until=ends, claims=[claim])

    def _is_bound(self, who: Listing[KeyFields], visa: Visa, time: int) -> bool:
        said = (each for each in self.listed("claim", ClaimFields) if each.site == who.site)
        return any(
            claim.type is ClaimType.IDENTITIES and claim.identity == visa.identity and time <= claim.not_after
            for each in said
            if each.fields.person == who.fields.did
            for claim in each.fields.claims
        )

    def _said(self, person: str) -> tuple[Claim, ...]:
        ours = (each.fields for each in self.listed("claim", ClaimFields) if each.site == self.site)
        return next((fields.claims for fields in ours if fields.person == person), ())

    def _claim(self, who: Listing[KeyFields], claim: Claim) -> int:
        others = (each for each in self._said(who.fields.did) if (each.type, each.value) != (claim.type, claim.value))
        said = tuple(each for each in others if each.not_after > now())
        return self._write("claim", readable(ClaimFields(person=who.fields.did, claims=(*said, claim))))

    def _issue(self, grant: Grant, who: Listing[KeyFields]) -> Published:
        """Sign and publish it for the owner, the person's home, the project's site, the destinations, and those who
        decide by it on shared data.
        """
        fields = GrantFields(grant=signed(readable(grant), self._signer()))
        places = {site_of(reader) for reader in grant.destinations} | self._deciding(grant)
        seen_by = {grant.site, who.site, grant.project.site, *places} - {self.site}
        index = self._write("grant", fields, audience=tuple(sorted(seen_by)))
        return Published(cid_of(fields.grant), f"{who.fields.name}: {grant.project.name}", index)

    def _deciding(self, grant: Grant) -> set[str]:
        """The members that decide by ``grant`` on shared data in it: who computes on them, and who keeps the key."""
        named = (each.fields for each in self._published() if each.site == grant.site)
        shared = [fields for fields in named if fields.level is Level.SHARED and fields.cid in grant.datasets]
        readers = {site_of(each) for fields in shared for each in fields.label.owners.get(grant.site, ())}
        return readers.union(*(fields.custodians for fields in shared))

    def _datasets(self, names: Iterable[Cid | str]) -> tuple[Cid, ...]:
        return tuple(sorted({self.dataset(each).fields.cid for each in names}))

    def _blocks(self, names: Iterable[Cid | str]) -> tuple[Cid, ...]:
        return tuple(sorted({self.block_entry(each).fields.cid for each in names}))

    def _destinations(self, names: Iterable[str]) -> tuple[Reader, ...]:
        return tuple(sorted({self.member(each).site for each in names}))

    def _consortium(self) -> Cid:
        named = self.status().consortium_cid
        if named is None:
            raise Conflict("this site is in no consortium yet; see «comity consortium show»")
        return Cid.parse(named)


class _Listed:
    """Grants and revocations as the node lists them."""

    def __init__(self, grants: Sequence[Listing[GrantFields]], revoked: Sequence[Listing[RevokeFields]]) -> None:
        self.grants = grants
        self._held: dict[Cid, list[Held]] = {}
        for each in grants:
            self._held.setdefault(each.fields.cid, []).append(Held(each.fields.grant, each.site))
        self._revoked = {(each.fields.subject, each.site): each.fields.reason for each in revoked}

    def held(self, grant: Cid) -> Sequence[Held]:
        """Every place where the grant counts."""
        return self._held.get(grant, [])

    def revoked(self, grant: Cid, issuer: str, site: str) -> str | None:
        """The reason for which the log of ``site`` revokes it."""
        words = (self._revoked.get((subject_of(grant, by), site)) for by in (None, issuer))
        return next((reason for reason in words if reason is not None), None)


@dataclass(frozen=True, slots=True)
class _Around:
    """What a grant needs to be of use: by site and subject, as far as this person may see; ``here`` is this site."""

    projects: Mapping[tuple[str, str], ProjectFields]
    approvals: Mapping[tuple[str, str], ApproveFields]
    datasets: Mapping[tuple[str, Cid], DatasetFields]
    people: frozenset[str]
    here: str

    def idle(self, each: Listing[GrantFields], time: int) -> str:
        """Why nobody can use a grant that holds; empty if its person can, or if what it needs is not to be seen."""
        grant, ref = each.fields.grant, each.fields.grant.project
        project = self.projects.get((ref.site, ref.name))
        checks = (
            (each.left, "its site left the consortium"),
            (grant.subject not in self.people, "its person's key is not enrolled any more: grant to their key of now"),
            (self._gone(grant), "its data are published no more"),
            (project is not None and project.over(time), f"the project «{ref.name}» has ended"),
        )
        told = next((why for holds, why in checks if holds), "")
        return told or ("" if project is None else self._unfit(grant, project))

    def _unfit(self, grant: Grant, project: ProjectFields) -> str:
        """What keeps a project that has not ended from using a grant."""
        if grant.subject not in project.people:
            return (
                f"its person is not in the project «{project.name}»; a steward of the project's site can add them"
                " (comity project new, with the project's name and all that stays)"
            )
        if project.datasets and not set(grant.datasets) & set(project.datasets):
            return f"the project «{project.name}» is for other data; {_ADD}"
        ref = grant.project
        return "" if ref.site == grant.site else unapproved(project, self.approvals.get((grant.site, ref.subject)))

    def _gone(self, grant: Grant) -> bool:
        """Whether all its data were withdrawn, or were this site's and erased."""
        found = [self.datasets.get((grant.site, cid)) for cid in grant.datasets]
        return all(each.withdrawn if each is not None else grant.site == self.here for each in found)


def _standing(
    each: Listing[GrantFields],
    ledger: _Listed,
    members: Mapping[str, MemberView],
    consortium: Cid,
    time: int,
    around: _Around,
) -> Standing:
    cid, grant = each.fields.cid, each.fields.grant
    state, reason = State.VALID, ""
    revoked = revocation(ledger, cid)
    try:
        logs = chain_of(ledger, cid, consortium, whole=False).logs | {grant.site}
        reason = _overdue([members[site] for site in logs if site in members])
        state = State.STALE if reason else State.VALID
    except (Denied, VerificationFailed) as error:
        state, reason = State.INVALID, str(error)
    if revoked is not None:
        state, reason = State.REVOKED, revoked or "no reason was given"
    elif state is not State.INVALID and time > grant.not_after:
        state, reason = State.EXPIRED, "its time is over"
    elif state is not State.INVALID and (idle := around.idle(each, time)):
        state, reason = State.IDLE, idle
    return Standing(cid, grant, each.site, each.site_name, each.index, state, reason)


def _overdue(sites: Iterable[MemberView]) -> str:
    """Why nothing is computed now on the word of ``sites``; empty if it is."""
    others = list(sites)
    stopped = next((each.stopped for each in others if each.stopped), "")
    return stopped or overdue("compute", {each.name: each.heard for each in others})


def _actions(names: Sequence[str]) -> tuple[Action, ...]:
    unknown = next((name for name in names if name not in set(Action)), None)
    if unknown is not None:
        raise BadInput(f"«{unknown}» is no action; use see, fetch, compute, release")
    return tuple(Action(name) for name in names)
