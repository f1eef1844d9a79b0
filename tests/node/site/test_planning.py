"""Plans for this site's people."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

from catalog.error import BadInput, Infeasible
from node.ports import Improved
from node.site.planning import MOST_KEPT, Planning, Wish
from tests.adversary.stage import TEXT, Stage
from tests.simulation.consortium import PRICE
from workflow.argument import Many
from workflow.plan.draft import Draft
from workflow.plan.heft import heft
from workflow.plan.make import Limits, Plan
from workflow.plan.problem import Objective, Problem, Schedule


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    Stage.playing.remove(made)
    made.scheduler.close()


@pytest.fixture
def draft(stage: Stage) -> Draft:
    """The institute's, for the data of both hospitals."""
    data = Many(items=(stage.data(stage.anna), stage.data(stage.bruno)))
    bus = stage.nodes[stage.institute.did].bus
    return stage.play(bus.draft(TEXT, {"data": data}, stage.consortium.names))[1]


class Told:
    """Improves nothing, and writes down what it was asked."""

    def __init__(self, found: Schedule | None = None, bound: int = 0) -> None:
        self.asked: list[tuple[Problem, Schedule | None, float]] = []
        self._found = found
        self._bound = bound

    async def improve(self, problem: Problem, first: Schedule | None, seconds: float) -> Improved:
        self.asked.append((problem, first, seconds))
        return Improved(self._found or first, self._bound, impossible=False)


def planned(draft: Draft, limits: Limits, wish: Wish | None = None, told: Told | None = None) -> Plan:
    return trio.run(Planning(told or Told()).plan, draft, limits, wish or Wish())


def test_resident_data_are_read_where_they_lie_and_the_plan_says_why(stage: Stage, draft: Draft) -> None:
    """Lost: a plan sends a step to a site that may not read its data, or does not say why it is not elsewhere."""
    plan = planned(draft, Limits(60_000, 10 * PRICE))
    sites = {each.step: set() for each in plan.steps}
    for each in plan.steps:
        sites[each.step].add(each.site)
        assert {other.site for other in each.elsewhere} | {each.site} == set(stage.consortium.names)
        assert all(other.reason for other in each.elsewhere)
    assert {stage.anna.did, stage.bruno.did} in sites.values()
    assert plan.cost == PRICE * len(plan.steps)


@pytest.mark.parametrize(
    ("limits", "lift"),
    [
        (Limits(-60_000, 10 * PRICE), r"the deadline 60.0 s ago cannot be kept; what would do: deadline \+6[0-9] s"),
        (Limits(60_000, 0), r"the budget 0.00 cannot be kept; what would do: budget \+"),
        (Limits(1, 10 * PRICE), r"the deadline 0.1 s from now cannot be kept"),
    ],
)
def test_limits_that_no_plan_keeps_are_told_with_what_would_lift_them(draft: Draft, limits: Limits, lift: str) -> None:
    """Lost: a deadline that has passed is planned for, or a person is refused and not told what it takes."""
    with pytest.raises(Infeasible, match=lift):
        planned(draft, limits)


def test_what_is_told_to_lift_a_limit_lifts_it(draft: Draft) -> None:
    """Lost: a person gives what was asked for, and is refused again."""
    free = planned(draft, Limits())
    assert planned(draft, Limits(free.finish, free.cost)).finish == free.finish
    with pytest.raises(Infeasible, match="what would do"):
        planned(draft, Limits(free.finish - 1, free.cost))


def test_time_is_given_to_the_solver_and_its_bound_is_told(draft: Draft) -> None:
    """Lost: seconds that a person gives are spent on nothing."""
    told = Told(bound=777)
    plan = planned(draft, Limits(60_000, 10 * PRICE, Objective.FINISH), Wish(Objective.COST, seconds=3.0), told)
    ((problem, first, seconds),) = told.asked
    assert seconds == 3.0
    assert first is not None
    assert problem.objective is Objective.COST
    assert plan.bounds.cost == 777
    told = Told()
    planned(draft, Limits(60_000, 10 * PRICE), Wish(), told)
    assert told.asked == []


def test_what_only_the_solver_finds_is_the_plan(draft: Draft) -> None:
    """Lost: a plan that there is, is refused because none was found at once."""
    found = heft(draft.problem)
    plan = planned(draft, Limits(-1, 0), Wish(seconds=1.0), Told(found))
    assert plan.finish == found.finish


def test_both_objectives_list_what_there_is_to_choose_from(draft: Draft) -> None:
    plan = planned(draft, Limits(60_000, 10 * PRICE), Wish(both=True))
    assert plan.front
    assert (plan.finish, plan.cost) in plan.front


@pytest.mark.parametrize(("objective", "seconds"), [("speed", 0.0), ("cost", -1.0), ("cost", 601.0), ("", 0.0)])
def test_a_wish_that_is_none_is_refused(objective: str, seconds: float) -> None:
    with pytest.raises(BadInput):
        Wish.read(objective, seconds)


def test_a_plan_that_was_shown_is_remembered_and_not_without_end(draft: Draft) -> None:
    """Lost: another plan runs than was shown; or whoever plans and never submits fills the node's memory."""
    planning = Planning(Told())
    plan = planned(draft, Limits())
    for number in range(MOST_KEPT + 1):
        planning.keep(number.to_bytes(16, "big"), plan)
    assert planning.kept((0).to_bytes(16, "big")) is None
    assert planning.kept((1).to_bytes(16, "big")) is plan
