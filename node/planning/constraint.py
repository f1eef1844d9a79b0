"""A plan as a model of CP-SAT, OR-tools' solver of constraints.

Each task has a start, and for each candidate an interval that is there or not: exactly one is. Sites are cumulative
resources. Data travel between two tasks unless both are at one site. All numbers are those of the problem, in ms and
millionths, so what the solver proves is proven of the problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ortools.sat.python import cp_model

from workflow.plan.heft import unavoidable
from workflow.plan.local import candidates_of
from workflow.plan.problem import Objective, Problem, Run, Schedule

Tell = Callable[[Schedule | None, int], None]
"""Called with a new schedule, if there is one, and the bound by the objective."""


class Model:
    """The model of a problem whose tasks all have a candidate, where everything ends by ``horizon``."""

    def __init__(self, problem: Problem, horizon: int) -> None:
        self._problem = problem
        self._horizon = horizon
        self._model = cp_model.CpModel()
        self.starts = [self._model.new_int_var(0, horizon, "") for _ in problem.tasks]
        self.present = [[self._model.new_bool_var("") for _ in task.candidates] for task in problem.tasks]
        self._lasts = [
            sum(each.millis * here for each, here in zip(task.candidates, present, strict=True))
            for task, present in zip(problem.tasks, self.present, strict=True)
        ]
        self._sites()
        self._order()
        self._limit()

    def solve(self, hint: Schedule | None, best: Schedule | None, seconds: float, threads: int, tell: Tell) -> bool:
        """Look for schedules better than ``best``, from ``hint`` or none, for so long; whether there is no more."""
        model = self._model.clone()
        if best is not None:
            worth = self._finish if self._problem.objective is Objective.FINISH else self._cost
            model.add(worth <= best.worth(self._problem.objective)[0])
        if hint is not None:
            self._hint(model, hint)
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = threads
        solver.parameters.random_seed = 1
        status = solver.solve(model, _Watch(self, tell))
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            tell(self._schedule(solver.value), math.ceil(solver.best_objective_bound - 1e-3))
        return status in (cp_model.OPTIMAL, cp_model.INFEASIBLE)

    def schedule(self, watch: cp_model.CpSolverSolutionCallback) -> Schedule:
        """The solution that the solver has just found."""
        return self._schedule(watch.value)

    def _schedule(self, value: Callable[[cp_model.IntVar], int]) -> Schedule:
        runs = []
        for task, start, present in zip(self._problem.tasks, self.starts, self.present, strict=True):
            at = value(start)
            (here,) = (each for each, there in zip(task.candidates, present, strict=True) if value(there))
            runs.append(Run(here.site, at, at + here.millis, here.cost))
        return Schedule(tuple(runs))

    def _sites(self) -> None:
        for number, site in enumerate(self._problem.sites):
            intervals = []
            for at, task in enumerate(self._problem.tasks):
                for each, here in zip(task.candidates, self.present[at], strict=True):
                    if each.site == number:
                        intervals.append(
                            self._model.new_optional_fixed_size_interval_var(self.starts[at], each.millis, here, "")
                        )
            if intervals and site.at_once == 1:
                self._model.add_no_overlap(intervals)
            elif len(intervals) > site.at_once:
                self._model.add_cumulative(intervals, [1] * len(intervals), site.at_once)
        for present in self.present:
            self._model.add_exactly_one(present)

    def _order(self) -> None:
        for number, task in enumerate(self._problem.tasks):
            for edge in task.after:
                ready = self.starts[edge.before] + self._lasts[edge.before]
                whole = self._problem.delay(edge.bytes, 0, 1)
                if whole and not unavoidable(self._problem, edge.before, number, edge.bytes):
                    beside = self._beside(edge.before, number)
                    self._model.add(self.starts[number] >= ready + whole - sum(whole * each for each in beside))
                else:
                    self._model.add(self.starts[number] >= ready + whole)

    def _beside(self, one: int, other: int) -> Sequence[cp_model.IntVar]:
        """For each site that may run both: whether it does."""
        tasks = self._problem.tasks
        there = {each.site: here for each, here in zip(tasks[other].candidates, self.present[other], strict=True)}
        found = []
        for each, here in zip(tasks[one].candidates, self.present[one], strict=True):
            if each.site in there:
                both = self._model.new_bool_var("")
                self._model.add_implication(both, here)
                self._model.add_implication(both, there[each.site])
                found.append(both)
        return found

    def _limit(self) -> None:
        problem = self._problem
        self._finish = self._model.new_int_var(0, self._horizon, "")
        for start, last in zip(self.starts, self._lasts, strict=True):
            self._model.add(self._finish >= start + last)
        self._cost = sum(
            each.cost * here
            for task, present in zip(problem.tasks, self.present, strict=True)
            for each, here in zip(task.candidates, present, strict=True)
        )
        if problem.budget is not None:
            self._model.add(self._cost <= problem.budget)
        self._model.minimize(self._cost if problem.objective is Objective.COST else self._finish)

    def _hint(self, model: cp_model.CpModel, schedule: Schedule) -> None:
        chosen = candidates_of(self._problem, schedule)
        for number, (run, task) in enumerate(zip(schedule.runs, self._problem.tasks, strict=True)):
            model.add_hint(self.starts[number], run.start)
            for each, here in zip(task.candidates, self.present[number], strict=True):
                model.add_hint(here, each is chosen[number])


class _Watch(cp_model.CpSolverSolutionCallback):
    def __init__(self, model: Model, tell: Tell) -> None:
        super().__init__()
        self._of = model
        self._tell = tell

    def on_solution_callback(self) -> None:
        self._tell(self._of.schedule(self), math.ceil(self.best_objective_bound - 1e-3))
