"""The front of finish against cost: plans of which none is better than another one in both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from workflow.plan.heft import attempts
from workflow.plan.problem import Objective, Problem, Schedule, within

POINTS: Final = 6
"""Deadlines that are tried between the first finish and that of the cheapest."""


def front(problem: Problem) -> tuple[Schedule, ...]:
    """The schedules found within the limits that no other one beats, by finish; none if none was found."""
    kept = undominated(each for each in _ends(problem) if within(problem, each))
    if not kept:
        return ()
    first, last = kept[0].finish, kept[-1].finish
    between = [
        each
        for step in range(1, POINTS)
        for each in attempts(problem.limited(first + (last - first) * step // POINTS, problem.budget, Objective.COST))
        if within(problem, each)
    ]
    return undominated((*kept, *between))


def _ends(problem: Problem) -> Iterator[Schedule]:
    for objective in Objective:
        yield from attempts(problem.limited(problem.deadline, problem.budget, objective))


def undominated(schedules: Iterable[Schedule]) -> tuple[Schedule, ...]:
    """Those that no other one is at least as good as in both, by finish; of equals the first."""
    kept: list[Schedule] = []
    for each in sorted(schedules, key=lambda each: (each.finish, each.cost)):
        if not kept or each.cost < kept[-1].cost:
            kept.append(each)
    return tuple(kept)
