"""The dispatcher at a site that is halted: it orders nothing, takes nothing, and goes on where it stood."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.dagcbor import cid_of
from catalog.project import ProjectRef
from node.automator.book import Line
from node.bus.journal import Record, State
from tests.adversary.stage import HOUR, TEXT, Stage
from tests.simulation.consortium import PRICE, Site
from workflow.account import Chain, HaltFields
from workflow.receipt import Receipt
from workflow.submission import Submission

MINUTE = 60_000


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


def say(stage: Stage, kind: str, project: ProjectRef | None = None, member: str | None = None) -> None:
    """Halt the institute, or let it go on."""
    node = stage.nodes[stage.institute.did]

    def fields(chain: Chain, _index: int) -> HaltFields:
        return HaltFields(project=project, member=member, reason="a doubt", statement=None, chain=chain)

    stage.play(node.book.write([Line(kind, (), fields, (stage.institute.did,))]))


def begun(stage: Stage) -> tuple[Submission, Record]:
    submission = stage.submission()
    stage.play(stage.nodes[stage.institute.did].submit(submission, TEXT))
    return submission, record(stage, submission)


def record(stage: Stage, submission: Submission) -> Record:
    return stage.institute.disk.journal.kept[cid_of(submission)]


def standing(stage: Stage, site: Site) -> list[Receipt]:
    """The receipts of a hospital for what the institute ordered."""
    (kept,) = stage.institute.disk.journal.kept.values()
    found = (stage.nodes[site.did].automator.standing(cid_of(order)) for order in kept.orders)
    return [receipt for receipt in found if receipt is not None]


def done(stage: Stage, submission: Submission) -> Record:
    over = stage.scheduler.run(
        lambda: record(stage, submission).state is not State.RUNNING, stage.scheduler.now + 2 * HOUR
    )
    assert over, "it never ended"
    return record(stage, submission)


@pytest.mark.parametrize("scope", ["all", "project", "home"])
def test_a_halted_site_orders_nothing_until_it_is_resumed(stage: Stage, scope: str) -> None:
    """Lost: a site that was stopped in an emergency has other hospitals open their data for it."""
    about = {
        "all": {},
        "project": {"project": stage.consortium.project},
        "home": {"member": stage.institute.did},
    }[scope]
    say(stage, "halt", **about)
    submission, _ = begun(stage)
    stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
    assert (record(stage, submission).state, record(stage, submission).orders) == (State.RUNNING, ())
    say(stage, "resume", **about)
    ended = done(stage, submission)
    assert (ended.state, ended.reason, ended.spent) == (State.DONE, "", 3 * PRICE)


def test_what_comes_while_the_site_is_halted_is_neither_taken_nor_charged(stage: Stage) -> None:
    """Lost: steps that others had begun are paid for by a site that acts for nobody."""
    submission, _ = begun(stage)
    hospitals = (stage.anna, stage.bruno)
    assert stage.scheduler.run(lambda: all(standing(stage, each) for each in hospitals), stage.scheduler.now + MINUTE)
    before = record(stage, submission)
    assert before.receipts == ()
    say(stage, "halt")
    stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
    assert all(receipt.final for each in hospitals for receipt in standing(stage, each))
    paused = record(stage, submission)
    assert (paused.state, paused.receipts, paused.orders, paused.spent) == (State.RUNNING, (), before.orders, 0)
    say(stage, "resume")
    assert (done(stage, submission).state, record(stage, submission).spent) == (State.DONE, 3 * PRICE)


def test_a_halt_for_one_member_leaves_the_others_steps_alone(stage: Stage) -> None:
    """Lost: nobody dares to halt what concerns one member, since it stops all."""
    say(stage, "halt", member=stage.bruno.did)
    submission, _ = begun(stage)
    stage.scheduler.run(lambda: False, stage.scheduler.now + 10 * MINUTE)
    assert [order.site for order in record(stage, submission).orders] == [stage.anna.did]
    assert len(record(stage, submission).receipts) == 1
    say(stage, "resume", member=stage.bruno.did)
    assert done(stage, submission).state is State.DONE
