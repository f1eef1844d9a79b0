"""Attacks on what stewards are asked: nothing runs or leaves before they said yes, once, to this very thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from catalog.block import EndorseFields
from catalog.dagcbor import cid_of
from catalog.error import Conflict, NotFound
from catalog.key import PrivateKey, signed
from catalog.member import KeyFields, Role
from catalog.policy import PolicyFields
from catalog.revoke import RevokeFields
from node.automator import late
from node.automator.asking import UNANSWERED
from node.automator.inquiries import Consent, Inquired
from node.automator.late import CHANGED, GONE
from node.message import Place, question_bytes, read_reply
from privacy.replay import NotReplayable
from privacy.starters import HOSPITAL
from tests.adversary.stage import HOUR, Stage
from tests.simulation.consortium import CIDS, PRICE
from tests.simulation.node import Node
from tests.simulation.scheduler import Task
from tests.simulation.watch import Violation
from workflow.receipt import ASKED_TO_LET_OUT, ASKED_TO_RUN, Receipt, Status

MINUTE = 60_000
SECOND = PrivateKey(b"the second steward of St. Anna..")

ASK_TO_LET_OUT = (
    HOSPITAL
    + """
@id("asked-release")
permit (principal, action == Action::"release", resource) when { context.granted && context.fresh };
"""
)
ASK_TO_RUN = HOSPITAL.replace('@id("granted-compute")', '@id("granted-compute") @approve("steward")')


def asks(policy: str, *, endorsed: bool) -> Callable[[Stage], None]:
    """St. Anna has this policy, a second steward, and endorses the block or not."""

    def prepare(stage: Stage) -> None:
        stage.publish(stage.anna, "policy", "", PolicyFields(text=policy))
        stage.enrol(stage.anna, SECOND, Role.STEWARD)
        if not endorsed:
            fields = EndorseFields(block=CIDS["count"], output_types=("statistics",), withdrawn=True)
            stage.publish(stage.anna, "endorse", str(CIDS["count"]), fields)

    return prepare


def begin(stage: Stage, message: Place) -> Task:
    """Send an order to St. Anna, and come back when her stewards are asked."""
    asking = stage.network.ask("control", stage.institute.did, stage.anna.did, question_bytes(message), 300.0)
    task = stage.scheduler.spawn(stage.attacker, "ask", asking)
    assert stage.scheduler.run(lambda: bool(asked(stage)), stage.scheduler.now + 10 * MINUTE), "nobody was asked"
    return task


def anna(stage: Stage) -> Node:
    return stage.nodes[stage.anna.did]


def asked(stage: Stage) -> list[Inquired]:
    return list(anna(stage).ledger.inquiries.open(stage.now))


def answer(stage: Stage, *, by: PrivateKey | None = None, granted: bool = True, until: int = HOUR) -> None:
    """A steward answers what was asked last."""
    inquiry = cid_of(asked(stage)[-1].fields.inquiry)
    stage.play(anna(stage).answer(inquiry, by or stage.anna.steward, stage.now + until, granted=granted))


def told(stage: Stage, message: Place) -> Receipt:
    """What the bus hears if it asks now."""
    answer = stage.ask(stage.institute, stage.anna, question_bytes(message))
    return read_reply(Receipt, answer)


def restart(stage: Stage) -> None:
    """St. Anna's node is killed, and starts again."""
    stage.scheduler.kill(anna(stage).process)
    stage.nodes[stage.anna.did] = stage._node(stage.anna, Node)
    anna(stage).start()
    assert stage.scheduler.run(lambda: anna(stage).ready, stage.scheduler.now + MINUTE)


def seen(stage: Stage, kind: str) -> int:
    """Rows of a kind in St. Anna's audit log; or, of «opened», how often a step opened its data."""
    return stage.watch.seen[kind]


def pass_time(stage: Stage, millis: int) -> None:
    until = stage.scheduler.now + millis
    stage.scheduler.run(lambda: stage.scheduler.now >= until, until + MINUTE)


@pytest.mark.parametrize("crash", ["never", "asked", "answered"])
def test_a_step_runs_once_when_a_steward_said_yes_and_not_before_whatever_crashes(crash: str) -> None:
    """Lost: a crash is a yes; or a yes is two runs; or what waits for a person waits in memory, and is forgotten."""
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    message = stage.honest()
    begin(stage, message)
    pass_time(stage, 5 * MINUTE)
    waiting = told(stage, message)
    assert (waiting.status, waiting.reason) == (Status.ACCEPTED, ASKED_TO_RUN)
    assert (seen(stage, "opened"), seen(stage, "intent"), seen(stage, "inquiry")) == (0, 0, 1)
    if crash == "asked":
        restart(stage)
        assert told(stage, message).status is Status.ACCEPTED
        pass_time(stage, MINUTE)
        assert (seen(stage, "opened"), seen(stage, "inquiry")) == (0, 1)
    if crash == "answered":
        stage.network.weather.cut.add(frozenset((stage.institute.did, stage.anna.did)))
        stage.scheduler.kill(anna(stage).process)
        restart(stage)
        stage.network.weather.cut.clear()
    answer(stage)
    assert stage.place(message).status is Status.DONE
    assert (seen(stage, "opened"), seen(stage, "intent"), seen(stage, "release")) == (1, 1, 1)


def test_a_step_that_a_steward_refused_does_not_run_and_whoever_asked_is_told_why() -> None:
    """Lost: a no is taken for silence, and asked again until somebody is tired."""
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    message = stage.honest()
    begin(stage, message)
    answer(stage, granted=False)
    receipt = stage.place(message)
    assert (receipt.status, seen(stage, "opened")) == (Status.DENIED, 0)
    assert "too few patients" in receipt.reason
    again = stage.submission(nonce=bytes(15) + b"2")
    refused = stage.place(stage.message(again, stage.order(again)))
    assert refused.status is Status.DENIED, "the same question got another answer"
    assert seen(stage, "inquiry") == 1


def test_silence_is_a_no() -> None:
    """Lost: what nobody looked at runs when its time is over."""
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    message = stage.honest()
    begin(stage, message)
    pass_time(stage, HOUR + MINUTE)
    receipt = stage.place(message)
    assert (receipt.status, receipt.reason, seen(stage, "opened")) == (Status.DENIED, UNANSWERED, 0)


def test_an_output_of_an_unendorsed_block_leaves_when_a_steward_said_yes_and_not_before() -> None:
    """Lost: policy that leaves a release to people lets it out without them, or tells what is in it meanwhile."""
    stage = Stage(asks(ASK_TO_LET_OUT, endorsed=False))
    message = stage.honest()
    begin(stage, message)
    pass_time(stage, 5 * MINUTE)
    waiting = told(stage, message)
    assert (waiting.status, waiting.outputs) == (Status.ACCEPTED, {})
    assert waiting.reason == ASKED_TO_LET_OUT
    value = asked(stage)[0].fields.inquiry.value
    assert value is not None
    with pytest.raises(NotFound):
        anna(stage).holdings.for_site(value, stage.institute.did)
    restart(stage)
    assert told(stage, message).status is Status.ACCEPTED
    answer(stage)
    receipt = stage.place(message)
    output = receipt.outputs["result"]
    assert (receipt.status, output.cid, seen(stage, "opened"), seen(stage, "release")) == (Status.DONE, value, 1, 1)
    assert output.release is not None
    assert output.release.report == "approved by a steward of this site"
    anna(stage).holdings.for_site(value, stage.institute.did)


@pytest.mark.parametrize("ending", ["refused", "silence", "revoked"])
def test_an_output_that_nobody_may_let_out_stays_held_for_good(ending: str) -> None:
    """Lost: a no, an empty office, or a grant that was taken back meanwhile, lets out what a person had to decide."""
    stage = Stage(asks(ASK_TO_LET_OUT, endorsed=False))
    message = stage.honest()
    begin(stage, message)
    if ending == "refused":
        answer(stage, granted=False)
    elif ending == "silence":
        pass_time(stage, HOUR + MINUTE)
    else:
        grant = stage.anna.grant
        assert grant is not None
        fields = RevokeFields(grant=cid_of(grant), reason="no vote")
        stage.play(anna(stage).publish("revoke", str(cid_of(grant)), fields))
        pass_time(stage, MINUTE)
        assert told(stage, message).status is Status.HELD
        answer(stage)  # too late
        pass_time(stage, MINUTE)
    receipt = stage.place(message)
    assert (receipt.status, receipt.outputs["result"].cid, seen(stage, "release")) == (Status.HELD, None, 0)
    assert receipt.cost == PRICE, "what was computed is paid for once"


def test_what_is_lost_before_a_steward_says_yes_is_neither_released_nor_charged_again() -> None:
    """Lost: after a restore, which brings no held value back, a release of nothing; or the same is paid for twice."""
    stage = Stage(asks(ASK_TO_LET_OUT, endorsed=False))
    message = stage.honest()
    begin(stage, message)
    stage.scheduler.kill(anna(stage).process)
    value = asked(stage)[0].fields.inquiry.value
    assert value is not None
    del stage.anna.disk.blobs[value]
    restart(stage)
    answer(stage)
    receipt = stage.place(message)
    assert (receipt.status, receipt.outputs["result"].reason, receipt.cost) == (Status.HELD, GONE, PRICE)
    assert stage.place(message) == receipt, "the same order has the same receipt"
    second = structs.replace(message.order, attempt=2)
    with pytest.raises(Conflict, match="was delivered here before"):
        stage.place(structs.replace(message, order=signed(second, stage.institute.node)))
    assert (seen(stage, "opened"), seen(stage, "release")) == (1, 0)
    again = stage.submission(nonce=bytes(15) + b"2")
    begin(stage, stage.message(again, stage.order(again)))
    answer(stage)
    made = stage.place(stage.message(again, stage.order(again)))
    assert (made.status, seen(stage, "release")) == (Status.DONE, 1), "it is made again when it is asked for anew"


def test_a_yes_of_somebody_who_is_no_steward_any_more_counts_for_nothing() -> None:
    """Lost: a key that was taken from a steward on Monday lets in on Tuesday what it was asked on Sunday."""
    stage = Stage(asks(ASK_TO_RUN.replace('steward")', '2 stewards")', 1), endorsed=True))
    message = stage.honest()
    begin(stage, message)
    answer(stage, by=SECOND)
    removed = KeyFields(did=SECOND.did, role=Role.STEWARD, name="Somebody", x25519=bytes(32), removed=True)
    stage.play(anna(stage)._write(stage.consortium.body(stage.anna, "key", SECOND.did, removed, by=stage.anna.root)))
    answer(stage)
    pass_time(stage, 5 * MINUTE)
    assert (told(stage, message).status, seen(stage, "opened")) == (Status.ACCEPTED, 0)


def test_without_the_count_of_stewards_it_runs_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defence taken away: the attack that the tests above try succeeds, so they can fail."""
    monkeypatch.setattr(Consent, "enough", lambda *_: True)
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    with pytest.raises(Violation, match="without its stewards"):
        stage.place(stage.honest())


def test_a_yes_does_not_outlive_the_policy_that_left_it_to_stewards() -> None:
    """Lost: policy is tightened on Monday, and what was asked on Sunday leaves on Tuesday."""
    stage = Stage(asks(ASK_TO_LET_OUT, endorsed=False))
    message = stage.honest()
    begin(stage, message)
    stage.play(anna(stage).publish("policy", "", PolicyFields(text=HOSPITAL)))
    answer(stage)
    receipt = stage.place(message)
    assert (receipt.status, receipt.outputs["result"].reason, seen(stage, "release")) == (Status.HELD, CHANGED, 0)


@pytest.mark.parametrize("changed", [False, True])
def test_facts_too_long_to_be_told_again_need_the_very_policy_that_was_asked(
    monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    """Lost: one output with many readers stops every release that waits; or it leaves under a policy that is gone."""

    def shortened(*_: object) -> None:
        raise NotReplayable("the facts were shortened")

    monkeypatch.setattr(late, "question_of", shortened)
    stage = Stage(asks(ASK_TO_LET_OUT, endorsed=False))
    message = stage.honest()
    begin(stage, message)
    if changed:
        stage.play(anna(stage).publish("policy", "", PolicyFields(text=ASK_TO_LET_OUT + "// anew")))
    answer(stage)
    receipt = stage.place(message)
    assert (receipt.status, seen(stage, "release")) == ((Status.HELD, 0) if changed else (Status.DONE, 1))


def test_the_same_attempt_signed_anew_is_no_second_one_while_stewards_are_asked() -> None:
    """Lost: an epoch begins while a person thinks, and the step can never run."""
    stage = Stage(asks(ASK_TO_RUN, endorsed=True))
    submission = stage.submission()
    begin(stage, stage.message(submission, stage.order(submission)))
    anew = stage.message(submission, stage.order(submission, max_cost=PRICE + 1))
    assert told(stage, anew).status is Status.ACCEPTED
    answer(stage)
    pass_time(stage, 5 * MINUTE)  # both orders go on, and one of them alone begins
    assert (seen(stage, "opened"), seen(stage, "intent"), seen(stage, "release")) == (1, 1, 1)
