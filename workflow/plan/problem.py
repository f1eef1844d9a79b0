"""What is planned, as values that know nothing of catalogs, labels or CWL: tasks, sites, limits, and a schedule.

Times are whole milliseconds from the start, money is whole millionths, data are bytes. A site is its place in
``Problem.sites``, a task its place in ``Problem.tasks``, a rule its place in ``Problem.rules``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from catalog.error import BadInput


class Objective(StrEnum):
    """What is made as small as it can be, within deadline and budget: the finish, or the cost."""

    FINISH = "finish"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Place:
    """A site that runs ``at_once`` steps together."""

    name: str
    at_once: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A site where a task may run: for ``millis``, at a cost of ``cost``, with ``moved`` bytes of others' datasets."""

    site: int
    millis: int
    cost: int
    moved: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """Why tasks do not run at ``site``, and what would have to be asked for, of whom, so that they may.

    What nobody can allow (a site that left) has no ``ask``, and is in no conflict.
    """

    site: int
    reason: str
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Barred:
    """What a task would be at a site if the rule did not keep it away; no ``candidate`` if nothing is offered there."""

    rule: int
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """A task waits for the task ``before``, of which it reads so many ``bytes``."""

    before: int
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A step instance. Where its candidates come in the order of preference, the first of equals is taken."""

    name: str
    after: tuple[Edge, ...]
    candidates: tuple[Candidate, ...]
    barred: tuple[Barred, ...] = ()


@dataclass(frozen=True, slots=True)
class Problem:
    """Tasks, each after those that it waits for; sites; ``rate`` in bytes a millisecond between two, 0 for no delay.

    ``deadline`` (ms from the start, below 0 if it has passed) and ``budget`` (millionths) are hard; none is no limit.

    Raises:
        BadInput: a task waits for a later one, or names a site or rule that is not there, or nothing runs at a site.
    """

    tasks: tuple[Task, ...]
    sites: tuple[Place, ...]
    rules: tuple[Rule, ...] = ()
    rate: int = 0
    deadline: int | None = None
    budget: int | None = None
    objective: Objective = Objective.FINISH

    def __post_init__(self) -> None:
        if any(site.at_once < 1 for site in self.sites):
            raise BadInput("a site that runs no step at all is no site of a plan")
        for number, task in enumerate(self.tasks):
            if any(not 0 <= edge.before < number for edge in task.after):
                raise BadInput(f"the task «{task.name}» waits for one that does not come before it")
            if any(not 0 <= each.site < len(self.sites) for each in task.candidates):
                raise BadInput(f"the task «{task.name}» has a candidate that is no site")
            if any(not 0 <= each.rule < len(self.rules) for each in task.barred):
                raise BadInput(f"the task «{task.name}» is barred by a rule that is not there")

    def delay(self, size: int, one: int, other: int) -> int:
        """For how long ``size`` bytes travel from the one site to the other, in ms."""
        return 0 if one == other or not self.rate else -(-size // self.rate)

    def limited(self, deadline: int | None, budget: int | None, objective: Objective) -> Problem:
        """The same under other limits."""
        return replace(self, deadline=deadline, budget=budget, objective=objective)

    def without(self, rules: frozenset[int]) -> Problem:
        """The same if these rules kept no task away."""
        if not rules:
            return self
        tasks = tuple(
            replace(
                task,
                candidates=(*task.candidates, *_freed(task, rules)),
                barred=tuple(each for each in task.barred if each.rule not in rules),
            )
            for task in self.tasks
        )
        return replace(self, tasks=tasks)


def _freed(task: Task, rules: frozenset[int]) -> Iterator[Candidate]:
    return (each.candidate for each in task.barred if each.rule in rules and each.candidate is not None)


@dataclass(frozen=True, slots=True)
class Run:
    """A task at a site, from ``start`` to ``finish``."""

    site: int
    start: int
    finish: int
    cost: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run for each task, in the order of the tasks."""

    runs: tuple[Run, ...]

    @property
    def finish(self) -> int:
        """When the last task ends, in ms from the start."""
        return max((run.finish for run in self.runs), default=0)

    @property
    def cost(self) -> int:
        """Of all tasks, in millionths."""
        return sum(run.cost for run in self.runs)

    def worth(self, objective: Objective) -> tuple[int, int]:
        """Less is better: by the objective, and by the other one of what is equal in it."""
        return (self.cost, self.finish) if objective is Objective.COST else (self.finish, self.cost)


def within(problem: Problem, schedule: Schedule) -> bool:
    """Whether it keeps deadline and budget."""
    return (problem.deadline is None or schedule.finish <= problem.deadline) and (
        problem.budget is None or schedule.cost <= problem.budget
    )


def faults(problem: Problem, schedule: Schedule) -> list[str]:
    """What is wrong with a schedule, each in words; nothing if it may be carried out.

    Written apart from all that makes schedules, which is held against it.
    """
    if len(schedule.runs) != len(problem.tasks):
        return [f"{len(schedule.runs)} runs for {len(problem.tasks)} tasks"]
    found = [*_misplaced(problem, schedule), *_early(problem, schedule), *_crowded(problem, schedule)]
    if problem.deadline is not None and schedule.finish > problem.deadline:
        found.append(f"it ends {schedule.finish - problem.deadline} ms after the deadline")
    if problem.budget is not None and schedule.cost > problem.budget:
        found.append(f"it costs {schedule.cost - problem.budget} more than the budget")
    return found


def _misplaced(problem: Problem, schedule: Schedule) -> Iterator[str]:
    for task, run in zip(problem.tasks, schedule.runs, strict=True):
        if not any(
            (each.site, each.millis, each.cost) == (run.site, run.finish - run.start, run.cost)
            for each in task.candidates
        ):
            yield f"«{task.name}» is no candidate of site {run.site} for that long and at that cost"


def _early(problem: Problem, schedule: Schedule) -> Iterator[str]:
    for task, run in zip(problem.tasks, schedule.runs, strict=True):
        if run.start < 0:
            yield f"«{task.name}» begins before the start"
        for edge in task.after:
            before = schedule.runs[edge.before]
            if run.start < before.finish + problem.delay(edge.bytes, before.site, run.site):
                yield f"«{task.name}» begins before the data of «{problem.tasks[edge.before].name}» are there"


def _crowded(problem: Problem, schedule: Schedule) -> Iterator[str]:
    for number, site in enumerate(problem.sites):
        here = [run for run in schedule.runs if run.site == number]
        running = 0
        # At one moment what ends makes room for what begins.
        for _, change in sorted([(run.start, 1) for run in here] + [(run.finish, -1) for run in here]):
            running += change
            if running > site.at_once:
                yield f"more than {site.at_once} tasks run together at {site.name}"
                break


def readers(problem: Problem) -> list[list[tuple[int, int]]]:
    """For each task those that wait for it, each with the bytes that it reads."""
    found: list[list[tuple[int, int]]] = [[] for _ in problem.tasks]
    for number, task in enumerate(problem.tasks):
        for edge in task.after:
            found[edge.before].append((number, edge.bytes))
    return found


def never(problem: Problem) -> Sequence[Task]:
    """The tasks that no site may run."""
    return [task for task in problem.tasks if not task.candidates]
