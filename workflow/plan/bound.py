"""What no schedule can be better than: a bound that is read off at once, and the linear program that is a better one.

The program places each task at its candidates in fractions ``x`` that add up to 1, and gives it a start ``s``. A task
begins after those before it have ended, of mean duration by their fractions, and after their data have come as far as
that is known for certain (one of both can run at one site only, or no site may run both). A site's slots have room for
what is placed there, the *load*; where only that site may run a task its fraction there is 1, the *pinned load*. That
row stands for all of a site's tasks between the start and the finish; for those that cannot begin before some moment,
and after which some time must pass; and for those that all must have ended when some task begins, or cannot begin
before it has ended. Every schedule is a solution, so no schedule is better than the best solution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workflow.plan.heft import shortest_tails, unavoidable
from workflow.plan.problem import Objective, Problem

_STEPS = 4
"""Into how many heads and tails the loads of a site are parted."""

_GATES = 12
"""Tasks for whose beginning, and for whose end, the loads of a site stand: those that most others wait for."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """No schedule ends before ``finish`` (ms), and none costs less than ``cost`` (millionths)."""

    finish: int
    cost: int

    def of(self, objective: Objective) -> int:
        """The one of both that the objective is about."""
        return self.cost if objective is Objective.COST else self.finish


@dataclass(frozen=True, slots=True)
class Row:
    """The sum of ``terms``, each a column and a factor, is at most ``most``."""

    terms: tuple[tuple[int, float], ...]
    most: float


@dataclass(frozen=True, slots=True)
class Program:
    """A linear program: make ``worth`` least, all columns at least 0, the ``shares`` adding up to 1 each.

    ``columns[task][candidate]`` are the fractions; then comes a start for each task, in units of ``unit`` ms, and last
    the finish in the same unit. The worth is in ``worth_unit``, so that every number is of about the size of 1.
    """

    width: int
    columns: tuple[tuple[int, ...], ...]
    rows: tuple[Row, ...]
    worth: tuple[tuple[int, float], ...]
    unit: int
    worth_unit: int


def heads(problem: Problem) -> list[int]:
    """For each task when it can begin at the earliest, with the shortest durations and nothing in the way."""
    found = [0] * len(problem.tasks)
    ends = [0] * len(problem.tasks)
    for number, task in enumerate(problem.tasks):
        for edge in task.after:
            away = unavoidable(problem, edge.before, number, edge.bytes)
            found[number] = max(found[number], ends[edge.before] + away)
        ends[number] = found[number] + min((each.millis for each in task.candidates), default=0)
    return found


def quick(problem: Problem) -> Bounds:
    """The longest way through the tasks, what is pinned to each site, and the cheapest candidate of each task."""
    head, tail = heads(problem), shortest_tails(problem)
    shortest = [min((each.millis for each in task.candidates), default=0) for task in problem.tasks]
    finish = max((h + p + t for h, p, t in zip(head, shortest, tail, strict=True)), default=0)
    for number, site in enumerate(problem.sites):
        pinned = [at for at, task in enumerate(problem.tasks) if {each.site for each in task.candidates} == {number}]
        load, least = 0, 0
        for at in sorted(pinned, key=lambda at: -head[at]):
            least = tail[at] if not load else min(least, tail[at])
            load += shortest[at]
            finish = max(finish, head[at] - (-load // site.at_once) + least)
    cost = sum(min((each.cost for each in task.candidates), default=0) for task in problem.tasks)
    return Bounds(finish, cost)


def program(problem: Problem) -> Program:
    """The linear program of a problem whose tasks all have a candidate."""
    numbered, width = [], 0
    for task in problem.tasks:
        numbered.append(tuple(range(width, width + len(task.candidates))))
        width += len(task.candidates)
    unit = max(1, problem.deadline or 0, quick(problem).finish)
    dearest = max(1, sum(max(each.cost for each in task.candidates) for task in problem.tasks))
    made = _Rows(problem, tuple(numbered), width, unit)
    by_cost = problem.objective is Objective.COST
    worth = tuple(made.costs(dearest)) if by_cost else ((made.finish, 1.0),)
    return Program(made.finish + 1, made.columns, tuple(made.all()), worth, unit, dearest if by_cost else unit)


class _Rows:
    def __init__(self, problem: Problem, columns: tuple[tuple[int, ...], ...], fractions: int, unit: int) -> None:
        self.columns = columns
        self.finish = fractions + len(columns)
        self._problem = problem
        self._fractions = fractions
        self._unit = unit

    def costs(self, unit: int) -> Iterator[tuple[int, float]]:
        for task, columns in zip(self._problem.tasks, self.columns, strict=True):
            yield from ((column, each.cost / unit) for column, each in zip(columns, task.candidates, strict=True))

    def all(self) -> Iterator[Row]:
        problem = self._problem
        yield from self._order()
        yield from self._loads()
        yield from self._gates()
        if problem.deadline is not None:
            yield Row(((self.finish, 1.0),), problem.deadline / self._unit)
        if problem.budget is not None:
            unit = max(1, problem.budget)
            yield Row(tuple(self.costs(unit)), problem.budget / unit)

    def _start(self, task: int) -> int:
        return self._fractions + task

    def _lasts(self, task: int) -> Iterator[tuple[int, float]]:
        candidates = self._problem.tasks[task].candidates
        yield from (
            (column, each.millis / self._unit) for column, each in zip(self.columns[task], candidates, strict=True)
        )

    def _order(self) -> Iterator[Row]:
        after: set[int] = set()
        for number, task in enumerate(self._problem.tasks):
            for edge in task.after:
                after.add(edge.before)
                away, beside = self._away(edge.before, number, edge.bytes)
                begins = ((self._start(edge.before), 1.0), (self._start(number), -1.0))
                yield Row((*begins, *self._lasts(edge.before), *beside), -away)
        for number in range(len(self.columns)):
            if number not in after:
                yield Row(((self._start(number), 1.0), *self._lasts(number), (self.finish, -1.0)), 0.0)

    def _away(self, before: int, number: int, size: int) -> tuple[float, list[tuple[int, float]]]:
        """For how long data travel, and what of it falls away by the fraction of a task that is beside them."""
        problem = self._problem
        if not problem.rate or not size:
            return 0.0, []
        whole = -(-size // problem.rate) / self._unit
        if unavoidable(problem, before, number, size):
            return whole, []
        for one, other in ((before, number), (number, before)):
            here = {each.site for each in problem.tasks[one].candidates}
            if len(here) == 1:
                candidates = zip(self.columns[other], problem.tasks[other].candidates, strict=True)
                return whole, [(column, -whole) for column, each in candidates if each.site in here]
        return 0.0, []

    def _loads(self) -> Iterator[Row]:
        head, tail = heads(self._problem), shortest_tails(self._problem)
        for number, site in enumerate(self._problem.sites):
            here = [
                (at, column, each.millis)
                for at, task in enumerate(self._problem.tasks)
                for column, each in zip(self.columns[at], task.candidates, strict=True)
                if each.site == number
            ]
            seen: set[tuple[int, ...]] = set()
            for least_head in _parted([head[at] for at, _, _ in here]):
                for least_tail in _parted([tail[at] for at, _, _ in here]):
                    chosen = [each for each in here if head[each[0]] >= least_head and tail[each[0]] >= least_tail]
                    key = tuple(column for _, column, _ in chosen)
                    if not chosen or key in seen:
                        continue
                    seen.add(key)
                    room = site.at_once * self._unit
                    terms = tuple((column, millis / room) for _, column, millis in chosen)
                    yield Row((*terms, (self.finish, -1.0)), -(least_head + least_tail) / self._unit)

    def _gates(self) -> Iterator[Row]:
        before, after = related(self._problem)
        for site in range(len(self._problem.sites)):
            for gate, mask in _largest(before):
                if terms := self._load(site, mask):
                    yield Row((*terms, (self._start(gate), -1.0)), 0.0)
            for gate, mask in _largest(after):
                if terms := self._load(site, mask):
                    yield Row((*terms, (self._start(gate), 1.0), *self._lasts(gate), (self.finish, -1.0)), 0.0)

    def _load(self, site: int, mask: int) -> tuple[tuple[int, float], ...]:
        """What the tasks of a mask take of a site's slots."""
        room = self._problem.sites[site].at_once * self._unit
        return tuple(
            (column, each.millis / room)
            for number, task in enumerate(self._problem.tasks)
            if mask >> number & 1
            for column, each in zip(self.columns[number], task.candidates, strict=True)
            if each.site == site
        )


def related(problem: Problem) -> tuple[list[int], list[int]]:
    """For each task those that come before it, and those that come after it, as masks with a bit for each task."""
    before, after = [0] * len(problem.tasks), [0] * len(problem.tasks)
    for number, task in enumerate(problem.tasks):
        for edge in task.after:
            before[number] |= before[edge.before] | 1 << edge.before
    for number in reversed(range(len(problem.tasks))):
        for edge in problem.tasks[number].after:
            after[edge.before] |= after[number] | 1 << number
    return before, after


def _largest(masks: Sequence[int]) -> list[tuple[int, int]]:
    """Of the masks of two tasks and more the largest, each once and with a task that it is of."""
    tasks = {mask: number for number, mask in reversed(list(enumerate(masks))) if mask & (mask - 1)}
    ordered = sorted(tasks, key=lambda mask: (-mask.bit_count(), tasks[mask]))
    return [(tasks[mask], mask) for mask in ordered[:_GATES]]


def _parted(values: Sequence[int]) -> list[int]:
    """The least value, and some of the greater ones."""
    ordered = sorted(set(values))
    return sorted({ordered[len(ordered) * step // _STEPS] for step in range(_STEPS)}) if ordered else []
