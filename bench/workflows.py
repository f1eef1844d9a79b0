"""Plans of 300 steps on ten sites: how soon the first is there, and how far the best of 5 seconds is from the bound.

The workflows are those of :mod:`bench.shapes`, in six published shapes, a fifth of the steps pinned to a site by
resident data. The deadline is 1.1, 1.3 and 2 times the bound of the finish, and hard; what is made least is the cost.

The bound is the linear program's of :mod:`workflow.plan.bound`, solved by GLOP: each task placed in fractions, in the
order of its edges with durations by these fractions and with delays as far as they are certain, and for each site a
load that its slots must have room for: of all tasks there, pinned ones whole; of those that cannot begin before some
moment and are followed by some time at least; and of those that come before, or after, one task. The bound of the
finish is the greatest of it and of the longest way through the tasks. It lies below the best plan, by how much nobody
knows; so a plan that is 6 % above it is at most that far from the best, and a deadline of 1.1 times it may be one that
nothing keeps.

Promised are 500 ms to the first plan, 6 % over the bound after 5 s, and 3 s to say why there is no plan, where the
deadline is half of the bound. Beside it HEFT and Max-Min, which know neither cost nor deadline, and a plan of chance
that keeps the deadline. Where nothing keeps it, or nothing was found, the notes say so and the row counts the others.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import trio

from bench.figure import Figure, Floor, Report, Series
from bench.rivals import chance, maxmin
from bench.shapes import SHAPES, instance
from catalog.error import ComityError
from node.planning.linear import relaxed
from node.planning.solver import Solver
from workflow.plan.conflict import conflicts
from workflow.plan.heft import feasible, heft
from workflow.plan.problem import Objective, Problem, Schedule, faults, within

STEPS: Final = 300
SEED: Final = 1
SECONDS: Final = 5.0
FACTORS: Final = (1.1, 1.3, 2.0)
PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance: milliseconds to the first plan, and per cent over the bound of each plan's cost."""

    name: str
    first: float
    ours: float | None
    at_once: float | None
    heft: float
    heft_late: bool
    maxmin: float
    chance: float | None
    impossible: bool


def measure() -> Report:
    """Plan every instance, and one of each shape that cannot be planned."""
    bounds = {shape: _bound(instance(shape, STEPS, SEED), Objective.FINISH) for shape in SHAPES}
    found = {factor: [_outcome(shape, int(bounds[shape] * factor), factor) for shape in SHAPES] for factor in FACTORS}
    every = [each for outcomes in found.values() for each in outcomes]
    figures = [_first(every), *(_over(factor, outcomes) for factor, outcomes in found.items()), _worst(every)]
    return Report((*figures, _explained(bounds)), tuple(_told(each) for each in every))


def _bound(problem: Problem, objective: Objective) -> int:
    solution = relaxed(problem.limited(problem.deadline, None, objective), PATIENCE)
    if solution is None:
        raise ComityError("the benchmark's linear program has no solution")
    return solution.bound


def _outcome(shape: str, deadline: int, factor: float) -> Outcome:
    problem = instance(shape, STEPS, SEED).limited(deadline, None, Objective.COST)
    bound = _bound(problem, Objective.COST)
    began = time.perf_counter()
    first = feasible(problem)
    spent = time.perf_counter() - began
    best = trio.run(Solver().improve, problem, first, SECONDS)
    if best.schedule is not None and faults(problem, best.schedule):
        raise ComityError(f"the plan of {shape} is none")
    fast = heft(problem)
    return Outcome(
        f"{shape} × {factor}",
        spent * 1000,
        _per_cent(best.schedule, bound),
        _per_cent(first, bound),
        _per_cent(fast, bound) or 0.0,
        not within(problem, fast),
        _per_cent(maxmin(problem), bound) or 0.0,
        _per_cent(chance(problem, SEED), bound),
        best.impossible,
    )


def _per_cent(schedule: Schedule | None, bound: int) -> float | None:
    return None if schedule is None else round((schedule.cost / bound - 1) * 100, 2)


def _first(every: list[Outcome]) -> Figure:
    kept = tuple(round(each.first, 1) for each in every if each.at_once is not None)
    reference = Series("the slowest of them", (max(kept),))
    return Figure(f"the first plan of {STEPS} steps", Series("ours", kept), reference, Floor(500.0))


def _over(factor: float, outcomes: list[Outcome]) -> Figure:
    ours = tuple(each.ours for each in outcomes if each.ours is not None)
    reference = Series("HEFT", tuple(each.heft for each in outcomes))
    what = f"cost over the bound after {SECONDS:g} s, deadline × {factor}, {len(ours)} of {len(outcomes)} planned"
    return Figure(what, Series("ours", ours), reference, Floor(6.0), "%")


def _worst(every: list[Outcome]) -> Figure:
    ours = max(each.ours for each in every if each.ours is not None)
    random = tuple(each.chance for each in every if each.chance is not None)
    return Figure("of all, the worst", Series("ours", (ours,)), Series("a plan of chance", random), Floor(6.0), "%")


def _explained(bounds: dict[str, int]) -> Figure:
    seconds = []
    for shape, bound in bounds.items():
        problem = instance(shape, STEPS, SEED).limited(bound // 2, None, Objective.COST)
        began = time.perf_counter()
        if not conflicts(problem):
            raise ComityError(f"half of the bound is no conflict for {shape}")
        seconds.append(time.perf_counter() - began)
    ours = Series.of_seconds("ours", seconds)
    return Figure("why there is no plan", ours, Series("the slowest of them", (max(ours.values),)), Floor(3000.0))


def _told(each: Outcome) -> str:
    late = ", after the deadline" if each.heft_late else ""
    rivals = f"HEFT {each.heft:.1f} %{late}, Max-Min {each.maxmin:.1f} %"
    rivals += f", chance {each.chance:.1f} %" if each.chance is not None else ", chance found none"
    if each.ours is None:
        why = "proven that nothing keeps it" if each.impossible else "neither found nor proven impossible"
        return f"{each.name}: no plan, {why}; {rivals}"
    at_once = f"{each.at_once:.1f} % at once" if each.at_once is not None else "none at once"
    return f"{each.name}: {each.ours:.1f} % over the bound, {at_once} ({each.first:.0f} ms); {rivals}"
