"""Projects: who may act in one, and whose data may be used in it."""

import pytest
from msgspec import structs

from catalog.approve import ApproveFields
from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.entry import KINDS
from catalog.error import Denied
from catalog.index import Index
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.project import ProjectFields, ProjectRef
from privacy.trust import approved, person_at, project_of

ANNA, BRUNO, ANNAS, BRUNOS, MARA = (PrivateKey(bytes([number]) * 32) for number in range(1, 6))
REF = ProjectRef(site=ANNA.did, name="trial")
FIELDS = ProjectFields(name="trial", people={MARA.did: bytes(32)}, purpose="DUO:0000006", datasets=(), not_after=100)


class World:
    """Anna's site runs the project; Bruno's is asked for its data."""

    def __init__(self, project=FIELDS):
        self.index = Index([ANNA.did, BRUNO.did])
        self.write(ANNA, "key", key(ANNAS, Role.STEWARD), ANNA)
        self.write(BRUNO, "key", key(BRUNOS, Role.STEWARD), BRUNO)
        self.write(ANNA, "key", key(MARA, Role.RESEARCHER), ANNAS)
        if project is not None:
            self.write(ANNA, "project", project, ANNAS)

    def write(self, site, kind, fields, by):
        index = self.index.site(site.did)
        latest = index.latest(kind, KINDS[kind].subject(fields))
        body = write_body(kind, fields, site=site.did, at=1, by=by, previous=latest.index if latest else None)
        return index.add(index.size, kind, body) is not None

    def approve(self, by=BRUNOS, site=BRUNO, project=FIELDS, withdrawn=False):
        return self.write(site, "approve", ApproveFields.of(REF, project, withdrawn=withdrawn), by)


def key(who, role):
    return KeyFields(did=who.did, role=role, name="Somebody", x25519=bytes(32))


def test_an_owners_data_are_used_only_once_the_owner_approved_the_project():
    """Lost: a site draws another's data into a project that it never heard of."""
    world = World()
    assert "was not approved" in approved(world.index, REF, BRUNO.did)
    assert "comity project approve trial" in approved(world.index, REF, BRUNO.did)
    assert world.approve()
    assert approved(world.index, REF, BRUNO.did) == ""


def test_the_site_that_runs_a_project_approves_it_by_writing_it():
    assert approved(World().index, REF, ANNA.did) == ""


def test_a_project_that_does_not_stand_is_approved_by_nobody():
    assert "no project" in approved(World(None).index, REF, ANNA.did)
    assert "no project" in approved(World().index, structs.replace(REF, site=MARA.did), BRUNO.did)


@pytest.mark.parametrize(
    "change",
    [
        {"purpose": "DUO:0000042"},
        {"not_after": 101},
        {"members": (BRUNO.did,)},
        {"undertakings": ("DUO:0000019",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_changed_terms_need_a_new_approval(change):
    """Lost: a project is approved and then made another."""
    world = World()
    world.approve()
    changed = structs.replace(FIELDS, **change)
    assert world.write(ANNA, "project", changed, ANNAS)
    assert "changed since" in approved(world.index, REF, BRUNO.did)
    assert world.approve(project=changed)
    assert approved(world.index, REF, BRUNO.did) == ""


def test_who_joins_needs_a_new_approval_and_who_leaves_none():
    """Lost: one person who is erased stops a project for everybody; or one who joins reaches what nobody approved."""
    both = structs.replace(FIELDS, people={MARA.did: b"m" * 32, ANNAS.did: b"a" * 32})
    world = World(both)
    world.approve(project=both)
    alone = structs.replace(both, people={MARA.did: b"m" * 32})
    assert world.write(ANNA, "project", alone, ANNAS)
    assert approved(world.index, REF, BRUNO.did) == ""
    for people in ({MARA.did: b"m" * 32, BRUNOS.did: b"b" * 32}, {BRUNOS.did: b"m" * 32}, {MARA.did: b"x" * 32}):
        assert world.write(ANNA, "project", structs.replace(both, people=people), ANNAS)
        assert "joined" in approved(world.index, REF, BRUNO.did)
    assert world.write(ANNA, "project", both, ANNAS)  # whom this very approval names
    assert approved(world.index, REF, BRUNO.did) == ""
    assert world.approve(project=alone)
    assert "joined" in approved(world.index, REF, BRUNO.did)


def test_an_approval_names_nobody():
    """Lost: the key of somebody who was erased can be found, by who knows it, in what every member approved."""
    salted = structs.replace(FIELDS, people={MARA.did: b"1" * 32})
    approval, other = (
        ApproveFields.of(REF, each) for each in (salted, structs.replace(FIELDS, people={MARA.did: b"2" * 32}))
    )
    assert MARA.did.encode() not in encode(approval)
    assert not set(approval.people) & set(other.people)


def test_an_approval_that_was_withdrawn_counts_no_more():
    world = World()
    world.approve()
    assert world.approve(withdrawn=True)
    assert "withdrew" in approved(world.index, REF, BRUNO.did)


def test_only_a_steward_of_the_owner_approves_in_the_owners_log():
    """Lost: the site that wants the data approves for the one that has them."""
    world = World()
    assert not world.approve(by=ANNAS)
    assert not world.approve(by=MARA)
    assert world.approve(by=ANNAS, site=ANNA)
    assert "was not approved" in approved(world.index, REF, BRUNO.did)


def test_nobody_acts_in_a_project_that_has_ended_by_word_or_by_time():
    """Lost: access outlives the permit."""
    world = World()
    mara = person_at(world.index, MARA.did, ANNA.did)
    assert project_of(world.index, REF, mara, 100) == FIELDS
    with pytest.raises(Denied, match="has ended"):
        project_of(world.index, REF, mara, 101)
    assert world.write(ANNA, "project", structs.replace(FIELDS, ended=True), ANNAS)
    with pytest.raises(Denied, match="has ended"):
        project_of(world.index, REF, mara, 1)
