"""A submission as its person sees it: each step with how far it came, and why no further."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from catalog.dagcbor import cid_of
from catalog.key import UNSIGNED, signed
from node.bus.journal import CANCELLED, Record, Refusal, State
from node.site.views import plan_view, submission_view
from tests.adversary.stage import TEXT, Stage
from tests.node.bus.test_bus import planned
from workflow.cancellation import Cancellation
from workflow.order import Order
from workflow.submission import Submission


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


def told(stage: Stage, order: Order, submission: Submission, **changes: object) -> list[tuple[str, str]]:
    """Status and reason of each step of a submission that has an order for the first alone."""
    running = Record(cid_of(submission), submission, TEXT, State.RUNNING, "", 1, 0, (order,), (), ())
    record = replace(running, **changes)  # type: ignore[arg-type]
    view = submission_view(record, planned(stage), [], stage.consortium.names, "")
    return [(each.status, each.reason) for each in view.instances]


def test_each_step_says_how_far_it_came_and_why_no_further(stage: Stage) -> None:
    """Lost: whoever asks «why is there nothing» reads that a step waits, in a submission that ended days ago."""
    submission = stage.submission()
    whole = stage.order(submission)
    order = cid_of(whole)
    assert told(stage, whole, submission) == [("running", ""), ("waiting", ""), ("waiting", "")]
    away = Refusal(order, "unreachable", "no connection to it")
    assert told(stage, whole, submission, refusals=(away,))[0] == ("unreachable", "no connection to it"), "as its event"
    skipped = ("skipped", "it was not ordered, for the submission ended before")
    assert told(stage, whole, submission, state=State.UNREACHABLE, ended=2, refusals=(away,)) == [
        ("unreachable", "no connection to it"),
        skipped,
        skipped,
    ]
    word = signed(Cancellation(person=submission.person, submission=cid_of(submission), at=1, sig=UNSIGNED),
                  stage.researcher)  # fmt: skip
    unordered = (CANCELLED, "it was not ordered yet")
    assert told(stage, whole, submission, state=State.CANCELLING, word=word, refusals=(away,)) == [
        ("running", "no connection to it"),
        unordered,
        unordered,
    ]
    nothing = Refusal(order, CANCELLED, "no such order came to this site")
    assert told(stage, whole, submission, state=State.CANCELLED, ended=2, word=word, refusals=(nothing,)) == [
        (CANCELLED, "no such order came to this site"),
        unordered,
        unordered,
    ]


def test_a_plan_says_which_site_was_asked_and_did_not_answer(stage: Stage) -> None:
    """Lost: a plan that counts on a hospital whose node is down looks like one that all have agreed to."""
    plan, submission, names = planned(stage), stage.submission(), stage.consortium.names
    shown = {(each.step, each.shard): each.said for each in plan_view(plan, submission, names, {("count", 1)}).steps}
    assert shown["count", 1] == "no answer"
    assert {said for place, said in shown.items() if place != ("count", 1)} == {""}
