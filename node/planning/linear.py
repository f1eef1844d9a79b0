"""The linear program of a plan, solved by GLOP, the simplex method of OR-tools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ortools.linear_solver import pywraplp  # type: ignore[import-untyped]

from workflow.plan.bound import program, quick
from workflow.plan.problem import Problem

_EXACT: Final = 1e-6
"""How exactly GLOP solves: a bound is that much less than what it says."""


@dataclass(frozen=True, slots=True)
class Relaxed:
    """The solution: a bound by the objective, and what share each candidate of each task has."""

    bound: int
    shares: Sequence[Sequence[float]]


def relaxed(problem: Problem, seconds: float) -> Relaxed | None:
    """The best solution of a problem's linear program; none if it has none, or not within so many seconds."""
    wanted = program(problem)
    solver = pywraplp.Solver.CreateSolver("GLOP")
    solver.SetTimeLimit(max(1, int(seconds * 1000)))
    columns = [solver.NumVar(0.0, solver.infinity(), "") for _ in range(wanted.width)]
    for task in wanted.columns:
        whole = solver.Constraint(1.0, 1.0)
        for column in task:
            whole.SetCoefficient(columns[column], 1.0)
    for row in wanted.rows:
        limit = solver.Constraint(-solver.infinity(), row.most)
        for column, factor in row.terms:
            limit.SetCoefficient(columns[column], factor)
    objective = solver.Objective()
    for column, factor in wanted.worth:
        objective.SetCoefficient(columns[column], factor)
    objective.SetMinimization()
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return None
    bound = math.ceil((objective.Value() - _EXACT) * wanted.worth_unit)
    shares = [[columns[column].solution_value() for column in task] for task in wanted.columns]
    return Relaxed(max(bound, quick(problem).of(problem.objective)), shares)
