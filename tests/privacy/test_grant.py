"""Chains of grants: if one of these fails, somebody reaches data that no steward of their owner gave them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from catalog.body import Body, write_body
from catalog.cid import Cid
from catalog.claim import Claim, ClaimFields, ClaimType, Identity
from catalog.dagcbor import Value, cid_of
from catalog.error import Denied
from catalog.grant import Action, Grant, GrantFields
from catalog.index import Index, SiteIndex
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.project import ProjectRef
from catalog.revoke import RevokeFields
from privacy.claim import claim_facts
from privacy.disease import standard
from privacy.grant import Chain, Held, Logs, Wanted, chain_of, covering, covers, named_by, revocation, widens
from privacy.modifier import IS, PS, US

_SEEDS = count(1)
OWNER, HOME, OTHER, OWNERS_STEWARD, HOMES_STEWARD, OTHERS_STEWARD, *PEOPLE = (
    PrivateKey(bytes([next(_SEEDS)]) * 32) for _ in range(11)
)
ANNA, MARA, NILS, OLGA, PIET = PEOPLE
CONSORTIUM, ELSEWHERE = Cid.of(b"ours"), Cid.of(b"theirs")
DATA, MORE, BLOCK, BLOCK_2 = (Cid.of(each) for each in (b"data", b"more", b"block", b"block 2"))
HMB, GRU, BREAST = "DUO:0000006", "DUO:0000042", "DUO:0000007/MONDO:0007254"
PROJECT = ProjectRef(site=HOME.did, name="trial")
NOW, LATER, LAST = 1_000, 2_000, 3_000
SUB = Identity(iss="https://login.example.org/", sub="mara-17")


def claim(type: ClaimType = ClaimType.TERMS, value: str = "https://example.org/terms", **changes: object) -> Claim:
    whole = Claim(type=type, value=value, source="https://s", by="so", asserted=1, identity=None, not_after=LAST)
    return structs.replace(whole, **changes)


ROOT = Grant(
    consortium=CONSORTIUM,
    issuer=OWNERS_STEWARD.did,
    site=OWNER.did,
    subject=ANNA.did,
    project=PROJECT,
    claims=(claim(),),
    datasets=(DATA, MORE),
    purposes=(HMB, BREAST),
    actions=(Action.SEE, Action.COMPUTE, Action.RELEASE),
    blocks=(BLOCK, BLOCK_2),
    destinations=(HOME.did, OTHER.did),
    not_after=LAST,
    parent=None,
    sig=UNSIGNED,
)


class World:
    """Three members' logs, as everybody sees them."""

    def __init__(self) -> None:
        self.index = Index([OWNER.did, HOME.did, OTHER.did])
        self.bodies: dict[str, list[tuple[str, Body]]] = {site.did: [] for site in (OWNER, HOME, OTHER)}
        for site, steward in ((OWNER, OWNERS_STEWARD), (HOME, HOMES_STEWARD), (OTHER, OTHERS_STEWARD)):
            assert self.enrol(site, steward, Role.STEWARD, by=site)
        for person in (ANNA, MARA, NILS, OLGA, PIET):
            assert self.enrol(HOME, person, Role.RESEARCHER)

    def add(self, site: PrivateKey, kind: str, subject: str, fields: Value, by: PrivateKey) -> bool:
        """Write an entry; whether it counts."""
        log = self.index.site(site.did)
        latest = log.latest(kind, subject)
        body = write_body(
            kind, fields, site=site.did, at=1, by=by, previous=latest.index if latest is not None else None
        )
        self.bodies[site.did].append((kind, body))
        return log.add(log.size, kind, body) is not None

    def enrol(
        self, site: PrivateKey, key: PrivateKey, role: Role, by: PrivateKey | None = None, removed: bool = False
    ) -> bool:
        stewards = {OWNER.did: OWNERS_STEWARD, HOME.did: HOMES_STEWARD, OTHER.did: OTHERS_STEWARD}
        fields = KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), removed=removed)
        return self.add(site, "key", key.did, fields, by or stewards[site.did])

    def grant(self, grant: Grant, by: PrivateKey, at: PrivateKey = HOME, signer: PrivateKey | None = None) -> Cid:
        """Sign a grant and write it; its CID, whether or not it counts."""
        made = signed(grant, signer or by)
        self.add(at, "grant", str(cid_of(made)), GrantFields(grant=made), by)
        return cid_of(made)

    def root(self, **changes: object) -> Cid:
        return self.grant(structs.replace(ROOT, **changes), OWNERS_STEWARD, OWNER)

    def revoke(self, grant: Cid, at: PrivateKey, by: PrivateKey, issuer: PrivateKey | None = None) -> bool:
        """By a steward, or by ``issuer`` in whose name ``by`` signs."""
        fields = RevokeFields(grant=grant, reason="it is over", issuer=issuer.did if issuer else None)
        return self.add(at, "revoke", fields.subject, fields, by)

    def say(self, site: PrivateKey, person: PrivateKey, *claims: Claim, by: PrivateKey) -> bool:
        return self.add(site, "claim", person.did, ClaimFields(person=person.did, claims=claims), by)

    def given(self, cited: Cid, subject: PrivateKey, **changes: object) -> tuple[Chain | None, str]:
        wanted = Wanted(
            owner=OWNER.did,
            subject=subject.did,
            project=PROJECT,
            dataset=DATA,
            purpose=HMB,
            action=Action.COMPUTE,
            block=BLOCK,
            destinations=frozenset({HOME.did}),
        )
        now = changes.pop("now", NOW)
        assert isinstance(now, int)
        return covering(
            self.index,
            [cited],
            dataclasses.replace(wanted, **changes),  # type: ignore[arg-type]
            consortium=CONSORTIUM,
            home=HOME.did,
            diseases=standard(),
            now=now,
        )

    def reason(self, cited: Cid, subject: PrivateKey, **changes: object) -> str:
        chain, reason = self.given(cited, subject, **changes)
        assert bool(reason) is (chain is None)
        return reason


def below(parent: Cid, issuer: PrivateKey, subject: PrivateKey, **changes: object) -> Grant:
    """What ``issuer`` passes on of ROOT's terms."""
    return structs.replace(ROOT, issuer=issuer.did, subject=subject.did, parent=parent, **changes)


def chain_in(world: World, people: Sequence[PrivateKey], **changes: object) -> list[Cid]:
    """A chain from the owner to the last of ``people``; the CIDs of its links."""
    made = [world.root(subject=people[0].did)]
    for issuer, subject in pairwise(people):
        made.append(world.grant(below(made[-1], issuer, subject, **changes), issuer))
    return made


def test_what_the_owner_grants_and_what_its_holder_passes_on_hold() -> None:
    world = World()
    links = chain_in(world, [ANNA, MARA, NILS, OLGA])
    for cited, subject in zip(links, [ANNA, MARA, NILS, OLGA], strict=True):
        chain, reason = world.given(cited, subject)
        assert not reason
        assert chain is not None
        assert [cid_of(link.grant) for link in chain.links] == list(reversed(links[: links.index(cited) + 1]))
        assert chain.logs <= {OWNER.did, HOME.did}
        assert OWNER.did in chain.logs


def test_a_fifth_link_does_not_hold() -> None:
    world = World()
    links = chain_in(world, [ANNA, MARA, NILS, OLGA, PIET])
    assert "more than 3 others" in world.reason(links[-1], PIET)


@pytest.mark.parametrize(
    "asked",
    [
        {"project": ProjectRef(site=HOME.did, name="other")},
        {"dataset": Cid.of(b"a third")},
        {"purpose": GRU},
        {"action": Action.FETCH},
        {"block": Cid.of(b"another")},
        {"block": None},
        {"destinations": frozenset({OWNER.did})},
        {"now": LAST + 1},
        {"owner": HOME.did},
    ],
)  # fmt: skip
def test_a_grant_covers_what_it_names_and_nothing_else(asked: dict[str, object]) -> None:
    world = World()
    cited = world.root()
    assert not world.reason(cited, ANNA)
    assert world.reason(cited, ANNA, **asked)
    assert "another person" in world.reason(cited, MARA)


def test_a_grants_purposes_cover_what_duo_puts_below_them() -> None:
    world = World()
    cited = world.root(purposes=("DUO:0000007/MONDO:0004992",))
    assert not world.reason(cited, ANNA, purpose=BREAST)
    assert "purpose" in world.reason(cited, ANNA, purpose=HMB)
    assert "purpose" in world.reason(cited, ANNA, purpose="DUO:0000007/MONDO:0005015")


WIDER: dict[str, dict[str, object]] = {
    "datasets": {"datasets": (DATA, MORE, Cid.of(b"a third"))},
    "purposes": {"purposes": (HMB, BREAST, GRU)},
    "actions": {"actions": (*ROOT.actions, Action.FETCH)},
    "blocks": {"blocks": (BLOCK, Cid.of(b"another"))},
    "any block": {"blocks": ()},
    "destinations": {"destinations": (HOME.did, OWNER.did)},
    "any destination": {"destinations": ()},
    "claims": {"claims": (claim(), claim(value="https://example.org/more"))},
    "a longer claim": {"claims": (claim(not_after=LAST + 1),)},
    "a day more": {"not_after": LAST + 1},
    "project": {"project": ProjectRef(site=HOME.did, name="other")},
    "another owner": {"site": OTHER.did},
    "another consortium": {"consortium": ELSEWHERE},
}


@pytest.mark.parametrize("what", WIDER)
def test_whoever_passes_a_grant_on_adds_nothing_to_it(what: str) -> None:
    world = World()
    root = world.root()
    child = below(root, ANNA, MARA, **WIDER[what])
    assert widens(child, ROOT)
    asked: dict[str, object] = {"owner": OTHER.did} if what == "another owner" else {}
    asked |= {"project": child.project}
    assert world.reason(world.grant(child, ANNA), MARA, **asked)
    assert not widens(below(root, ANNA, MARA), ROOT)


@pytest.mark.parametrize("what", WIDER)
def test_nor_does_whoever_passes_it_on_after_them(what: str) -> None:
    """Else the first link that narrows could be undone by the next one."""
    world = World()
    top = world.root()
    wide = world.grant(below(top, ANNA, MARA, **WIDER[what]), ANNA)
    last = world.grant(below(wide, MARA, NILS), MARA)
    assert world.reason(last, NILS)


def test_only_its_holder_passes_a_grant_on() -> None:
    world = World()
    root = world.root()
    assert "by another person" in world.reason(world.grant(below(root, NILS, MARA), NILS), MARA)
    assert "by another person" in world.reason(
        world.grant(below(root, OWNERS_STEWARD, MARA), OWNERS_STEWARD, OWNER), MARA
    )


def test_a_grant_signed_by_another_key_than_its_issuers_does_not_hold() -> None:
    """The entry is the issuer's own, and the grant in it was signed by somebody else."""
    world = World()
    forged = world.grant(ROOT, OWNERS_STEWARD, OWNER, signer=MARA)
    assert "signature" in world.reason(forged, ANNA)
    root = world.root()
    assert "signature" in world.reason(world.grant(below(root, ANNA, MARA), ANNA, signer=MARA), MARA)


def test_an_entry_by_another_than_the_issuer_does_not_count() -> None:
    world = World()
    root = world.root()
    child = signed(below(root, ANNA, MARA), ANNA)
    assert not world.add(HOME, "grant", str(cid_of(child)), GrantFields(grant=child), MARA)
    assert "no grant" in world.reason(cid_of(child), MARA)


@pytest.mark.parametrize(("at", "by"), [(HOME, HOMES_STEWARD), (OTHER, OTHERS_STEWARD), (OWNER, MARA), (HOME, ANNA)])
def test_nobody_but_the_owners_stewards_grants_its_data(at: PrivateKey, by: PrivateKey) -> None:
    """A home site's word never grants another's data, nor does a researcher's at the owner."""
    world = World()
    if at is OWNER:
        assert world.enrol(OWNER, MARA, Role.RESEARCHER)
    cited = world.grant(structs.replace(ROOT, issuer=by.did), by, at)
    assert "no grant" in world.reason(cited, ANNA)


def test_a_steward_who_was_removed_granted_what_they_granted_before() -> None:
    world = World()
    before = world.root()
    assert world.enrol(OWNER, OWNERS_STEWARD, Role.STEWARD, by=OWNER, removed=True)
    after = world.root(datasets=(DATA,))
    assert not world.reason(before, ANNA)
    assert "no grant" in world.reason(after, ANNA)


def test_a_grant_of_another_consortium_does_not_count() -> None:
    world = World()
    assert "another consortium" in world.reason(world.root(consortium=ELSEWHERE), ANNA)


@pytest.mark.parametrize("revoked", range(4))
def test_a_link_that_the_owner_revokes_ends_all_that_hang_on_it(revoked: int) -> None:
    world = World()
    people = [ANNA, MARA, NILS, OLGA]
    links = chain_in(world, people)
    assert world.revoke(links[revoked], OWNER, OWNERS_STEWARD)
    for place, (cited, subject) in enumerate(zip(links, people, strict=True)):
        assert ("it is over" in world.reason(cited, subject)) is (place >= revoked)
        assert (revocation(Logs(world.index), cited) is not None) is (place >= revoked)


def test_whoever_passed_a_grant_on_takes_it_back_and_no_other() -> None:
    world = World()
    links = chain_in(world, [ANNA, MARA, NILS])
    assert not world.revoke(links[1], HOME, NILS)  # as a steward
    assert not world.revoke(links[1], HOME, NILS, issuer=ANNA)
    assert world.revoke(links[1], HOME, NILS, issuer=NILS)  # who issued none that is called so
    assert world.revoke(links[0], HOME, ANNA, issuer=ANNA)  # the owner's own
    assert not world.reason(links[2], NILS)
    assert world.revoke(links[1], HOME, ANNA, issuer=ANNA)
    assert "revoked" in world.reason(links[1], MARA)
    assert "revoked" in world.reason(links[2], NILS)
    assert not world.reason(links[0], ANNA)


def test_a_strangers_word_takes_the_place_of_no_revocation() -> None:
    """Lost: whoever may write revocations at all brings a revoked grant back to life."""
    world = World()
    links = chain_in(world, [ANNA, MARA, NILS])
    assert world.revoke(links[1], HOME, PIET, issuer=PIET)
    assert world.revoke(links[1], HOME, ANNA, issuer=ANNA)
    assert world.revoke(links[1], HOME, PIET, issuer=PIET)
    assert "revoked" in world.reason(links[2], NILS)


def test_a_revocation_counts_for_who_may_not_see_the_grant_too() -> None:
    """Lost: a member outside the grant's audience, or one that came after its erasure, takes it for forged."""
    world = World()
    links = chain_in(world, [ANNA, MARA])
    assert world.revoke(links[1], HOME, ANNA, issuer=ANNA)
    log, later = world.index.site(HOME.did), SiteIndex(HOME.did)
    for place, (kind, body) in enumerate(world.bodies[HOME.did]):
        later.add(place, kind, None if kind == "grant" else body)
    assert not later.faults
    assert list(later.entries("revoke")) == list(log.entries("revoke"))


def test_another_sites_revocation_counts_for_nothing() -> None:
    """Else any member could end any grant."""
    world = World()
    links = chain_in(world, [ANNA, MARA])
    assert world.revoke(links[1], OTHER, OTHERS_STEWARD)
    assert world.revoke(links[0], OTHER, OTHERS_STEWARD)
    assert world.revoke(links[0], HOME, HOMES_STEWARD)
    assert not world.reason(links[1], MARA)
    assert world.revoke(links[1], HOME, HOMES_STEWARD)  # where it was passed on
    assert "revoked" in world.reason(links[1], MARA)


def test_a_grant_that_comes_back_to_itself_ends() -> None:
    """A real CID cannot; a store that lies must not make the walk endless."""
    here = signed(below(DATA, ANNA, ANNA), ANNA)

    class Circle:
        def held(self, _grant: Cid) -> Sequence[Held]:
            return [Held(here, HOME.did)]

        def revoked(self, _grant: Cid, _issuer: str, _site: str) -> str | None:
            return None

    with pytest.raises(Denied, match="more than 3 others"):
        chain_of(Circle(), DATA, CONSORTIUM)
    assert revocation(Circle(), DATA) is None


def test_a_chain_that_is_not_all_to_be_seen_does_not_hold() -> None:
    world = World()
    links = chain_in(world, [ANNA, MARA])
    elsewhere = Index([HOME.did])
    elsewhere.replace(world.index.site(HOME.did))
    with pytest.raises(Denied, match="none for this site to see"):
        chain_of(Logs(elsewhere), links[1], CONSORTIUM)
    assert len(chain_of(Logs(elsewhere), links[1], CONSORTIUM, whole=False).links) == 1


def test_institutions_are_named_where_the_persons_own_is_among_the_destinations() -> None:
    assert named_by(ROOT, HOME.did) == {US, PS, IS}
    assert named_by(ROOT, OWNER.did) == {US, PS}
    assert named_by(structs.replace(ROOT, destinations=()), HOME.did) == {US, PS}


# --- claims ----------------------------------------------------------------------------------------------------------


def facts(world: World, person: PrivateKey, *granted: Claim, now: int = NOW) -> frozenset[str]:
    home, owner = world.index.site(HOME.did), world.index.site(OWNER.did)
    return claim_facts(home, owner, person.did, now, granted)


def test_each_site_says_what_is_its_to_say() -> None:
    """The authority table: the home speaks of its people, the owner of its terms, and access is granted."""
    world = World()
    said = [claim(each, str(each)) for each in ClaimType]
    assert world.say(HOME, MARA, *said, by=HOMES_STEWARD)
    assert facts(world, MARA) == {f"{t} {t}" for t in ClaimType if t is not ClaimType.ACCESS}
    assert facts(world, NILS) == frozenset()
    world = World()
    assert world.say(OWNER, MARA, *said, by=OWNERS_STEWARD)
    assert facts(world, MARA) == {f"{ClaimType.TERMS} {ClaimType.TERMS}"}
    world = World()
    assert world.say(OTHER, MARA, *said, by=OTHERS_STEWARD)
    assert facts(world, MARA) == frozenset()
    granted = {f"{t} {t}" for t in (ClaimType.TERMS, ClaimType.ACCESS)}
    assert facts(world, MARA, *said) == granted
    assert not world.say(HOME, MARA, *said, by=MARA)


def test_claims_end_and_are_taken_back() -> None:
    world = World()
    assert world.say(HOME, MARA, claim(not_after=NOW), claim(value="b"), by=HOMES_STEWARD)
    assert len(facts(world, MARA)) == 2
    assert facts(world, MARA, now=NOW + 1) == {f"{ClaimType.TERMS} b"}
    assert world.say(HOME, MARA, by=HOMES_STEWARD)
    assert facts(world, MARA) == frozenset()


def test_a_home_that_removed_a_key_says_nothing_of_it() -> None:
    world = World()
    assert world.say(HOME, MARA, claim(), by=HOMES_STEWARD)
    assert world.enrol(HOME, MARA, Role.RESEARCHER, removed=True)
    assert facts(world, MARA) == frozenset()


BOUND = claim(ClaimType.IDENTITIES, "linked", identity=SUB)


def test_a_visa_counts_for_whom_the_home_site_says_it_is() -> None:
    world = World()
    visa = claim(ClaimType.RESEARCHER, "https://example.org/bona-fide", identity=SUB)
    assert world.say(HOME, MARA, visa, by=HOMES_STEWARD)
    assert world.say(OWNER, MARA, BOUND, by=OWNERS_STEWARD)  # the owner has no word in whose account it is
    assert facts(world, MARA) == frozenset()
    other = structs.replace(BOUND, identity=Identity(iss=SUB.iss, sub="nils-3"))
    assert world.say(HOME, MARA, visa, other, by=HOMES_STEWARD)
    assert f"{visa.type} {visa.value}" not in facts(world, MARA)
    assert world.say(HOME, MARA, visa, BOUND, by=HOMES_STEWARD)
    assert f"{visa.type} {visa.value}" in facts(world, MARA)


def test_a_grant_made_of_a_visa_ends_with_the_binding_and_with_the_visa() -> None:
    """For its holder, and for everybody to whom it was passed on."""
    world = World()
    access = claim(ClaimType.ACCESS, str(DATA), identity=SUB, not_after=LATER)
    root = world.root(claims=(access,))
    child = world.grant(below(root, ANNA, MARA, claims=()), ANNA)
    assert "does not say is theirs" in world.reason(root, ANNA)
    assert "does not say is theirs" in world.reason(child, MARA)
    assert world.say(HOME, ANNA, BOUND, by=HOMES_STEWARD)
    assert not world.reason(root, ANNA)
    assert not world.reason(child, MARA)
    assert "is over" in world.reason(root, ANNA, now=LATER + 1)
    assert "is over" in world.reason(child, MARA, now=LATER + 1)
    assert world.say(HOME, ANNA, by=HOMES_STEWARD)
    assert world.reason(child, MARA)


# --- attenuation, at large -------------------------------------------------------------------------------------------

_CIDS = [DATA, MORE, BLOCK, BLOCK_2]
_SITES = [OWNER.did, HOME.did, OTHER.did]
_PURPOSES = [HMB, GRU, BREAST, "DUO:0000007/MONDO:0004992"]


def some(of: Sequence[object], least: int) -> st.SearchStrategy[tuple[object, ...]]:
    return st.sets(st.sampled_from(of), min_size=least).map(lambda found: tuple(sorted(found)))  # type: ignore[type-var]


GRANTS: st.SearchStrategy[Callable[[Grant], Grant]] = st.fixed_dictionaries(
    {
        "datasets": some(_CIDS, 1),
        "purposes": some(_PURPOSES, 1),
        "actions": some(list(Action), 1),
        "blocks": some(_CIDS, 0),
        "destinations": some(_SITES, 0),
        "not_after": st.integers(0, 5),
    }
).map(lambda fields: lambda grant: structs.replace(grant, **fields))

WANTED = st.builds(
    Wanted,
    owner=st.just(OWNER.did),
    subject=st.just(MARA.did),
    project=st.just(PROJECT),
    dataset=st.sampled_from(_CIDS),
    purpose=st.sampled_from(_PURPOSES),
    action=st.sampled_from(Action),
    block=st.sampled_from([*_CIDS, None]),
    destinations=st.frozensets(st.sampled_from(_SITES)),
)


@given(GRANTS, GRANTS, WANTED, st.integers(0, 6))
@settings(max_examples=500)
def test_what_attenuates_a_grant_never_covers_more(
    first: Callable[[Grant], Grant], second: Callable[[Grant], Grant], wanted: Wanted, now: int
) -> None:
    """Whatever the two say: if the second counts as narrower, all that it covers the first one covers."""
    parent = structs.replace(first(ROOT), subject=MARA.did)
    child = second(below(DATA, MARA, MARA))
    if not widens(child, parent) and not covers(child, wanted, standard(), now):
        assert not covers(parent, wanted, standard(), now)


@given(GRANTS, st.data(), WANTED, st.integers(0, 6))
def test_a_narrower_grant_is_found_narrower(
    first: Callable[[Grant], Grant], data: st.DataObject, wanted: Wanted, now: int
) -> None:
    """The same, for a child drawn from its parent's own sets, so that the rule is put to the test and not passed by."""
    parent = structs.replace(first(ROOT), subject=MARA.did)
    child = structs.replace(
        below(DATA, MARA, MARA),
        datasets=data.draw(some(parent.datasets, 1)),
        purposes=data.draw(some(parent.purposes, 1)),
        actions=data.draw(some(parent.actions, 1)),
        blocks=data.draw(some(parent.blocks, 1)) if parent.blocks else data.draw(some(_CIDS, 0)),
        destinations=data.draw(some(parent.destinations, 1)) if parent.destinations else data.draw(some(_SITES, 0)),
        not_after=data.draw(st.integers(0, parent.not_after)),
    )
    assert not widens(child, parent)
    if not covers(child, wanted, standard(), now):
        assert not covers(parent, wanted, standard(), now)
