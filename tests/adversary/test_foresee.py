"""What sites say in advance: the same as to the order that comes then, to whom it concerns, and nothing comes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import Denied, Infeasible, VerificationFailed
from catalog.key import UNSIGNED
from catalog.policy import PolicyFields
from node.message import Foresee, Foreseen, Place, question_bytes, read_reply
from tests.adversary.stage import TEXT, Site, Stage
from workflow.argument import Many
from workflow.plan.draft import Said
from workflow.plan.make import Limits, first_of, plan_of, within_limits
from workflow.receipt import Status


def refusing(stage: Stage) -> None:
    """St. Bruno permits nothing any more."""
    stage.publish(stage.bruno, "policy", "", PolicyFields(text=""))


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    made = Stage(getattr(request, "param", lambda _: None))
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


def unsigned(place: Place) -> Place:
    """The same order, as it is before anybody has signed it."""
    submission = structs.replace(place.submission, sig=UNSIGNED)
    order = structs.replace(place.order, submission=cid_of(submission), sig=UNSIGNED)
    return structs.replace(place, order=order, submission=submission)


def foretold(stage: Stage, place: Place, asker: Site | None = None) -> Foreseen:
    answer = stage.ask(asker or stage.institute, stage.anna, question_bytes(Foresee(place=place)))
    return read_reply(Foreseen, answer)


def said(stage: Stage) -> Said:
    """What both hospitals say to the researcher's workflow."""
    node, submission = stage.nodes[stage.institute.did], structs.replace(stage.submission(), sig=UNSIGNED)

    async def ask() -> Said:
        _, draft = await node.bus.draft(TEXT, submission.inputs, stage.consortium.names)
        workflow = await node.documents.workflow(TEXT)
        return await node.foresight.said(submission, TEXT, workflow, draft)

    return stage.play(ask())


def test_what_is_said_in_advance_is_what_is_said_then(stage: Stage) -> None:
    """Lost: a plan rests on another answer than the order gets; or asking leaves a row, or opens something."""
    honest = stage.honest()
    rows = len(stage.anna.disk.audit.leaves)
    assert foretold(stage, unsigned(honest)).allowed
    assert len(stage.anna.disk.audit.leaves) == rows
    assert stage.place(honest).status is Status.DONE

    nothing = stage.submission(grants=(), nonce=bytes([1] * 16))
    ungranted = stage.message(nothing, stage.order(nothing))
    word = foretold(stage, unsigned(ungranted))
    receipt = stage.place(ungranted)
    assert not word.allowed
    assert receipt.status is Status.DENIED
    assert word.reason == receipt.reason


def test_a_site_asks_for_its_own_people_alone(stage: Stage) -> None:
    """Lost: a member finds out from others' policies what another member's researchers may do."""
    with pytest.raises(VerificationFailed):
        foretold(stage, unsigned(stage.honest()), stage.mallory)
    hers = stage.submission(buses=(stage.mallory.node.did,))
    with pytest.raises(VerificationFailed, match="its own people"):
        foretold(stage, unsigned(stage.message(hers, stage.order(hers, stage.mallory.node))), stage.mallory)


@pytest.mark.parametrize(
    "change",
    [{"shard": 1}, {"block": Cid.of(b"another")}, {"step": "pool"}, {"submission": Cid.of(b"another")}],
)
def test_what_could_not_come_as_an_order_is_not_answered(stage: Stage, change: dict[str, object]) -> None:
    """Lost: policy is asked about what no submission could order."""
    place = unsigned(stage.honest())
    with pytest.raises((VerificationFailed, Denied)):
        foretold(stage, structs.replace(place, order=structs.replace(place.order, **change)))


def test_all_sites_are_asked_of_steps_that_wait_for_none(stage: Stage) -> None:
    """Lost: a site of which nothing is known counts as one that said yes."""
    told = said(stage)
    assert set(told) == {("count", 0, stage.anna.did), ("count", 1, stage.bruno.did)}
    assert all(word.allowed and not word.reason for word in told.values())


@pytest.mark.parametrize("stage", [refusing], indirect=True)
def test_a_plan_goes_without_a_site_that_says_no_if_enough_remain(stage: Stage) -> None:
    """Lost: one hospital's no ends what needs not all of them; or a plan counts on a step that will be denied."""
    told = said(stage)
    word = told["count", 1, stage.bruno.did]
    assert told["count", 0, stage.anna.did].allowed
    assert (word.allowed, "no policy" in word.reason) == (False, True)
    bus = stage.nodes[stage.institute.did].bus
    names, inputs = stage.consortium.names, {"data": Many(items=(stage.data(stage.anna), stage.data(stage.bruno)))}
    draft = within_limits(stage.play(bus.draft(TEXT, inputs, names, 1, told))[1], Limits())
    plan = plan_of(draft, first_of(draft))
    assert {(each.step, each.shard) for each in plan.steps} == {("count", 0), ("pool", 0)}
    (left,) = plan.absent
    assert (left.step, left.shard, left.holders) == ("count", 1, (stage.bruno.did,))
    assert any("it says no" in each.reason for each in left.reasons if each.site == stage.bruno.did)
    with pytest.raises(Infeasible, match=r"it says no.*What would do: .*ask St\. Bruno to allow «count»"):
        within_limits(stage.play(bus.draft(TEXT, inputs, names, None, told))[1], Limits())
    with pytest.raises(Infeasible, match="it says no"):
        within_limits(stage.play(bus.draft(TEXT, inputs, names, 2, told))[1], Limits())

    async def carried() -> None:
        node, submission = stage.nodes[stage.institute.did], stage.submission()
        await node.site.disk.journal.begin(submission, TEXT, stage.now, plan.places)
        record = await node.bus.carry(cid_of(submission), names)
        assert record.state.value == "done"
        assert "planned without 1" in record.reason
        assert {(order.step, order.shard) for order in record.orders} == {("count", 0), ("pool", 0)}

    stage.play(carried())
