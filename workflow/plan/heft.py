"""A schedule at once: tasks in the order of their upward ranks, each where it fits best (HEFT, with insertion).

Topcuoglu, Hariri and Wu 2002, «Performance-effective and low-complexity task scheduling for heterogeneous computing».
A task's upward rank is the longest way from its beginning to the end of all: mean durations over its candidates, and
what its data take to travel between two different of them. Sites run several tasks at once. Hard limits are kept by
narrowing what a task may choose from: to what ends by its latest finish, where the tasks after it are given their
shortest durations ``stretch`` times over, and to what costs no more than its cheapest and a ``share`` of the money that
is left when all others are given their cheapest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from workflow.plan.problem import Candidate, Objective, Problem, Run, Schedule, readers, within
from workflow.plan.timeline import Timeline

STRETCHES: Final = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 9.0)
SHARES: Final = (1.0, 0.3, 0.1, 0.03, 0.01, 0.0)

Option = tuple[int, int, Candidate]
"""When it would end, when it would begin, and where."""

Choose = Callable[[int, Sequence[Option]], Option]


def heft(problem: Problem) -> Schedule:
    """Every task where it ends first, limits aside.

    A task that no site may run is the caller's to find before: :func:`workflow.plan.problem.never`.
    """
    return listed(problem, ranked(problem), _first_to_end)


def feasible(problem: Problem) -> Schedule | None:
    """The first schedule found that keeps the limits; none if none of those tried does."""
    return next((each for each in attempts(problem) if within(problem, each)), None)


def best(problem: Problem) -> Schedule | None:
    """The best schedule by the objective of all that are tried and keep the limits, if there is one."""
    kept = [each for each in attempts(problem) if within(problem, each)]
    return min(kept, key=lambda each: each.worth(problem.objective), default=None)


def attempts(problem: Problem) -> Iterator[Schedule]:
    """Schedules, each made when it is asked for, from what the objective wants most to what the limits want most."""
    order = ranked(problem)
    tails = shortest_tails(problem)
    if problem.objective is Objective.COST:
        if problem.deadline is None:
            yield listed(problem, order, _cheapest)
            return
        for stretch in STRETCHES:
            yield listed(problem, order, _by(tails, problem.deadline, stretch))
        yield from _frugal(problem, order)
        return
    yield from _frugal(problem, order)
    if problem.budget is not None:
        yield listed(problem, order, _cheapest)


def _frugal(problem: Problem, order: Sequence[int]) -> Iterator[Schedule]:
    """Each task where it ends first of what the budget allows, all of the money that is left at first."""
    if problem.budget is None:
        yield listed(problem, order, _first_to_end)
        return
    for share in SHARES:
        yield listed(problem, order, _affordable(problem, problem.budget, share))


def ranked(problem: Problem) -> list[int]:
    """The tasks by their upward ranks, the greatest first; each comes after those that it waits for."""
    ranks = [0.0] * len(problem.tasks)
    after = readers(problem)
    for number in reversed(range(len(problem.tasks))):
        task = problem.tasks[number]
        mean = sum(each.millis for each in task.candidates) / len(task.candidates)
        sites = {each.site for each in task.candidates}
        tail = 0.0
        for later, size in after[number]:
            tail = max(tail, ranks[later] + _mean_delay(problem, size, sites, later))
        ranks[number] = mean + tail
    return sorted(range(len(problem.tasks)), key=lambda number: (-ranks[number], number))


def _mean_delay(problem: Problem, size: int, sites: set[int], later: int) -> float:
    if not problem.rate or not size:
        return 0.0
    others = problem.tasks[later].candidates
    beside = sum(each.site in sites for each in others)
    return size / problem.rate * (1 - beside / (len(sites) * len(others)))


def shortest_tails(problem: Problem) -> list[int]:
    """For each task how long it takes at least from its end to the end of all."""
    tails = [0] * len(problem.tasks)
    for number in reversed(range(len(problem.tasks))):
        task = problem.tasks[number]
        shortest = min((each.millis for each in task.candidates), default=0)
        for edge in task.after:
            away = unavoidable(problem, edge.before, number, edge.bytes)
            tails[edge.before] = max(tails[edge.before], tails[number] + shortest + away)
    return tails


def unavoidable(problem: Problem, one: int, other: int, size: int) -> int:
    """How long these bytes travel between the two tasks wherever they run: not at all if one site may run both."""
    if not problem.rate or not size:
        return 0
    here = {each.site for each in problem.tasks[one].candidates}
    there = {each.site for each in problem.tasks[other].candidates}
    return 0 if here & there or not here or not there else -(-size // problem.rate)


def listed(problem: Problem, order: Sequence[int], choose: Choose) -> Schedule:
    """The tasks placed one after another in ``order``, each where ``choose`` wants it of all its candidates."""
    lines = [Timeline(site.at_once) for site in problem.sites]
    runs: dict[int, Run] = {}
    for number in order:
        options = []
        for each in problem.tasks[number].candidates:
            start = lines[each.site].earliest(ready_at(problem, runs, number, each.site), each.millis)
            options.append((start + each.millis, start, each))
        finish, start, chosen = choose(number, options)
        lines[chosen.site].take(start, chosen.millis)
        runs[number] = Run(chosen.site, start, finish, chosen.cost)
    return Schedule(tuple(runs[number] for number in range(len(problem.tasks))))


def assigned(problem: Problem, chosen: Sequence[Candidate]) -> Schedule:
    """The schedule of tasks whose candidates are chosen: the one first whose way to the end is the longest."""
    ways = [0] * len(chosen)
    for number in reversed(range(len(chosen))):
        ways[number] += chosen[number].millis
        for edge in problem.tasks[number].after:
            away = problem.delay(edge.bytes, chosen[edge.before].site, chosen[number].site)
            ways[edge.before] = max(ways[edge.before], ways[number] + away)
    lines = [Timeline(site.at_once) for site in problem.sites]
    runs: dict[int, Run] = {}
    for number in sorted(range(len(ways)), key=lambda number: (-ways[number], number)):
        here = chosen[number]
        start = lines[here.site].earliest(ready_at(problem, runs, number, here.site), here.millis)
        lines[here.site].take(start, here.millis)
        runs[number] = Run(here.site, start, start + here.millis, here.cost)
    return Schedule(tuple(runs[number] for number in range(len(chosen))))


def ready_at(problem: Problem, runs: Mapping[int, Run], task: int, site: int) -> int:
    """When all that a task waits for has ended and is at the site."""
    ready = 0
    for edge in problem.tasks[task].after:
        before = runs[edge.before]
        ready = max(ready, before.finish + problem.delay(edge.bytes, before.site, site))
    return ready


def _first_to_end(_task: int, options: Sequence[Option]) -> Option:
    return min(options, key=lambda option: (option[0], option[2].cost))


def _cheapest(_task: int, options: Sequence[Option]) -> Option:
    return min(options, key=lambda option: (option[2].cost, option[0]))


def _by(tails: Sequence[int], deadline: int, stretch: float) -> Choose:
    """The cheapest of what ends in time for those after it; if nothing does, what ends first."""

    def choose(task: int, options: Sequence[Option]) -> Option:
        latest = deadline - stretch * tails[task]
        in_time = [option for option in options if option[0] <= latest]
        return _cheapest(task, in_time) if in_time else _first_to_end(task, options)

    return choose


def _affordable(problem: Problem, budget: int, share: float) -> Choose:
    """What ends first of all that leaves the others their cheapest; of the cheapest if nothing does.

    It counts down what is left of the budget, so it serves one schedule.
    """
    cheapest = [min(each.cost for each in task.candidates) for task in problem.tasks]
    left = budget - sum(cheapest)

    def choose(task: int, options: Sequence[Option]) -> Option:
        nonlocal left
        most = cheapest[task] + max(0, int(left * share))
        chosen = _first_to_end(task, [option for option in options if option[2].cost <= most])
        left -= chosen[2].cost - cheapest[task]
        return chosen

    return choose
