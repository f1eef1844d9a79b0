"""A bus whose sites refuse, fail or are lost: what may run elsewhere does, within the same limits, and once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.offer import OfferFields
from catalog.policy import PolicyFields
from node.bus.dispatch import LOST_MILLIS
from node.bus.journal import Record, State
from privacy.label import shared
from tests.adversary.stage import HOUR, TEXT, Stage
from tests.simulation.consortium import PRICE, Site
from workflow.argument import Data, Many
from workflow.receipt import Status
from workflow.submission import Submission

MINUTE = 60_000
PUBLIC = json.dumps([1, 2, 3]).encode()
OPEN_TO_ALL = Cid.of(PUBLIC)


def open_data(stage: Stage) -> None:
    """St. Anna has a dataset that the other hospital and the institute may compute on, too."""
    readers = [stage.anna.did, stage.bruno.did, stage.institute.did]
    stage.dataset(stage.anna, OPEN_TO_ALL, shared(stage.anna.did, readers), "public")
    for site in (stage.anna, stage.bruno, stage.institute):
        site.disk.blobs[OPEN_TO_ALL] = PUBLIC
    stage.consortium.grants.append(stage.grant(stage.anna, [OPEN_TO_ALL]))


@pytest.fixture
def make() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def build(*prepare: Callable[[Stage], None]) -> Stage:
        def publish(stage: Stage) -> None:
            open_data(stage)
            for each in prepare:
                each(stage)

        made.append(Stage(publish))
        return made[-1]

    yield build
    for stage in made:
        Stage.playing.remove(stage)
        stage.scheduler.close()


def asked(stage: Stage, **changes: object) -> Submission:
    """Count St. Anna's public data, and pool the count at the institute."""
    public = Data(site=stage.anna.did, cid=OPEN_TO_ALL, name="public")
    return stage.submission(None, inputs={"data": Many(items=(public,))}, **changes)


def record(stage: Stage, submission: Submission) -> Record:
    return stage.institute.disk.journal.kept[cid_of(submission)]


def begin(stage: Stage, submission: Submission) -> None:
    stage.play(stage.nodes[stage.institute.did].submit(submission, TEXT))


def ended(stage: Stage, submission: Submission, millis: int = 2 * HOUR) -> Record:
    over = stage.scheduler.run(lambda: record(stage, submission).state.ended, stage.scheduler.now + millis)
    assert over, "it never ended"
    return record(stage, submission)


def carried(record: Record, step: str) -> list[tuple[str, Status | None]]:
    """Where each attempt at a step was made, and how it ended."""
    receipts = {receipt.order: receipt.status for receipt in record.receipts}
    return [(order.site, receipts.get(cid_of(order))) for order in record.orders if order.step == step]


def closed(site: Callable[[Stage], Site]) -> Callable[[Stage], None]:
    """A site whose policy allows nothing."""
    return lambda stage: stage.publish(site(stage), "policy", "", PolicyFields(text=""))


def test_a_step_that_its_site_denies_runs_where_it_may(make: Callable[..., Stage]) -> None:
    """Lost: one hospital says no, and the whole submission ends though three others would have said yes."""
    stage = make(closed(lambda stage: stage.anna))
    begin(stage, submission := asked(stage))
    over = ended(stage, submission)
    assert (over.state, over.reason) == (State.DONE, "")
    first, second = carried(over, "count")
    assert first == (stage.anna.did, Status.DENIED)
    assert second[0] != stage.anna.did
    assert second[1] is Status.DONE
    assert over.spent == 2 * PRICE


def test_what_everybody_denies_ends_denied_with_nothing_spent(make: Callable[..., Stage]) -> None:
    """Lost: a denial is asked for again and again."""

    def hospitals_only(stage: Stage) -> None:
        hospitals = [stage.anna.did, stage.bruno.did]
        stage.dataset(stage.anna, OPEN_TO_ALL, shared(stage.anna.did, hospitals), "public")

    stage = make(hospitals_only, *(closed(lambda stage, name=name: getattr(stage, name)) for name in ("anna", "bruno")))
    begin(stage, submission := asked(stage))
    over = ended(stage, submission)
    assert (over.state, over.spent) == (State.DENIED, 0)
    denied = [(stage.anna.did, Status.DENIED), (stage.bruno.did, Status.DENIED)]
    assert carried(over, "count") == denied


def test_a_site_that_costs_more_than_is_left_is_not_gone_to(make: Callable[..., Stage]) -> None:
    """Lost: a second attempt spends money that its person did not allow."""

    def dear(stage: Stage) -> None:
        for site in (stage.bruno, stage.institute):
            stage.publish(site, "offer", "", OfferFields(runner="sandbox", price=3 * PRICE, step_millis=1000))

    stage = make(closed(lambda stage: stage.anna), dear)
    begin(stage, submission := asked(stage, budget=5 * PRICE))
    over = ended(stage, submission)
    assert over.state is State.DENIED
    assert [site for site, _ in carried(over, "count")] == [stage.anna.did]
    assert over.spent == 0


def test_a_lost_site_has_its_time_and_then_another_is_asked_for_the_same_instance(make: Callable[..., Stage]) -> None:
    """Lost: a hospital's node goes away for good, and a step that others could do waits for it until the deadline."""
    stage = make()
    stage.scheduler.kill(stage.nodes[stage.anna.did].process)
    begin(stage, submission := asked(stage))
    over = ended(stage, submission)
    assert over.state is State.DONE
    (first, none), (second, done) = carried(over, "count")
    assert (first, none, done) == (stage.anna.did, None, Status.DONE)
    assert second != first
    orders = [order for order in over.orders if order.step == "count"]
    assert orders[0].not_after < over.submission.deadline
    assert over.ended > orders[0].not_after, "nobody else is asked before the first order's time is over"
    assert over.ended <= over.submission.deadline


def test_what_is_not_ordered_yet_leaves_a_lost_site_alone(make: Callable[..., Stage]) -> None:
    """Lost: each of a hundred steps waits by itself for a site that is known to be gone."""
    stage = make()
    stage.scheduler.kill(stage.nodes[stage.anna.did].process)
    begin(stage, first := asked(stage))
    ended(stage, first)
    began = stage.scheduler.now
    begin(stage, second := asked(stage, nonce=b"another one's 16"))
    over = ended(stage, second)
    assert over.state is State.DONE
    assert [site == stage.anna.did for site, _ in carried(over, "count")] == [False]
    assert stage.scheduler.now - began < 5 * MINUTE


def test_a_site_that_alone_may_run_a_step_is_waited_for_as_long_as_a_node_needs_to_start(
    make: Callable[..., Stage],
) -> None:
    """Lost: a node that is updated in the middle of the night costs every submission that its data are in."""
    stage = make()
    pair = frozenset((stage.institute.did, stage.anna.did))
    submission = stage.submission()
    stage.network.weather.cut.add(pair)
    begin(stage, submission)
    stage.scheduler.run(lambda: False, stage.scheduler.now + LOST_MILLIS)
    stage.network.weather.cut.discard(pair)
    assert ended(stage, submission).state is State.DONE
    assert record(stage, submission).reason == ""


def test_steps_that_wait_for_nothing_of_each_other_run_side_by_side(make: Callable[..., Stage]) -> None:
    """Lost: a branch that waits for a steward keeps all other branches from beginning."""
    from tests.simulation.consortium import CIDS

    count = f"{{run: 'comity:{CIDS['count']}', in: {{data: %s}}, out: [result]}}"
    copy = f"{{run: 'comity:{CIDS['copy']}', in: {{value: %s}}, out: [same]}}"
    text = (
        "cwlVersion: v1.2\nclass: Workflow\ninputs: {one: File, two: File}\nsteps:\n"
        f"  first: {count % 'one'}\n  second: {count % 'two'}\n"
        f"  third: {copy % 'first/result'}\n  fourth: {copy % 'second/result'}\n"
        "outputs: {a: {type: File, outputSource: third/same}, b: {type: File, outputSource: fourth/same}}\n"
    )
    stage = make()
    inputs = {"one": stage.data(stage.anna), "two": stage.data(stage.bruno)}
    submission = stage.submission(None, inputs=inputs, workflow=Cid.of(text.encode()))
    stage.network.weather.cut.add(frozenset((stage.institute.did, stage.anna.did)))
    stage.play(stage.nodes[stage.institute.did].submit(submission, text))
    over = ended(stage, submission)
    assert over.state is State.UNREACHABLE
    assert {order.step for order in over.orders} == {"first", "second", "fourth"}
    assert over.spent == 2 * PRICE


class TestPaused:
    """A submission that its person pauses."""

    def test_no_order_is_made_until_it_is_resumed_and_what_is_out_comes_in(self, make: Callable[..., Stage]) -> None:
        """Lost: who wants to look at the first results can but cancel all of it."""
        stage = make()
        bus = stage.nodes[stage.institute.did].bus
        begin(stage, submission := stage.submission())
        cid = cid_of(submission)
        assert stage.scheduler.run(lambda: len(record(stage, submission).orders) == 2, stage.scheduler.now + MINUTE)
        stage.play(bus.pause(cid))
        stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
        paused = record(stage, submission)
        assert (paused.state, len(paused.orders), len(paused.receipts)) == (State.PAUSED, 2, 2)
        stage.play(bus.resume(cid))
        assert ended(stage, submission).state is State.DONE

    def test_it_stays_paused_over_a_restart(self, make: Callable[..., Stage]) -> None:
        stage = make()
        begin(stage, submission := stage.submission())
        stage.play(stage.nodes[stage.institute.did].bus.pause(cid_of(submission)))
        before = len(record(stage, submission).orders)
        stage.scheduler.kill(stage.nodes[stage.institute.did].process)
        again = stage._node(stage.institute, type(stage.nodes[stage.institute.did]))
        stage.nodes[stage.institute.did] = again
        again.start()
        stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
        assert record(stage, submission).state is State.PAUSED
        assert len(record(stage, submission).orders) == before
        stage.play(again.bus.resume(cid_of(submission)))
        assert ended(stage, submission).state is State.DONE

    def test_its_deadline_goes_on(self, make: Callable[..., Stage]) -> None:
        """Lost: a submission that is forgotten is paused for ever, and holds what its project's end must destroy."""
        stage = make()
        begin(stage, submission := stage.submission())
        stage.play(stage.nodes[stage.institute.did].bus.pause(cid_of(submission)))
        over = ended(stage, submission)
        assert over.state is State.FAILED
        assert "the deadline passed before it ran" in over.reason

    def test_it_may_be_cancelled(self, make: Callable[..., Stage]) -> None:
        from tests.node.bus.test_cancel import word

        stage = make()
        begin(stage, submission := stage.submission())
        node = stage.nodes[stage.institute.did]
        stage.play(node.bus.pause(cid_of(submission)))
        stage.play(node.cancel(word(stage, submission)))
        assert ended(stage, submission).state is State.CANCELLED
