"""Attacks on an order, from whoever requests it or sends it: each is the honest order with one thing changed.

Every attack is tried twice: against the node as it is, which must refuse it before any data open, and against a node
from which the named defence was taken away, where it must succeed. So no test here can pass for want of an attack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Conflict, Denied, Unreachable, VerificationFailed
from catalog.grant import Action, GrantFields
from catalog.key import PrivateKey, signed
from catalog.member import Role
from catalog.project import ProjectFields, ProjectRef
from catalog.revoke import RevokeFields
from node.automator import verify
from node.automator.automator import Automator
from node.automator.book import AuditBook
from node.automator.decide import Judge
from node.automator.verify import Verifier
from node.message import Place, question_bytes
from privacy.grant import Chain, Held
from privacy.trust import Person
from tests.adversary.stage import TEXT, Stage
from tests.protocol.published import GRANT
from tests.simulation.consortium import CIDS, PRICE, PURPOSE, Site
from tests.simulation.watch import Violation
from workflow.argument import Data, Literal, Many
from workflow.order import Wanted
from workflow.receipt import Status

STRANGER = PrivateKey(b"a key that nobody ever enrolled!")
Sent = tuple[Place, Site]
Attack = Callable[[Stage], Sent]
Defence = tuple[object, str, object]


def _nothing(*_: object, **__: object) -> None:
    """A defence that is gone."""


def _anybody(_index: object, did: str, site: str) -> Person:
    return Person(did, site, Role.RESEARCHER, "Anybody")


def _any_project(*_: object) -> ProjectFields:
    return ProjectFields(name="trial", people={STRANGER.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=0)


def _any_grant(_judge: Judge, _rests: object, owner: str, *_: object) -> tuple[Chain, str]:
    return Chain((Held(GRANT, owner),)), ""


SIGNATURES: Defence = (Verifier, "_check_signatures", _nothing)
EPOCH: Defence = (Verifier, "_check_epoch", _nothing)
SENDER: Defence = (Verifier, "_check_sender", _nothing)
TIMES: Defence = (Verifier, "_check_times", _nothing)
SUBSET: Defence = (verify, "check_subset", _nothing)
PEOPLE: Defence = (verify, "person_at", _anybody)
PROJECTS: Defence = (verify, "project_of", _any_project)
APPROVED: Defence = (Verifier, "_check_approved", _nothing)
GRANTED: Defence = (Judge, "_covering", _any_grant)
PRICED: Defence = (Verifier, "_terms", lambda *_: None)
ONCE: Defence = (Automator, "_check_instance", _nothing)


@dataclass(frozen=True)
class Case:
    """One attack: what is sent and by whom, how it is refused, and what is taken away to see it succeed."""

    attack: Attack
    refused: type[ComityError] | None
    without: tuple[Defence, ...]
    prepare: Callable[[Stage], object] = _nothing
    seen: bool = False
    """Whether the watch objects too, once the defence is gone."""


def _order(stage: Stage, by: PrivateKey | None = None, **changes: object) -> Sent:
    submission = stage.submission()
    return stage.message(submission, stage.order(submission, by, **changes)), stage.institute


def _submission(stage: Stage, by: PrivateKey | None = None, **changes: object) -> Sent:
    submission = stage.submission(by, **changes)
    return stage.message(submission, stage.order(submission)), stage.institute


def _altered_order(stage: Stage) -> Sent:
    message = stage.honest()
    return structs.replace(message, order=structs.replace(message.order, max_cost=PRICE * 2)), stage.institute


def _altered_submission(stage: Stage) -> Sent:
    submission = structs.replace(stage.submission(), min_sites=2)
    return stage.message(submission, stage.order(submission)), stage.institute


def _another_workflow(stage: Stage) -> Sent:
    message = stage.honest()
    return structs.replace(message, workflow=TEXT + "\n"), stage.institute


def _another_submission(stage: Stage) -> Sent:
    order = stage.order(stage.submission())
    return stage.message(stage.submission(nonce=b"1" * 16), order), stage.institute


def _sent_by_mallory(stage: Stage) -> Sent:
    return stage.honest(), stage.mallory


def _mallorys_bus(stage: Stage) -> Sent:
    submission = stage.submission()
    return stage.message(submission, stage.order(submission, stage.mallory.node)), stage.mallory


def _late(stage: Stage) -> Sent:
    submission = stage.submission(not_after=stage.now - 1)
    return stage.message(submission, stage.order(submission, not_after=stage.now + 60_000)), stage.institute


def _with_grant(**changes: object) -> tuple[Callable[[Stage], object], Attack]:
    """A submission that relies on one grant, made with ``changes`` by St. Anna's steward, and on no other."""
    cited: list[Cid] = []

    def prepare(stage: Stage) -> None:
        given: dict[str, Any] = {key: value(stage) if callable(value) else value for key, value in changes.items()}
        datasets = given.pop("datasets", [stage.data(stage.anna).cid])
        assert isinstance(datasets, list)
        cited[:] = [stage.grant(stage.anna, datasets, **given)]

    def attack(stage: Stage) -> Sent:
        return _submission(stage, grants=tuple(cited))

    return prepare, attack


def _granted(**changes: object) -> Case:
    prepare, attack = _with_grant(**changes)
    return Case(attack, None, (GRANTED,), prepare)


def _forged_grant(stage: Stage) -> None:
    """St. Anna's steward publishes a grant that names her as issuer and that another key signed."""
    stage.consortium.grants[:] = [
        stage.grant(stage.anna, [stage.data(stage.anna).cid], by=STRANGER, issuer=stage.anna.steward.did)
    ]


def _node_grant(stage: Stage) -> None:
    stage.consortium.grants[:] = [stage.grant(stage.anna, [stage.data(stage.anna).cid], by=stage.anna.node)]


def _mallorys_grant(stage: Stage) -> None:
    stage.consortium.grants[:] = [stage.grant(stage.mallory, [stage.data(stage.anna).cid])]


def _revoked(stage: Stage) -> None:
    """A grant of St. Anna's that she took back."""
    cited = stage.grant(stage.anna, [stage.data(stage.anna).cid])
    stage.publish(stage.anna, "revoke", str(cited), RevokeFields(grant=cited, reason="it is over"))
    stage.consortium.grants[:] = [cited]


def _widened(stage: Stage) -> None:
    """The researcher may see the data, and passes on to herself that she may compute on them."""
    above = stage.grant(stage.anna, [stage.data(stage.anna).cid], actions=(Action.SEE,))
    stage.consortium.grants[:] = [_passed_on(stage, above, actions=(Action.SEE, Action.COMPUTE))]


def _of_another(stage: Stage) -> None:
    """A grant to somebody else, which the researcher passes on to herself."""
    above = stage.grant(stage.anna, [stage.data(stage.anna).cid], subject=STRANGER.did)
    stage.consortium.grants[:] = [_passed_on(stage, above)]


def _passed_on(stage: Stage, above: Cid, **changes: object) -> Cid:
    """What the researcher writes into her home's log below the grant ``above`` of St. Anna."""
    actions = (Action.SEE, Action.COMPUTE, Action.RELEASE)
    held = stage.whole_grant(stage.anna, [stage.data(stage.anna).cid], stage.researcher, actions=actions)
    child = signed(structs.replace(held, parent=above, **changes), stage.researcher)
    fields = GrantFields(grant=child)
    stage.publish(stage.institute, "grant", str(fields.cid), fields, by=stage.researcher)
    return fields.cid


def _mallory_for_anna(stage: Stage) -> None:
    """Mallory's steward signs in Mallory's log a grant that claims to be St. Anna's."""
    stage.consortium.grants[:] = [
        stage.grant(stage.mallory, [stage.data(stage.anna).cid], site=stage.anna.did, issuer=stage.anna.steward.did)
    ]


def _unenrolled(stage: Stage) -> Sent:
    return _submission(stage, STRANGER, person=STRANGER.did)


def _removed(stage: Stage) -> None:
    stage.enrol(stage.institute, STRANGER, Role.RESEARCHER)
    stage.enrol(stage.institute, STRANGER, Role.RESEARCHER, removed=True)
    _project(stage, people={STRANGER.did: bytes(32), stage.researcher.did: bytes(32)})


def _auditor(stage: Stage) -> None:
    stage.enrol(stage.institute, STRANGER, Role.AUDITOR)
    _project(stage, people={STRANGER.did: bytes(32), stage.researcher.did: bytes(32)})


def _project(stage: Stage, **changes: object) -> None:
    fields = ProjectFields(
        name="trial", people={stage.researcher.did: bytes(32)}, purpose=PURPOSE, datasets=(), not_after=1 << 45
    )
    changed = structs.replace(fields, **changes)
    stage.publish(stage.institute, "project", "trial", changed)
    stage.consortium.approve(stage.anna, stage.consortium.project, changed)


def _unapproved(stage: Stage) -> None:
    """The project changes after St. Anna approved it: another researcher is in it now."""
    terms = structs.replace(stage.consortium.terms, people={STRANGER.did: bytes(32), stage.researcher.did: bytes(32)})
    stage.publish(stage.institute, "project", "trial", terms)


def _repurposed(stage: Stage) -> None:
    """The plan was made for one purpose; the order goes out under another, which nobody approved."""
    terms = structs.replace(stage.consortium.terms, purpose="DUO:0000007/MONDO:0005015")
    stage.publish(stage.institute, "project", "trial", terms)


def _of_another_owner(stage: Stage) -> Sent:
    data = Data(site=stage.bruno.did, cid=stage.data(stage.bruno).cid, name=stage.data(stage.bruno).name)
    return _order(stage, shard=1, inputs={"data": data})


def _foreign_home(stage: Stage) -> Sent:
    """The researcher's own key, under the word of a site that never enrolled it."""
    return _submission(stage, site=stage.mallory.did)


def _outputs(kind: str, readers: Callable[[Stage], tuple[str, ...]]) -> Attack:
    return lambda stage: _order(stage, outputs={"result": Wanted(type=kind, readers=readers(stage))})


def _institute(stage: Stage) -> tuple[str, ...]:
    return (stage.institute.did,)


def _swapped(stage: Stage) -> Sent:
    """Shard 1's order, given shard 0's data: counted twice, as two."""
    return _order(stage, shard=1)


CASES: Mapping[str, Case] = {
    "order_altered_after_signing": Case(_altered_order, VerificationFailed, (SIGNATURES,)),
    "submission_altered_after_signing": Case(_altered_submission, VerificationFailed, (SIGNATURES,)),
    "order_for_another_submission": Case(_another_submission, VerificationFailed, (SIGNATURES,)),
    "order_replayed_by_another_member": Case(_sent_by_mallory, VerificationFailed, (SENDER, SIGNATURES)),
    "order_by_a_bus_that_the_person_did_not_name": Case(_mallorys_bus, VerificationFailed, (SIGNATURES,)),
    "another_consortium": Case(
        lambda stage: _submission(stage, consortium=Cid.of(b"another")), VerificationFailed, (EPOCH, GRANTED)
    ),
    "another_epoch": Case(lambda stage: _submission(stage, epoch=1), Unreachable, (EPOCH,)),
    "submission_signed_by_another_key": Case(
        lambda stage: _submission(stage, STRANGER), VerificationFailed, (SIGNATURES,)
    ),
    "replayed_after_expiry": Case(_late, Denied, (TIMES, SUBSET)),
    "order_of_yesterday": Case(lambda stage: _order(stage, not_after=stage.now - 1), Denied, (TIMES,)),
    "submission_not_valid_yet": Case(
        lambda stage: _submission(stage, not_before=stage.now + 600_000), Denied, (TIMES,)
    ),
    "order_outlives_its_submission": Case(
        lambda stage: _order(stage, not_after=stage.now + (1 << 40)), VerificationFailed, (SUBSET,)
    ),
    "person_never_enrolled": Case(_unenrolled, Denied, (PEOPLE, PROJECTS, GRANTED)),
    "person_of_another_home": Case(_foreign_home, Denied, (PEOPLE,)),
    "person_whose_key_was_removed": Case(_unenrolled, Denied, (PEOPLE, GRANTED), _removed),
    "auditor_who_runs_things": Case(_unenrolled, Denied, (PROJECTS, GRANTED), _auditor),
    "another_persons_project": Case(
        lambda stage: _submission(stage),
        Denied,
        (PROJECTS,),
        lambda stage: _project(stage, people={STRANGER.did: bytes(32)}),
    ),
    "project_changed_after_its_approval": Case(lambda stage: _submission(stage), Denied, (APPROVED,), _unapproved),
    "purpose_swapped_between_plan_and_order": Case(
        lambda stage: _submission(stage), Denied, (APPROVED, GRANTED), _repurposed
    ),
    "input_of_another_owner": Case(
        _of_another_owner, Denied, ((verify, "may_hold", lambda *_: True), APPROVED, GRANTED)
    ),
    "project_that_ended": Case(
        lambda stage: _submission(stage), Denied, (PROJECTS,), lambda stage: _project(stage, ended=True), seen=True
    ),
    "project_past_its_time": Case(
        lambda stage: _submission(stage), Denied, (PROJECTS,), lambda stage: _project(stage, not_after=1)
    ),
    "project_for_other_data": Case(
        lambda stage: _submission(stage),
        Denied,
        (PROJECTS,),
        lambda stage: _project(stage, datasets=(stage.data(stage.bruno).cid,)),
    ),
    "project_that_nobody_has": Case(
        lambda stage: _submission(stage, project=ProjectRef(site=stage.anna.did, name="trial")),
        Denied,
        (PROJECTS, APPROVED, GRANTED),
    ),
    "another_workflow_than_signed": Case(
        _another_workflow, VerificationFailed, ((verify, "Cid", SimpleNamespace(of=lambda _: Cid.of(TEXT.encode()))),)
    ),
    "block_that_the_step_does_not_run": Case(
        lambda stage: _order(stage, block=CIDS["copy"], inputs={"value": stage.data(stage.anna)}, step="count"),
        VerificationFailed,
        (SUBSET,),
    ),
    "step_that_the_workflow_has_not": Case(lambda stage: _order(stage, step="steal"), VerificationFailed, (SUBSET,)),
    "inputs_swapped_between_shards": Case(_swapped, VerificationFailed, (SUBSET,)),
    "shard_beyond_the_list": Case(lambda stage: _order(stage, shard=2), VerificationFailed, (SUBSET,)),
    "shard_4095": Case(lambda stage: _order(stage, shard=4095), VerificationFailed, (SUBSET,)),
    "data_that_was_not_submitted": Case(
        lambda stage: _order(stage, inputs={"data": structs.replace(stage.data(stage.anna), name="other")}),
        VerificationFailed,
        (SUBSET,),
    ),
    "both_shards_in_one": Case(
        lambda stage: _order(stage, inputs={"data": Many(items=(stage.data(stage.anna),))}),
        VerificationFailed,
        (SUBSET,),
    ),
    "input_that_the_step_has_not": Case(
        lambda stage: _order(stage, inputs={"data": stage.data(stage.anna), "../../etc": Literal(json="1")}),
        VerificationFailed,
        (SUBSET,),
    ),
    "reader_beyond_the_destinations": Case(
        _outputs("statistics", lambda stage: (stage.institute.did, stage.mallory.did)),
        VerificationFailed,
        (SUBSET, GRANTED),
    ),
    "person_as_reader_beyond_the_destinations": Case(
        _outputs("statistics", lambda stage: (f"{stage.researcher.did}@{stage.institute.did}",)),
        VerificationFailed,
        (SUBSET, GRANTED),
    ),
    "max_cost_below_the_price": Case(lambda stage: _order(stage, max_cost=PRICE - 1), Denied, (PRICED,)),
    "max_cost_beyond_the_budget": Case(lambda stage: _order(stage, max_cost=PRICE * 9), VerificationFailed, (SUBSET,)),
    "no_grant_at_all": Case(lambda stage: _submission(stage, grants=()), None, (GRANTED,)),
    "grant_of_another_hospital": Case(
        lambda stage: _submission(stage, grants=tuple(stage.consortium.grants[1:])), None, (GRANTED,)
    ),
    "grant_for_another_person": _granted(subject=STRANGER.did),
    "grant_for_another_dataset": _granted(datasets=lambda stage: [stage.data(stage.bruno).cid]),
    "grant_for_another_purpose": _granted(purposes=("DUO:0000007/MONDO:0005015",)),
    "grant_for_another_project": _granted(project=lambda stage: ProjectRef(site=stage.anna.did, name="trial")),
    "grant_for_another_block": _granted(blocks=(Cid.of(b"another block"),)),
    "grant_for_another_destination": _granted(destinations=lambda stage: (stage.bruno.did,)),
    "grant_without_compute": _granted(actions=(Action.SEE,)),
    "grant_that_expired": _granted(not_after=1),
    "grant_of_another_consortium": _granted(consortium=Cid.of(b"another consortium")),
    "grant_that_was_revoked": Case(lambda stage: _submission(stage), None, (GRANTED,), _revoked),
    "grant_that_permits_more_than_its_parent": Case(lambda stage: _submission(stage), None, (GRANTED,), _widened),
    "grant_passed_on_by_another_than_its_holder": Case(lambda stage: _submission(stage), None, (GRANTED,), _of_another),
    "grant_by_a_forged_issuer": Case(lambda stage: _submission(stage), None, (GRANTED,), _forged_grant),
    "grant_by_the_node_key": Case(lambda stage: _submission(stage), None, (GRANTED,), _node_grant),
    "grant_by_mallory_for_annas_data": Case(lambda stage: _submission(stage), None, (GRANTED,), _mallorys_grant),
    "grant_by_mallory_in_annas_name": Case(lambda stage: _submission(stage), None, (GRANTED,), _mallory_for_anna),
}


def opened(stage: Stage) -> bool:
    """Whether any hospital's data were opened."""
    return any(account.opened for account in stage.watch.accounts.values()) or stage.watch.seen["opened"] > 0


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str) -> None:
    """Else whoever can send a message runs, sees, is charged or is told what nobody signed for."""
    case = CASES[name]
    stage = Stage(case.prepare)
    message, asker = case.attack(stage)
    if case.refused is None:
        receipt = stage.place(message, asker)
        assert receipt.status is Status.DENIED
        assert receipt.outputs == {}
        assert stage.watch.seen["decision"] == 1, "a denial is written down"
    else:
        with pytest.raises(case.refused):
            stage.place(message, asker)
        assert stage.watch.seen["intent"] == 0
    assert not opened(stage)


@pytest.mark.parametrize("name", CASES)
def test_and_without_the_defence_it_succeeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would pass though nothing refuses the attack."""
    case = CASES[name]
    stage = Stage(case.prepare)
    message, asker = case.attack(stage)
    for owner, attribute, replacement in case.without:
        monkeypatch.setattr(owner, attribute, replacement)
    # What begins on an authority that has lapsed, the watch sees too, as soon as it stands in the log.
    seen = pytest.raises(Violation, match="AUTHORITY") if case.seen else nullcontext()
    with seen:
        assert stage.place(message, asker).status is not Status.DENIED
    assert stage.watch.seen["intent"] == 1


def test_the_honest_order_is_carried_out() -> None:
    """Else every attack above is refused because everything is."""
    stage = Stage()
    receipt = stage.place(stage.honest())
    assert (receipt.status, receipt.cost) == (Status.DONE, PRICE)
    assert opened(stage)


def test_an_output_type_other_than_the_block_declares() -> None:
    """Else row-level output leaves as «statistics», the word that the steward endorsed."""
    stage = Stage()
    message, asker = _outputs("table", _institute)(stage)
    with pytest.raises(VerificationFailed, match="declares output"):
        stage.place(message, asker)


def test_an_order_for_another_site() -> None:
    """Else an order that one hospital took is charged at the other."""
    stage = Stage()
    with pytest.raises(VerificationFailed, match="another site"):
        stage.place(stage.honest(), target=stage.bruno)
    assert stage.place(stage.honest(), target=stage.anna).status is Status.DONE


@pytest.mark.parametrize("attempt", [1, 2, 4096])
def test_a_second_delivery_of_an_instance(attempt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one instance is charged and released twice: by another attempt, or by the same one signed anew."""
    stage = Stage()
    submission = stage.submission()
    first = stage.place(stage.message(submission, stage.order(submission)))
    again = stage.message(submission, stage.order(submission, attempt=attempt, max_cost=PRICE + 1))
    with pytest.raises(Conflict, match="delivered here before"):
        stage.place(again)
    assert stage.place(stage.message(submission, stage.order(submission))) == first
    assert stage.watch.seen["intent"] == stage.watch.seen["release"] == 1
    monkeypatch.setattr(Automator, "_check_instance", _nothing)
    with pytest.raises(Conflict, match="delivered here before"):
        stage.place(again)  # the book writes no second life of an instance, whoever asks it to
    monkeypatch.setattr(AuditBook, "_check_lives", _nothing)
    with pytest.raises(Violation, match="ONCE"):
        stage.place(again)


def test_a_higher_attempt_while_one_runs() -> None:
    """Else data are opened, and charged for, as often as a bus counts upwards."""
    stage = Stage()
    submission = stage.submission()
    orders = [stage.order(submission, attempt=attempt) for attempt in (1, 2, 3, 4)]
    asked = [
        stage.scheduler.spawn(
            stage.attacker,
            "ask",
            stage.network.ask(
                "control", stage.institute.did, stage.anna.did, question_bytes(stage.message(submission, order)), 90.0
            ),
        )
        for order in orders
    ]
    assert stage.scheduler.run(lambda: all(task.ended for task in asked), stage.scheduler.now + 200_000)
    stage.scheduler.run(lambda: stage.watch.seen["release"] > 1, stage.scheduler.now + 200_000)
    assert stage.watch.seen["intent"] == stage.watch.seen["release"] == 1


def test_a_submission_by_mallory_for_annas_data() -> None:
    """Else a member's own project, person, bus and grant are enough to compute on another's data."""
    cited: list[Cid] = []

    def prepare(stage: Stage) -> None:
        stage.mallorys_project()
        ref = ProjectRef(site=stage.mallory.did, name="heist")
        cited.append(stage.grant(stage.mallory, [stage.data(stage.anna).cid], subject=stage.crook.did, project=ref))

    stage = Stage(prepare)
    submission = stage.mallorys_submission(stage.data(stage.anna), cited)
    order = stage.mallorys_order(submission, stage.data(stage.anna))
    receipt = stage.place(stage.message(submission, order), stage.mallory)
    assert (receipt.status, receipt.outputs) == (Status.DENIED, {})
    assert not opened(stage)


def test_a_signature_made_for_another_kind_of_value() -> None:
    """Else a person's question to the audit log can be made to count as a submission."""
    stage = Stage()
    submission = stage.submission()

    class Lookalike(type(submission), frozen=True, kw_only=True):  # type: ignore[misc, call-arg]
        DOMAIN = "who"

    fields: dict[str, Any] = structs.asdict(submission)
    other = signed(Lookalike(**fields), stage.researcher)
    submission = structs.replace(submission, sig=other.sig)
    with pytest.raises(VerificationFailed, match="signature"):
        stage.place(stage.message(submission, stage.order(submission)))


def test_a_refusal_tells_nothing_of_the_data() -> None:
    """Else the words of a denial are a way to read: they are the same whatever the data are."""
    stage = Stage()
    message, asker = _submission(stage, grants=())
    receipt = stage.place(message, asker)
    assert receipt.decision is not None
    assert (receipt.decision.facts, receipt.spent, receipt.cost) == ({}, None, 0)
    assert str(stage.data(stage.anna).cid) not in receipt.reason
    assert cid_of(message.order) == receipt.order


def test_the_judge_believes_no_reader_that_is_none() -> None:
    """Else an input whose label does not name this site is opened here."""
    stage = Stage()
    data = Data(site=stage.bruno.did, cid=stage.data(stage.bruno).cid, name=stage.data(stage.bruno).name)
    message, asker = _order(stage, shard=1, inputs={"data": data})
    with pytest.raises(Denied, match="no reader"):
        stage.place(message, asker)
