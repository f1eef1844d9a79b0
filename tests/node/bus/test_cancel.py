"""A submission that its person cancels: written down first, then told to each site, whatever crashes or is away."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.block import EndorseFields
from catalog.dagcbor import cid_of
from catalog.error import Conflict
from catalog.key import UNSIGNED, signed
from catalog.policy import PolicyFields
from node.bus.journal import CANCELLED, Record, State
from tests.adversary.stage import HOUR, TEXT, Stage
from tests.adversary.test_asking import ASK_TO_LET_OUT, ASK_TO_RUN
from tests.simulation.consortium import CIDS
from tests.simulation.disk import Write
from tests.simulation.node import Node
from tests.simulation.scheduler import Process
from workflow.cancellation import Cancellation
from workflow.receipt import BY_ITS_PERSON, Status
from workflow.submission import Submission

MINUTE = 60_000


def asking(policy: str, *, endorsed: bool = True) -> Callable[[Stage], None]:
    """Both hospitals have this policy, and endorse the block or not."""

    def prepare(stage: Stage) -> None:
        for site in (stage.anna, stage.bruno):
            stage.publish(site, "policy", "", PolicyFields(text=policy))
            if not endorsed:
                fields = EndorseFields(block=CIDS["count"], output_types=("statistics",), withdrawn=True)
                stage.publish(site, "endorse", str(CIDS["count"]), fields)

    return prepare


def institute(stage: Stage) -> Node:
    return stage.nodes[stage.institute.did]


def begun(stage: Stage, asked: int = 2) -> Submission:
    """A submission, once the stewards of so many hospitals are asked about it."""
    submission = stage.submission()
    stage.play(institute(stage).submit(submission, TEXT))
    hospitals = (stage.anna, stage.bruno)
    over = stage.scheduler.run(
        lambda: sum(bool(list(stage.nodes[each.did].ledger.inquiries.open(stage.now))) for each in hospitals) == asked,
        stage.scheduler.now + 10 * MINUTE,
    )
    assert over, "nobody was asked"
    return submission


def word(stage: Stage, submission: Submission) -> Cancellation:
    said = Cancellation(person=submission.person, submission=cid_of(submission), at=stage.now, sig=UNSIGNED)
    return signed(said, stage.researcher)


def record(stage: Stage, submission: Submission) -> Record:
    return stage.institute.disk.journal.kept[cid_of(submission)]


def ended(stage: Stage, submission: Submission, millis: int = 10 * MINUTE) -> Record:
    over = stage.scheduler.run(lambda: record(stage, submission).state.ended, stage.scheduler.now + millis)
    assert over, "it never ended"
    return record(stage, submission)


def restart(stage: Stage) -> None:
    """The institute's node starts again after it was killed."""
    stage.nodes[stage.institute.did] = stage._node(stage.institute, Node)
    institute(stage).start()
    assert stage.scheduler.run(lambda: institute(stage).ready, stage.scheduler.now + MINUTE)


def test_what_stewards_are_asked_before_it_runs_ends_at_every_site() -> None:
    """Lost: a steward says yes to what nobody wants any more, and it runs."""
    stage = Stage(asking(ASK_TO_RUN))
    submission = begun(stage)
    stage.play(institute(stage).cancel(word(stage, submission)))
    assert record(stage, submission).state in (State.CANCELLING, State.CANCELLED)
    done = ended(stage, submission)
    assert (done.state, done.reason, done.spent) == (State.CANCELLED, BY_ITS_PERSON, 0)
    assert [(each.status, each.reason) for each in done.receipts] == [(Status.DENIED, BY_ITS_PERSON)] * 2
    assert {order.step for order in done.orders} == {"count"}, "nothing further is ordered"
    assert (stage.watch.seen["opened"], stage.watch.seen["decision"]) == (0, 2)


def test_what_was_made_and_waits_for_stewards_stays_held() -> None:
    """Lost: what was made leaves, a day after whoever asked for it took it back."""
    stage = Stage(asking(ASK_TO_LET_OUT, endorsed=False))
    submission = begun(stage)
    stage.play(institute(stage).cancel(word(stage, submission)))
    done = ended(stage, submission)
    assert done.state is State.CANCELLED
    assert [each.status for each in done.receipts] == [Status.HELD] * 2
    assert {output.reason for each in done.receipts for output in each.outputs.values()} == {BY_ITS_PERSON}
    inquiries = stage.nodes[stage.anna.did].ledger.inquiries
    for asked in inquiries.open(stage.now):
        answer = stage.nodes[stage.anna.did].answer(cid_of(asked.fields.inquiry), stage.anna.steward, stage.now + HOUR)
        stage.play(answer)
    stage.scheduler.run(lambda: False, stage.scheduler.now + 2 * MINUTE)
    assert stage.watch.seen["release"] == 0


@pytest.mark.parametrize("point", [*Write.CANCEL.points, Write.RECEIVE.points[0], Write.END.points[0]])
def test_a_node_that_dies_on_the_way_carries_it_on(point: str) -> None:
    """Lost: a crash undoes what was said to be cancelled, or leaves it half told for ever."""
    stage = Stage(asking(ASK_TO_RUN))
    submission = begun(stage)
    dead: list[str] = []

    def kill(process: Process, at: str) -> None:
        if at == point and process is institute(stage).process and not dead:
            dead.append(at)
            stage.scheduler.kill(process)

    stage.scheduler.at_turn = kill
    stage.scheduler.spawn(institute(stage).process, "cancelling", institute(stage).cancel(word(stage, submission)))
    assert stage.scheduler.run(lambda: bool(dead), stage.scheduler.now + 10 * MINUTE)
    kept = record(stage, submission).state
    restart(stage)
    if point == Write.CANCEL.points[0]:
        assert kept is State.RUNNING, "nobody was told, and nothing ended"
        stage.play(institute(stage).cancel(word(stage, submission)))
    else:
        assert kept is State.CANCELLING
    done = ended(stage, submission)
    assert (done.state, len(done.receipts), stage.watch.seen["opened"]) == (State.CANCELLED, 2, 0)


def test_a_site_that_is_away_is_told_when_it_is_back() -> None:
    """Lost: a hospital that was cut off for a minute runs it once it is back."""
    stage = Stage(asking(ASK_TO_RUN))
    submission = begun(stage)
    line = frozenset((stage.institute.did, stage.bruno.did))
    stage.network.weather.cut.add(line)
    stage.play(institute(stage).cancel(word(stage, submission)))
    stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
    waiting = record(stage, submission)
    assert (waiting.state, len(waiting.receipts)) == (State.CANCELLING, 1)
    stage.network.weather.cut.discard(line)
    assert len(ended(stage, submission).receipts) == 2


def test_a_site_that_stays_away_is_told_until_the_time_of_its_order_is_over() -> None:
    """Lost: a node asks for ever, after a hospital that has left."""
    stage = Stage(asking(ASK_TO_RUN))
    submission = begun(stage)
    stage.network.weather.cut.add(frozenset((stage.institute.did, stage.bruno.did)))
    stage.play(institute(stage).cancel(word(stage, submission)))
    done = ended(stage, submission, 2 * HOUR)
    assert done.state is State.CANCELLED
    assert [each.kind for each in done.refusals if each.kind == CANCELLED] == [CANCELLED]
    assert stage.now > submission.deadline


def test_what_has_ended_is_not_cancelled() -> None:
    """Lost: a result that others rely on is said to be none."""
    stage = Stage()
    submission = stage.submission()
    stage.play(institute(stage).submit(submission, TEXT))
    before = ended(stage, submission)
    assert before.state is State.DONE
    with pytest.raises(Conflict):
        stage.play(institute(stage).cancel(word(stage, submission)))
    assert record(stage, submission) == before


@pytest.mark.parametrize("millis", [0, 5, 10, 20, 40, 80, 160, 320, 640, 960, 1_280])
def test_whenever_it_comes_it_ends_and_what_is_ordered_is_told(millis: int) -> None:
    """Lost: an order that was on its way in that moment is carried out for nobody."""
    stage = Stage()
    submission = stage.submission()
    stage.play(institute(stage).submit(submission, TEXT))
    stage.scheduler.run(lambda: False, stage.scheduler.now + millis)
    stage.play(institute(stage).cancel(word(stage, submission)))
    done = ended(stage, submission)
    assert done.state is State.CANCELLED
    told = {each.order for each in done.receipts} | {each.order for each in done.refusals if each.kind == CANCELLED}
    assert told == {cid_of(order) for order in done.orders}
    stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
    assert record(stage, submission) == done
