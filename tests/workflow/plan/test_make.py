"""A workflow as a plan."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.error import BadInput, Infeasible
from catalog.offer import OfferFields
from node.bus.bus import Bus
from tests.adversary.stage import TEXT, Stage
from tests.simulation.consortium import PRICE
from workflow.argument import Many
from workflow.plan.learned import history_of
from workflow.plan.make import Limits, Plan


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


def bus(stage: Stage) -> Bus:
    return stage.nodes[stage.institute.did].bus


def data(stage: Stage) -> dict[str, Many]:
    return {"data": Many(items=(stage.data(stage.anna), stage.data(stage.bruno)))}


def test_what_was_planned_is_planned_again_at_the_same_places(stage: Stage) -> None:
    """Lost: a restart, or a receipt that teaches something, moves steps of a submission that runs."""
    names = stage.consortium.names
    plan: Plan = stage.play(bus(stage).plan(TEXT, data(stage), names))[1]
    again: Plan = stage.play(bus(stage).plan(TEXT, data(stage), names, Limits(), plan.places))[1]
    assert again.places == plan.places
    assert again.cost == plan.cost


def test_places_that_are_not_eligible_any_more_hold_nobody_there(stage: Stage) -> None:
    """Lost: a site that may not read the data any more gets the step all the same."""
    names = stage.consortium.names
    plan: Plan = stage.play(bus(stage).plan(TEXT, data(stage), names))[1]
    wrong = dict.fromkeys(plan.places, stage.mallory.did)
    again: Plan = stage.play(bus(stage).plan(TEXT, data(stage), names, Limits(), wrong))[1]
    resident = [each for each in plan.steps if each.data]
    assert resident
    assert all(again.places[each.step, each.shard] == each.site for each in resident)


def pinned(step: str, site: str) -> str:
    """The workflow whose ``step`` may run at ``site`` alone."""
    text = TEXT.replace("class: Workflow", 'class: Workflow\n$namespaces: {comity: "urn:comity:cwl#"}')
    return text.replace(f"  {step}: {{", f"  {step}: {{'comity:site': {site!r}, ")


def test_a_step_that_is_pinned_runs_there_or_nowhere(stage: Stage) -> None:
    """Lost: a step runs at a site that its author excluded; or a wrong name pins it to nothing."""
    names = stage.consortium.names
    home = names[stage.institute.did]
    plan: Plan = stage.play(bus(stage).plan(pinned("pool", home), data(stage), names))[1]
    assert next(each.site for each in plan.steps if each.step == "pool") == stage.institute.did
    with pytest.raises(Infeasible, match=f"pinned to {home}"):
        stage.play(bus(stage).plan(pinned("count", home), data(stage), names))
    with pytest.raises(BadInput, match="names no site of the consortium"):
        stage.play(bus(stage).plan(pinned("count", "St. Nobody"), data(stage), names))


def test_the_budget_counts_what_each_step_may_cost_at_most(stage: Stage) -> None:
    plan: Plan = stage.play(bus(stage).plan(TEXT, data(stage), stage.consortium.names))[1]
    assert [each.cost for each in plan.steps] == [PRICE] * len(plan.steps)
    offer = stage.nodes[stage.institute.did].index.site(stage.anna.did).typed(OfferFields, "offer")
    assert offer is not None
    assert {each.estimate.receipts for each in plan.steps} == {0}
    assert {each.estimate.millis for each in plan.steps} == {offer.step_millis}


def test_a_consortium_that_has_run_nothing_teaches_nothing(stage: Stage) -> None:
    history = history_of(stage.nodes[stage.institute.did].index, [])
    assert history.estimate(stage.data(stage.anna).cid, stage.anna.did, 10, 5).receipts == 0
