"""What stewards do with projects, and what they take back: signed by the client, taken by a site's real index."""

from __future__ import annotations

import pytest
import trio
from msgspec import structs

from catalog.body import fields_of, write_body
from catalog.certificate import CertificateFields
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.entry import KINDS
from catalog.error import BadInput, Conflict, Denied, NotFound
from catalog.index import SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.project import ProjectFields, ProjectRef
from catalog.withdraw import WithdrawFields
from node.api import forgetting
from node.api.approving import LEFT
from node.api.client import Node
from node.api.operation import Operation
from node.api.publish import now
from node.api.schema import FormerView
from node.keyfile import Identity
from node.site.views import entry_view
from privacy.purpose import HMB
from tests.node.api.double import AWAY, MemorySite


class Direct:
    """The connection of ``who`` to a site in memory, and to another member's catalog beside it."""

    def __init__(self, site: MemorySite, who: Identity, other: SiteIndex) -> None:
        self.person = who.key
        self._site, self._other = site, other

    def status(self) -> object:
        return trio.run(self._site.status)

    def ask(self, operation: Operation[object], request: Value | None = None, **parameters: str) -> object:
        values = [*parameters.values(), *([] if request is None else [request])]
        asker = [self.person.did] if operation.person else []

        async def answer() -> object:
            return await getattr(self._site, operation.name)(*asker, *values)

        found = trio.run(answer)
        if operation.name == "entries":
            views = (entry_view(entry, {AWAY.did: "Away"}) for entry in self._other.entries(parameters["kind"]))
            return (*found, *views)  # type: ignore[misc]
        return found


class Away:
    """The other member's catalog."""

    def __init__(self) -> None:
        self.index = SiteIndex(AWAY.did)
        self.steward = PrivateKey(b"\x0a" * 32)
        self.add("key", KeyFields(did=self.steward.did, role=Role.STEWARD, name="Zoe", x25519=bytes(32)), AWAY)

    def add(self, kind: str, fields: Value, by: PrivateKey | None = None) -> None:
        latest = self.index.latest(kind, KINDS[kind].subject(fields))
        previous = latest.index if latest is not None else None
        body = write_body(kind, fields, site=AWAY.did, at=1, by=by or self.steward, previous=previous)
        assert self.index.add(self.index.size, kind, body) is not None, self.index.faults


@pytest.fixture
def site(steward: Identity, researcher: Identity) -> MemorySite:
    return MemorySite("Anna", PrivateKey(b"\x21" * 32), PrivateKey(b"\x22" * 32), steward, researcher)


@pytest.fixture
def away() -> Away:
    return Away()


@pytest.fixture
def anna(site: MemorySite, steward: Identity, away: Away) -> Node:
    faked: object = Direct(site, steward, away.index)
    return Node(faked)  # type: ignore[arg-type]


def theirs(researcher: Identity, **changes: object) -> ProjectFields:
    fields: dict[str, object] = {
        "name": "trial",
        "people": {researcher.did: bytes(32)},
        "purpose": HMB,
        "datasets": (),
        "not_after": now() + 1_000_000,
    }
    return ProjectFields(**(fields | changes))  # type: ignore[arg-type]


def test_the_approval_is_of_the_terms_that_stand(
    anna: Node, site: MemorySite, away: Away, researcher: Identity
) -> None:
    """Lost: a steward signs an approval of terms that nobody showed."""
    fields = theirs(researcher)
    away.add("project", fields)
    assert anna.registered("trial").parts[0].approval == "runs it"
    anna.approve_project("trial@Away")
    [part] = anna.registered("trial").parts[1:]
    assert (part.site_name, part.approval) == ("Anna", "approved")
    approval = site.index.latest("approve", f"{AWAY.did}/trial")
    assert approval is not None
    assert approval.fields.terms == fields.terms  # type: ignore[attr-defined]
    anna.disapprove_project("trial")
    assert anna.registered("trial").parts[1].approval == "withdrawn"
    with pytest.raises(NotFound, match="has not approved"):
        anna.disapprove_project("trial")


def test_the_approval_stands_while_people_leave_and_not_when_one_joins(
    anna: Node, away: Away, researcher: Identity, steward: Identity
) -> None:
    """Lost: the register shows an approval that denies, or the other way round."""
    both = theirs(researcher, people={researcher.did: bytes(32), steward.did: bytes(32)})
    away.add("project", both)
    anna.approve_project("trial")
    for people, said in (
        ({steward.did: bytes(32)}, "approved"),
        ({steward.did: b"1" * 32}, "approved fewer people"),
        ({}, "approved"),
    ):
        away.add("project", structs.replace(both, people=people))
        assert anna.registered("trial").parts[1].approval == said


def test_who_is_in_a_project_keeps_their_salt_when_it_changes(
    anna: Node, researcher: Identity, steward: Identity
) -> None:
    """Lost: who leaves makes the approvals lapse for all that stay."""
    anna.new_project("ours", [researcher.name, steward.name], HMB, until="2999-01-01")
    before = anna.project("ours").fields
    assert len({*before.people.values()}) == 2
    anna.new_project("ours", [researcher.name], HMB, until="2999-01-01")
    after = anna.project("ours").fields
    assert after.people == {researcher.did: before.people[researcher.did]}
    assert after.terms == before.terms
    with pytest.raises(BadInput, match="nobody"):
        anna.new_project("ours", [], HMB, until="2999-01-01")


def test_one_s_own_project_needs_no_approval_and_another_s_is_not_ended(
    anna: Node, away: Away, researcher: Identity
) -> None:
    away.add("project", theirs(researcher))
    anna.new_project("ours", [researcher.name], HMB, until="30d", members=["Away"])
    assert [part.approval for part in anna.registered("ours").parts] == ["runs it", "not yet"]
    with pytest.raises(Conflict, match="own project"):
        anna.approve_project("ours")
    with pytest.raises(Denied, match="alone can end it"):
        anna.end_project("trial")


def test_a_site_that_left_is_asked_for_no_approval(anna: Node, site: MemorySite, researcher: Identity) -> None:
    """Lost: a project whose member left waits for ever for an approval, or counts one of nobody."""
    anna.new_project("ours", [researcher.name], HMB, until="30d", members=["Away"])
    site.former = (FormerView(name="Away", site=AWAY.did, epoch=1),)
    assert [part.approval for part in anna.registered("ours").parts] == ["runs it", LEFT]


def test_the_register_shows_the_end_and_who_certified_it(anna: Node, site: MemorySite, researcher: Identity) -> None:
    """Lost: nobody sees whether what was held under a permit is gone."""
    anna.new_project("ours", [researcher.name], HMB, until="30d", members=["Away"])
    assert [each.state for each in anna.register()] == ["open"]
    anna.end_project("ours")
    with pytest.raises(Conflict, match="ended before"):
        anna.end_project("ours")
    [found] = anna.register()
    assert (found.state, [part.certified for part in found.parts]) == ("ended", [None, None])
    ref = ProjectRef(site=site.root.did, name="ours")
    certificate = CertificateFields(
        project=ref,
        terms=found.project.fields.terms,
        values=2,
        nodes=3,
        bytes=4,
        not_covered=("exports",),
        audit=0,
    )
    site._take(write_body("certificate", certificate, site=site.root.did, at=7, by=site.node))
    [found] = anna.register()
    assert [part.certified for part in found.parts] == [7, None]
    assert found.parts[0].certificate == certificate
    assert anna.projects() == ()


def test_a_project_that_has_ended_is_approved_by_nobody(anna: Node, away: Away, researcher: Identity) -> None:
    away.add("project", theirs(researcher, not_after=1))
    with pytest.raises(Denied, match="has ended"):
        anna.approve_project("trial")


def test_a_dataset_that_is_withdrawn_is_found_no_more(anna: Node, site: MemorySite) -> None:
    """Lost: what a steward took back is still offered."""
    published = anna.publish_dataset("/data/table.csv", "Table")
    other = anna.publish_dataset("/data/other.csv", "Other")
    anna.withdraw_dataset("Table")
    with pytest.raises(NotFound):
        anna.dataset("Table")
    again = anna.publish_dataset("/data/table.csv", "Table")
    assert again.cid == published.cid
    place = anna.withdraw_dataset("Table", erase=True)
    taken = fields_of(site.bodies[place], WithdrawFields).places
    assert taken == (published.index, published.index + 2, again.index)
    assert site.index.latest("dataset", str(published.cid)) is None
    assert anna.dataset("Other").fields.cid == other.cid


def test_what_was_withdrawn_is_shown_asked_about_and_erased_by_its_name(anna: Node, site: MemorySite) -> None:
    """Lost: whoever withdraws first can never erase, and nobody can ask who had it."""
    published = anna.publish_dataset("/data/table.csv", "Table")
    anna.withdraw_dataset("Table")
    assert anna.dataset_ever("Table").fields.withdrawn
    assert anna._dataset("Table") == published.cid
    anna.withdraw_dataset("Table", erase=True)
    assert site.index.latest("dataset", str(published.cid)) is None
    with pytest.raises(NotFound):
        anna.dataset_ever("Table")


def test_a_person_is_asked_about_by_every_key_that_the_name_had(anna: Node, researcher: Identity) -> None:
    """Lost: a key is changed, and nobody is told of what was done with the one before."""
    old = anna.enrolled(researcher.name).fields
    fresh = Identity.new(researcher.name)
    anna.replace_person(old, fresh.did, fresh.x25519, None)
    assert anna._keys(researcher.name) == (old.did, fresh.did)
    assert anna._keys(old.did) == (old.did,)
    assert anna.names().people[old.did] == researcher.name


def test_a_person_is_taken_back_whole_and_what_must_go_on_goes_on(
    anna: Node, site: MemorySite, away: Away, researcher: Identity, steward: Identity
) -> None:
    """Lost: a key stays in some entry; or a project and a block that others use vanish with a person."""
    away.add("project", theirs(researcher))
    anna.new_project("alone", [researcher.name], HMB, until="30d")
    anna.new_project("together", [researcher.name, steward.name], HMB, until="30d")
    faked: object = Direct(site, researcher, away.index)
    block = Node(faked).publish_block({"tool.cwl": "class: CommandLineTool"}, name="count")  # type: ignore[arg-type]
    found = anna.forget_person(anna.person_key(researcher.name))
    assert {each.kind for each in found.places} == {"key", "project", "block"}
    assert anna.mentions(researcher.did).places != ()  # the bodies of this double are not erased; their places are
    withdrawn = {place for entry in site.index.entries("withdraw") for place in entry.fields.places}  # type: ignore[attr-defined]
    assert withdrawn == {each.index for each in anna.mentions(researcher.did).places}
    assert site.index.key(researcher.did) is None
    together = anna.project("together").fields
    assert set(together.people) == {steward.did}
    assert anna.project("alone", ended=True).fields.ended
    assert anna.block_entry(block.cid).actor == steward.did


def test_more_than_one_withdrawal_names_is_taken_back_in_several(
    anna: Node, site: MemorySite, away: Away, researcher: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: whoever has worked for long cannot be erased any more."""
    monkeypatch.setattr(forgetting, "AT_ONCE", 3)
    faked: object = Direct(site, researcher, away.index)
    for number in range(7):
        tool = {"tool.cwl": f"class: CommandLineTool # {number}"}
        Node(faked).publish_block(tool, name=f"count {number}")  # type: ignore[arg-type]
    anna.forget_person(researcher.did)
    parts = [entry.fields.places for entry in site.index.entries("withdraw")]  # type: ignore[attr-defined]
    assert [len(part) for part in parts] == [3, 3, 2]
    assert sorted(place for part in parts for place in part) == [
        each.index for each in anna.mentions(researcher.did).places
    ]
    assert site.index.key(researcher.did) is None
    assert site.index.faults == {}


def test_a_steward_is_not_erased_under_whose_signature_others_stand(anna: Node, steward: Identity) -> None:
    with pytest.raises(Denied, match="steward"):
        anna.forget_person(steward.did)
    with pytest.raises(Denied, match="root key alone"):
        anna.remove_person(steward.did)


def test_a_removed_person_is_enrolled_no_more(anna: Node, researcher: Identity) -> None:
    anna.remove_person(researcher.did)
    with pytest.raises(NotFound):
        anna.enrolled(researcher.name)
    with pytest.raises(NotFound):
        anna.remove_person(researcher.did)
    with pytest.raises(NotFound, match="nothing to take back"):
        anna.forget_person(PrivateKey(b"\x31" * 32).did)


def test_a_dataset_of_another_site_is_not_withdrawn_here(anna: Node) -> None:
    with pytest.raises((NotFound, BadInput)):
        anna.withdraw_dataset(Cid.of(b"nobody's"))
