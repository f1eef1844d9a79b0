"""A schedule made better step by step: tasks change to other candidates where that pays and the limits are kept.

Many change together first, those that save most; of a change that breaks a limit only half is tried, then, and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workflow.plan.heft import assigned
from workflow.plan.problem import Candidate, Objective, Problem, Schedule, within

GoOn = Callable[[], bool]
"""Asked before each schedule that is made: whether there is time left."""


def cheaper(problem: Problem, schedule: Schedule, go_on: GoOn) -> Schedule:
    """A schedule that costs no more, within the same limits, for as long as ``go_on`` says."""
    chosen = candidates_of(problem, schedule)
    moves = _savings(problem, chosen)
    batch = len(moves)
    while moves and go_on():
        batch = max(1, min(batch, len(moves)))
        tried = list(chosen)
        for _, task, candidate in reversed(moves[:batch]):  # of one task's changes the one that saves most comes last
            tried[task] = candidate
        made = assigned(problem, tried)
        if within(problem, made) and made.worth(Objective.COST) < schedule.worth(Objective.COST):
            schedule, chosen, moves = made, tried, _savings(problem, tried)
        elif batch == 1:
            moves = moves[1:]
        else:
            batch //= 2
    return schedule


def candidates_of(problem: Problem, schedule: Schedule) -> list[Candidate]:
    """The candidate that each task runs as."""
    return [
        next(
            each
            for each in task.candidates
            if (each.site, each.millis, each.cost) == (run.site, run.finish - run.start, run.cost)
        )
        for task, run in zip(problem.tasks, schedule.runs, strict=True)
    ]


def _savings(problem: Problem, chosen: Sequence[Candidate]) -> list[tuple[int, int, Candidate]]:
    """Every change of one task to a cheaper candidate, the greatest saving first."""
    found = (
        (here.cost - each.cost, number, each)
        for number, (task, here) in enumerate(zip(problem.tasks, chosen, strict=True))
        for each in task.candidates
        if each.cost < here.cost
    )
    return sorted(found, key=lambda move: (-move[0], move[1], move[2].site))
