"""The process that solves: ``python -m node.planning.child`` reads a :class:`Wanted`, writes each :class:`Found`.

First the linear program for a bound, schedules by it, and changes of single tasks; then CP-SAT, from the best schedule
for half of what is left, and without it for the other half, so that where that schedule leads nowhere something else
does. It ends when its time is over, when nothing better is possible, or when whoever started it ends it.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Final

from node.planning.linear import relaxed
from node.planning.pipe import Found, Wanted, line, read_wanted
from node.planning.rounding import rounded
from workflow.plan.bound import quick
from workflow.plan.heft import best
from workflow.plan.local import cheaper
from workflow.plan.problem import Objective, Problem, Schedule, never, within

ROUNDING: Final = 0.5
CHANGING: Final = 0.7
"""Shares of the time after which rounding makes way for changing single tasks, and that for CP-SAT."""
SHORT: Final = 10.0
"""Seconds below which changing single tasks goes on to the end if it can: CP-SAT needs some to be imported alone."""
LAST: Final = 0.15
"""Seconds that are kept back for the solver to stop and the last line to be written."""


class Best:
    """The best schedule so far and the bound; each that is better is told at once."""

    def __init__(self, problem: Problem, first: Schedule | None) -> None:
        self._problem = problem
        self.schedule = first
        self.bound = quick(problem).of(problem.objective)

    def take(self, schedule: Schedule | None, bound: int = 0) -> None:
        """Take what is better, and tell."""
        objective = self._problem.objective
        better = schedule is not None and (
            self.schedule is None or schedule.worth(objective) < self.schedule.worth(objective)
        )
        if schedule is not None and better and within(self._problem, schedule):
            self.schedule = schedule
        else:
            schedule = None
        if schedule is None and bound <= self.bound:
            return
        self.bound = max(self.bound, bound)
        _say(Found(self.bound, schedule))

    @property
    def proven(self) -> bool:
        """Whether nothing can be better."""
        return self.schedule is not None and self.schedule.worth(self._problem.objective)[0] <= self.bound


def solve(wanted: Wanted, began: float) -> None:
    """Solve until ``seconds`` after ``began``, on the monotonic clock."""
    problem, end = wanted.problem, began + wanted.seconds - LAST

    def left(share: float = 1.0) -> float:
        return end - time.monotonic() - (1 - share) * wanted.seconds

    found = Best(problem, wanted.first)
    _say(Found(found.bound, impossible=bool(never(problem))))
    if never(problem):
        return
    changing = 0.95 if wanted.seconds < SHORT else CHANGING
    found.take(best(problem))
    solution = relaxed(problem, left())
    if solution is not None:
        found.take(None, solution.bound)
    for made in rounded(problem, lambda: left(ROUNDING)):
        found.take(made)
    if problem.objective is Objective.COST and found.schedule is not None:
        found.take(cheaper(problem, found.schedule, lambda: left(changing) > 0))
    if left() > 0 and not found.proven:
        _constrained(wanted, found, left())


def _constrained(wanted: Wanted, found: Best, seconds: float) -> None:
    from node.planning.constraint import Model  # a second to import, which is worth it now

    problem, began = wanted.problem, time.monotonic()
    model = Model(problem, _horizon(problem, found.schedule))
    for hinted in (True, False):
        left = seconds - (time.monotonic() - began)
        share = left / 2 if hinted and found.schedule is not None else left
        if share <= 0 or (hinted and found.schedule is None):
            continue
        done = model.solve(found.schedule if hinted else None, found.schedule, share, wanted.threads, found.take)
        if done and found.schedule is None:
            _say(Found(found.bound, impossible=True))
        if done:
            return


def _horizon(problem: Problem, schedule: Schedule | None) -> int:
    """By when a plan that is worth looking for has ended."""
    if problem.deadline is not None:
        return max(0, problem.deadline)
    if schedule is not None and problem.objective is Objective.FINISH:
        return schedule.finish
    return sum(max(each.millis for each in task.candidates) for task in problem.tasks) + sum(
        problem.delay(edge.bytes, 0, 1) for task in problem.tasks for edge in task.after
    )


def _say(found: Found) -> None:
    sys.stdout.buffer.write(line(found))
    sys.stdout.buffer.flush()


def main() -> None:
    """Solve what stands on standard input."""
    began = time.monotonic()
    wanted = read_wanted(sys.stdin.buffer.readline())
    most = wanted.memory_mib << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    solve(wanted, began)


if __name__ == "__main__":
    main()
