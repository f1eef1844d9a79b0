"""Schedules that are made at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput
from tests.workflow.plan.problems import limited, problems, seeded, tiny
from workflow.plan.bound import quick
from workflow.plan.heft import assigned, attempts, best, feasible, heft, ranked
from workflow.plan.local import candidates_of, cheaper
from workflow.plan.pareto import front
from workflow.plan.problem import Candidate, Edge, Objective, Place, Problem, Run, Schedule, Task, faults, within


@given(limited())
def test_whatever_is_planned_can_be_carried_out_within_the_limits(problem: Problem) -> None:
    """Lost: a plan begins a step before its inputs are there, where it may not run, or beyond what a person allowed."""
    free = problem.limited(None, None, problem.objective)
    for made in attempts(problem):
        assert faults(free, made) == []
    for found in (feasible(problem), best(problem), *front(problem)):
        assert found is None or faults(problem, found) == []


@given(limited())
def test_no_schedule_is_better_than_the_bound(problem: Problem) -> None:
    """Lost: a plan is called the best possible, or impossible, that is not."""
    bounds = quick(problem)
    for made in attempts(problem):
        assert made.finish >= bounds.finish
        assert made.cost >= bounds.cost


@given(tiny)
def test_no_schedule_at_all_is_better_than_the_bound(problem: Problem) -> None:
    """Lost: the bound holds for our heuristics only, which is no bound."""
    bounds = quick(problem)
    for chosen in product(*(task.candidates for task in problem.tasks)):
        for made in orders(problem, chosen):
            assert made.finish >= bounds.finish
            assert made.cost >= bounds.cost


@given(problems)
def test_a_budget_of_the_cheapest_and_not_less_is_enough(problem: Problem) -> None:
    """Lost: a person who gives all that is needed is refused."""
    least = sum(min(each.cost for each in task.candidates) for task in problem.tasks)
    found = best(problem.limited(None, least, Objective.FINISH))
    assert found is not None
    assert found.cost == least
    assert best(problem.limited(None, least - 1, Objective.FINISH)) is None


@given(limited())
def test_making_it_cheaper_breaks_nothing(problem: Problem) -> None:
    """Lost: the last step of planning undoes what the first ones kept."""
    found = best(problem)
    if found is not None:
        better = cheaper(problem, found, lambda: True)
        assert faults(problem, better) == []
        assert better.cost <= found.cost


@given(problems)
def test_what_is_assigned_runs_where_it_was_assigned(problem: Problem) -> None:
    """Lost: a better choice of sites is scheduled as another one."""
    chosen = candidates_of(problem, heft(problem))
    again = assigned(problem, chosen)
    assert faults(problem, again) == []
    assert candidates_of(problem, again) == chosen


@given(problems)
def test_no_point_of_the_front_is_beaten_by_another(problem: Problem) -> None:
    """Lost: a person chooses between two plans of which one is worse in everything."""
    found = front(problem)
    assert [each.finish for each in found] == sorted({each.finish for each in found})
    assert [each.cost for each in found] == sorted({each.cost for each in found}, reverse=True)


def test_a_gap_between_two_tasks_is_used() -> None:
    """Lost: insertion, and a short step waits behind a long one for which its site stands idle."""
    tasks = (
        Task("long", (), (Candidate(0, 10, 0),)),
        Task("after", (Edge(0),), (Candidate(1, 30, 0),)),
        Task("short", (), (Candidate(1, 5, 0),)),
    )
    made = heft(Problem(tasks, (Place("a", 1), Place("b", 1))))
    assert made.runs[2] == Run(1, 0, 5, 0)
    assert made.finish == 40


def test_a_site_runs_as_many_as_it_says() -> None:
    tasks = tuple(Task(f"{number}", (), (Candidate(0, 10, 1),)) for number in range(7))
    assert heft(Problem(tasks, (Place("a", 3),))).finish == 30


def test_of_equals_the_first_candidate_is_taken() -> None:
    """Lost: the same step runs somewhere else each time, for no reason that a person could be told."""
    task = Task("one", (), (Candidate(1, 10, 1), Candidate(0, 10, 1)))
    assert heft(Problem((task,), (Place("a", 1), Place("b", 1)))).runs[0].site == 1


def test_nothing_to_plan_is_a_plan() -> None:
    """Lost: a workflow without steps, or scattered over nothing, is an error."""
    for objective in Objective:
        found = best(Problem((), ()).limited(0, 0, objective))
        assert found is not None
        assert (found.finish, found.cost) == (0, 0)


def test_twenty_thousand_tasks_are_planned() -> None:
    """Lost: the largest workflow that is taken at all is planned for minutes."""
    tasks = tuple(
        Task(f"{number}", (Edge(number - 1000),) if number >= 1000 else (), (Candidate(0, 10, 1), Candidate(1, 12, 1)))
        for number in range(20_000)
    )
    problem = Problem(tasks, (Place("a", 4), Place("b", 64)))
    assert faults(problem, heft(problem)) == []


@given(limited(), st.data())
def test_a_schedule_with_a_fault_is_told_from_one_without(problem: Problem, data: st.DataObject) -> None:
    """Lost: what holds schedules against the problem lets anything pass, and every test above with it."""
    free = problem.limited(None, None, problem.objective)
    made = heft(free)
    number = data.draw(st.integers(0, len(made.runs) - 1))
    run = made.runs[number]
    for wrong in (
        replace(run, start=run.start - 1, finish=run.finish),
        replace(run, cost=run.cost + 1),
        replace(run, start=-1, finish=-1 + run.finish - run.start),
    ):
        assert faults(free, Schedule((*made.runs[:number], wrong, *made.runs[number + 1 :])))
    assert faults(free, Schedule(made.runs[1:]))
    assert faults(free.limited(made.finish - 1, None, Objective.COST), made)
    assert faults(free.limited(None, made.cost - 1, Objective.COST), made)


def test_two_tasks_at_once_where_one_has_room_are_a_fault() -> None:
    task = Task("one", (), (Candidate(0, 10, 0),))
    both = Schedule((Run(0, 0, 10, 0), Run(0, 9, 19, 0)))
    problem = Problem((task, task), (Place("a", 1),))
    assert faults(problem, both)
    assert not faults(problem, Schedule((Run(0, 0, 10, 0), Run(0, 10, 20, 0))))
    assert not faults(replace(problem, sites=(Place("a", 2),)), both)


def test_a_task_whose_data_are_still_under_way_is_a_fault() -> None:
    tasks = (Task("one", (), (Candidate(0, 10, 0),)), Task("two", (Edge(0, 50),), (Candidate(1, 10, 0),)))
    problem = Problem(tasks, (Place("a", 1), Place("b", 1)), rate=10)
    assert faults(problem, Schedule((Run(0, 0, 10, 0), Run(1, 14, 24, 0))))
    assert not faults(problem, Schedule((Run(0, 0, 10, 0), Run(1, 15, 25, 0))))


@pytest.mark.parametrize(
    ("tasks", "sites"),
    [
        ((Task("one", (Edge(0),), ()),), ()),
        ((Task("one", (), (Candidate(1, 1, 1),)),), (Place("a", 1),)),
        ((), (Place("a", 0),)),
    ],
)
def test_what_is_no_problem_is_refused(tasks: tuple[Task, ...], sites: tuple[Place, ...]) -> None:
    with pytest.raises(BadInput):
        Problem(tasks, sites)


def test_each_task_is_ranked_after_what_it_waits_for() -> None:
    problem = seeded(3, tasks=40)
    place = {number: at for at, number in enumerate(ranked(problem))}
    assert all(place[edge.before] < place[number] for number, task in enumerate(problem.tasks) for edge in task.after)


def orders(problem: Problem, chosen: tuple[Candidate, ...]) -> Iterator[Schedule]:
    """Every schedule of these candidates in which each task begins as early as those placed before it let it."""

    def place(runs: dict[int, Run]) -> Iterator[Schedule]:
        if len(runs) == len(chosen):
            yield Schedule(tuple(runs[number] for number in range(len(chosen))))
        for number, task in enumerate(problem.tasks):
            if number in runs or any(edge.before not in runs for edge in task.after):
                continue
            here = chosen[number]
            ready = max(
                (runs[e.before].finish + problem.delay(e.bytes, runs[e.before].site, here.site) for e in task.after),
                default=0,
            )
            moments = sorted({ready} | {run.finish for run in runs.values() if run.finish > ready})
            room = problem.sites[here.site].at_once
            start = next(at for at in moments if _fits(runs, here, at, room))
            yield from place(runs | {number: Run(here.site, start, start + here.millis, here.cost)})

    return place({})


def _fits(runs: dict[int, Run], here: Candidate, start: int, room: int) -> bool:
    beside = [run for run in runs.values() if run.site == here.site and run.finish > start]
    moments = [start, *(run.start for run in beside if start < run.start < start + here.millis)]
    return all(sum(run.start <= at < run.finish for run in beside) < room for at in moments)


def test_within_is_about_both_limits() -> None:
    made = Schedule((Run(0, 0, 10, 5),))
    problem = Problem((Task("one", (), (Candidate(0, 10, 5),)),), (Place("a", 1),))
    assert within(problem.limited(10, 5, Objective.COST), made)
    assert not within(problem.limited(9, 5, Objective.COST), made)
    assert not within(problem.limited(10, 4, Objective.COST), made)
