"""Why there is no plan: the smallest sets of constraints that cannot be kept together, and what it takes to lift each.

A constraint is the deadline, the budget, or that a rule keeps tasks away from a site. A set is a *conflict* if no plan
was found that keeps all of it, and one was found without any one of its members; so whoever lifts one of them has
lifted this conflict. Sets are found by deletion, other ones in the tree of Reiter 1987, «A theory of diagnosis from
first principles». That no plan was found is a proof where a bound says so, and else the word of the heuristics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from workflow.plan.bound import quick
from workflow.plan.heft import attempts
from workflow.plan.problem import Objective, Problem, Schedule, never, within

MOST_CONFLICTS: Final = 4
MOST_TRIALS: Final = 40
"""How many sets are tried, so that an answer comes in time: each is a few schedules."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The deadline, which would have to be later by ``millis``."""

    millis: int


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget, which would have to be greater by ``micros``."""

    micros: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What keeps tasks away from ``site``, a name, for ``reason``; and what would have to be allowed, by whom."""

    site: str
    reason: str
    ask: str


Lift = Deadline | Budget | Ask
"""A constraint in conflict with others, as the least change found that lifts the conflict."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A smallest set of constraints that cannot be kept together, ``proven`` if a bound says so; one lift is enough."""

    lifts: tuple[Lift, ...]
    proven: bool


@dataclass(frozen=True, slots=True)
class Stuck:
    """Tasks that no site may run, whatever is asked of whom: their names."""

    tasks: tuple[str, ...]


_DEADLINE: Final = -1
_BUDGET: Final = -2

_Kept = frozenset[int]
"""Constraints: rules by their numbers, and the two above."""


def conflicts(problem: Problem) -> tuple[Conflict, ...] | Stuck:
    """The smallest sets of constraints in conflict, at most :data:`MOST_CONFLICTS`; none if there is a plan.

    Every set costs a few dozen schedules. If a task may run nowhere whatever is lifted, it is that which is told.
    """
    search = _Search(problem)
    if search.plan(frozenset()) is None:
        return Stuck(tuple(task.name for task in never(problem.without(search.rules))))
    return tuple(search.conflicts())


class _Search:
    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.rules = frozenset(number for number, rule in enumerate(problem.rules) if rule.ask)
        limits = {_DEADLINE} if problem.deadline is not None else set()
        self._all = self.rules | limits | ({_BUDGET} if problem.budget is not None else set())
        self._found: dict[_Kept, Schedule | None] = {}

    def plan(self, kept: _Kept) -> Schedule | None:
        """A plan that keeps these constraints, if one is found."""
        if kept not in self._found:
            relaxed = self._relaxed(kept)
            self._found[kept] = None if never(relaxed) or _impossible(relaxed) else _any(relaxed)
        return self._found[kept]

    def conflicts(self) -> Iterator[Conflict]:
        """Each conflict once: those that stay when a member of an earlier one is lifted come after it."""
        seen: set[_Kept] = set()
        waiting: list[_Kept] = [self._all]
        tried: set[_Kept] = set()
        while waiting and len(seen) < MOST_CONFLICTS and len(self._found) < MOST_TRIALS:
            kept = waiting.pop(0)
            if kept in tried or self.plan(kept) is not None:
                continue
            tried.add(kept)
            smallest = self._smallest(kept)
            if smallest not in seen:
                seen.add(smallest)
                yield self._told(smallest)
            waiting.extend(kept - {member} for member in sorted(smallest, reverse=True))

    def _smallest(self, kept: _Kept) -> _Kept:
        """A subset of a conflict of which no member can be left out.

        Rules are left out first, many at once: a conflict of limits alone is the simplest to lift. Of the two limits
        the budget goes before the deadline.
        """
        rules = sorted(kept & self.rules)
        size = len(rules)
        while size:
            for at in range(0, len(rules), size):
                part = kept & frozenset(rules[at : at + size])
                if part and self.plan(kept - part) is None:
                    kept -= part
            size = size // 2
        for limit in (_BUDGET, _DEADLINE):
            if limit in kept and self.plan(kept - {limit}) is None:
                kept -= {limit}
        for rule in sorted(kept & self.rules):
            if self.plan(kept - {rule}) is None:
                kept -= {rule}
        return kept

    def _told(self, smallest: _Kept) -> Conflict:
        order = sorted(smallest, key=lambda member: (member < 0, member))
        relaxed = self._relaxed(smallest)
        return Conflict(
            tuple(self._lift(member, smallest) for member in reversed(order)),
            proven=bool(never(relaxed)) or _impossible(relaxed),
        )

    def _lift(self, member: int, smallest: _Kept) -> Lift:
        if member >= 0:
            rule = self._problem.rules[member]
            return Ask(self._problem.sites[rule.site].name, rule.reason, rule.ask)
        objective = Objective.FINISH if member == _DEADLINE else Objective.COST
        # With everything else kept, if that is possible: else there are other conflicts, told for themselves.
        rest = (self._all, self.rules | smallest, smallest)
        plans = (self._least(each - {member}, objective) for each in rest)
        plan = next(each for each in plans if each is not None)
        if member == _DEADLINE:
            return Deadline(max(0, plan.finish - (self._problem.deadline or 0)))
        return Budget(max(0, plan.cost - (self._problem.budget or 0)))

    def _least(self, kept: _Kept, objective: Objective) -> Schedule | None:
        relaxed = self._relaxed(kept)
        relaxed = relaxed.limited(relaxed.deadline, relaxed.budget, objective)
        if never(relaxed):
            return None
        found = [each for each in (*_both(relaxed), self.plan(kept)) if each is not None and within(relaxed, each)]
        return min(found, key=lambda each: each.worth(objective), default=None)

    def _relaxed(self, kept: _Kept) -> Problem:
        limits = self._problem.limited(
            self._problem.deadline if _DEADLINE in kept else None,
            self._problem.budget if _BUDGET in kept else None,
            self._problem.objective,
        )
        return limits.without(self.rules - kept)


def _impossible(problem: Problem) -> bool:
    """Whether a bound says so."""
    bounds = quick(problem)
    return (problem.deadline is not None and bounds.finish > problem.deadline) or (
        problem.budget is not None and bounds.cost > problem.budget
    )


def _any(problem: Problem) -> Schedule | None:
    return next((each for each in _both(problem) if within(problem, each)), None)


def _both(problem: Problem) -> Iterator[Schedule]:
    """The heuristics of both objectives: what one of them misses the other one may find."""
    for objective in (problem.objective, *(each for each in Objective if each is not problem.objective)):
        yield from attempts(problem.limited(problem.deadline, problem.budget, objective))
