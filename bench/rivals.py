"""What planning is held against: Max-Min, and a plan of chance that keeps the limits."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from workflow.plan.heft import Option, listed, ranked, ready_at, shortest_tails
from workflow.plan.problem import Problem, Run, Schedule, readers, within
from workflow.plan.timeline import Timeline

TRIES = 40


def maxmin(problem: Problem) -> Schedule:
    """Of the tasks that wait for nothing, that which ends last where it ends first, is placed there; and so on.

    Ibarra and Kim 1977, «Heuristic algorithms for scheduling independent tasks on nonidentical processors», by levels
    of a graph. It knows no limits.
    """
    lines = [Timeline(site.at_once) for site in problem.sites]
    runs: dict[int, Run] = {}
    waits = [len(task.after) for task in problem.tasks]
    after = readers(problem)
    free = [number for number, count in enumerate(waits) if not count]
    while free:
        options = {number: _first(problem, lines, runs, number) for number in free}
        number = max(options, key=lambda each: options[each].finish)
        run = runs[number] = options[number]
        lines[run.site].take(run.start, run.finish - run.start)
        free.remove(number)
        for later, _ in after[number]:
            waits[later] -= 1
            if not waits[later]:
                free.append(later)
    return Schedule(tuple(runs[number] for number in range(len(problem.tasks))))


def _first(problem: Problem, lines: Sequence[Timeline], runs: dict[int, Run], number: int) -> Run:
    found = []
    for each in problem.tasks[number].candidates:
        start = lines[each.site].earliest(ready_at(problem, runs, number, each.site), each.millis)
        found.append(Run(each.site, start, start + each.millis, each.cost))
    return min(found, key=lambda run: run.finish)


def chance(problem: Problem, seed: int) -> Schedule | None:
    """The first of some plans of chance that keeps the limits: each task where it ends in time, if it does."""
    random, order, tails = Random(seed), ranked(problem), shortest_tails(problem)

    def choose(task: int, options: Sequence[Option]) -> Option:
        latest = (problem.deadline or 0) - tails[task]
        in_time = [option for option in options if option[0] <= latest]
        return random.choice(in_time) if in_time else min(options, key=lambda option: option[0])

    made = (listed(problem, order, choose) for _ in range(TRIES))
    return next((each for each in made if within(problem, each)), None)
