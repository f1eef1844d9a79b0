"""Schedules by what the linear program says: each task where it has its greatest share, or its cheapest good one.

The program packs sites without gaps and lets a task run in parts, so its own deadline is made stricter until what is
made of its solution keeps the real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from node.planning.linear import relaxed
from workflow.plan.heft import Choose, Option, assigned, listed, ranked, shortest_tails
from workflow.plan.problem import Objective, Problem, Schedule, within

STRICTEST: Final = 0.3
"""The least share of the real deadline that the program is given."""
NEAR: Final = 0.01
SHARE: Final = 0.02
"""From which share on a candidate counts as one that the program wants."""


def rounded(problem: Problem, seconds_left: Callable[[], float]) -> Iterator[Schedule]:
    """Schedules within the limits, by bisection of the program's deadline; for the cost under a deadline alone."""
    if problem.deadline is None or problem.deadline <= 0 or problem.objective is not Objective.COST:
        return
    order, tails = ranked(problem), shortest_tails(problem)
    low, high, factor = STRICTEST, 1.0, 1.0
    while seconds_left() > 0 and high - low > NEAR:
        strict = problem.limited(int(problem.deadline * factor), problem.budget, Objective.COST)
        solution = relaxed(strict, seconds_left())
        kept = False
        late = 1.0
        if solution is not None:
            for made in _made(problem, order, tails, solution.shares):
                late = min(late, problem.deadline / max(1, made.finish))
                if within(problem, made):
                    kept = True
                    yield made
        if solution is None or kept:
            low = factor
        else:
            high = factor
        # The first steps go by how late it was, which comes near in two or three.
        factor = max(low, factor * late**0.5) if low == STRICTEST and not kept else (low + high) / 2
        if factor >= high - NEAR / 2:
            factor = (low + high) / 2


def _made(
    problem: Problem, order: Sequence[int], tails: Sequence[int], shares: Sequence[Sequence[float]]
) -> Iterator[Schedule]:
    yield assigned(
        problem,
        [
            task.candidates[max(range(len(share)), key=share.__getitem__)]
            for task, share in zip(problem.tasks, shares, strict=True)
        ],
    )
    yield listed(problem, order, _wanted(problem, tails, shares))


def _wanted(problem: Problem, tails: Sequence[int], shares: Sequence[Sequence[float]]) -> Choose:
    """The cheapest of what has a share and ends in time for those after it; else of what ends in time."""
    wanted = [
        {each.site for each, share in zip(task.candidates, row, strict=True) if share >= SHARE}
        for task, row in zip(problem.tasks, shares, strict=True)
    ]
    deadline = problem.deadline or 0

    def choose(task: int, options: Sequence[Option]) -> Option:
        in_time = [option for option in options if option[0] <= deadline - tails[task]]
        good = [option for option in in_time if option[2].site in wanted[task]]
        if not in_time:
            return min(options, key=lambda option: (option[0], option[2].cost))
        return min(good or in_time, key=lambda option: (option[2].cost, option[0]))

    return choose
