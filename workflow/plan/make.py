"""The plan: each step instance at a site, when, at what cost, and why it does not run elsewhere.

A step runs where the labels of its inputs let it. :mod:`workflow.plan.draft` makes a problem of a workflow, what
solves it knows nothing of either, and here the schedule becomes a plan for people again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from catalog.error import Infeasible
from catalog.offer import MICRO
from workflow.plan.bound import Bounds, quick
from workflow.plan.draft import NO_PLACES, Draft, Instance, Places, Word
from workflow.plan.estimate import Estimate, History
from workflow.plan.explain import explained, span
from workflow.plan.heft import best
from workflow.plan.problem import Candidate, Objective, Run, Schedule, Task

NOTHING_SEEN: Final = History((), {})


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan keeps, ``deadline`` in ms from its start and ``budget`` in millionths; and what it makes least."""

    deadline: int | None = None
    budget: int | None = None
    objective: Objective = Objective.FINISH


NO_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Why a step instance does not run at ``site``."""

    site: str
    reason: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One step instance: ``start`` and ``finish`` in ms from the beginning, ``cost`` at most in millionths.

    ``moved`` are the bytes of other sites' datasets that it reads; ``estimate`` is what its duration rests on; ``said``
    is what the site said in advance, if it was asked; ``others`` counts the sites that may run it, too.
    """

    step: str
    shard: int
    site: str
    data: tuple[str, ...]
    start: int
    finish: int
    cost: int
    elsewhere: tuple[Elsewhere, ...]
    moved: int
    estimate: Estimate
    others: int
    said: Word | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    """A shard that is left out, with the sites that hold its data, and why each site does not run it."""

    step: str
    shard: int
    data: tuple[str, ...]
    holders: tuple[str, ...]
    reasons: tuple[Elsewhere, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every instance, in the order of the steps; ``cost`` of all at most, and ``finish`` in ms from the start.

    No plan within the limits is better than ``bounds``. ``front`` has the finish and cost of those found of which none
    is better than another in both, if it was asked for. ``absent`` are the shards that it goes without, ``unforeseen``
    the steps that it counts once and that run as often as a list is long that is made first.
    """

    steps: tuple[Planned, ...]
    cost: int
    finish: int
    bounds: Bounds
    front: tuple[tuple[int, int], ...] = ()
    absent: tuple[Absent, ...] = ()
    unforeseen: tuple[str, ...] = ()

    @property
    def places(self) -> Places:
        """Where each instance runs."""
        return {(each.step, each.shard): each.site for each in self.steps}


def make_plan(draft: Draft, limits: Limits = NO_LIMITS, places: Places = NO_PLACES) -> Plan:
    """Place every instance at once, within the limits; at their ``places`` those that have one.

    Raises:
        Infeasible: a step that no site may run, with each site's reason; or limits that no plan keeps, with what does.
    """
    draft = within_limits(draft, limits)
    return plan_of(draft, first_of(draft.placed(places)))


def within_limits(draft: Draft, limits: Limits) -> Draft:
    """The draft under these limits.

    Raises:
        Infeasible: a step that no site may run, with each site's reason.
    """
    for number, task in enumerate(draft.problem.tasks):
        if not task.candidates:
            raise Infeasible(_nowhere(draft, draft.instances[number], task))
    return replace(draft, problem=draft.problem.limited(limits.deadline, limits.budget, limits.objective))


def first_of(draft: Draft) -> Schedule:
    """The schedule that is there at once.

    Raises:
        Infeasible: none was found; the message says what is in conflict, and what would lift it.
    """
    found = best(draft.problem)
    if found is None:
        raise Infeasible(explained(draft.problem))
    return found


def plan_of(draft: Draft, schedule: Schedule, bounds: Bounds | None = None) -> Plan:
    """The plan of a schedule. Without ``bounds`` those are told that are read off at once."""
    steps = tuple(
        _planned(draft, instance, task, run)
        for instance, task, run in zip(draft.instances, draft.problem.tasks, schedule.runs, strict=True)
    )
    absent = tuple(Absent(each.step, each.shard, each.data, each.holders, _told(each.reasons)) for each in draft.absent)
    found = bounds or quick(draft.problem)
    return Plan(steps, schedule.cost, schedule.finish, found, absent=absent, unforeseen=draft.unforeseen)


def _told(reasons: Mapping[str, str]) -> tuple[Elsewhere, ...]:
    return tuple(Elsewhere(site, reason) for site, reason in sorted(reasons.items()))


def check_limits(plan: Plan, *, now: int, deadline: int, budget: int) -> None:
    """Refuse a plan that does not keep deadline and budget, before anything runs.

    Raises:
        Infeasible: names the limit that binds and by how much; both, if both do.
    """
    faults = [_short(plan, budget)] if plan.cost > budget else []
    if now > deadline:
        faults.append(f"the deadline passed {span(now - deadline)} ago")
    elif now + plan.finish > deadline:
        faults.append(f"the deadline is {span(now + plan.finish - deadline)} before the plan's expected finish")
    if faults:
        raise Infeasible("no feasible plan: " + "; ".join(faults) + ". Nothing was run")


def check_budget(plan: Plan, budget: int) -> None:
    """Refuse a plan that costs more, at most, than the budget.

    Raises:
        Infeasible: says by how much.
    """
    if plan.cost > budget:
        raise Infeasible(f"no feasible plan: {_short(plan, budget)}. Nothing was run")


def _short(plan: Plan, budget: int) -> str:
    short = (plan.cost - budget) / MICRO
    return f"the budget {budget / MICRO:.2f} does not cover the plan's {plan.cost / MICRO:.2f}: +{short:.2f}"


def _planned(draft: Draft, instance: Instance, task: Task, run: Run) -> Planned:
    site = draft.sites[run.site]
    chosen = next(
        each
        for each in task.candidates
        if (each.site, each.millis, each.cost) == (run.site, run.finish - run.start, run.cost)
    )
    return Planned(
        instance.step,
        instance.shard,
        site,
        instance.data,
        run.start,
        run.finish,
        run.cost,
        tuple(each for each in _told(_elsewhere(draft, instance, task, chosen)) if each.site != site),
        chosen.moved,
        instance.estimates[site],
        len(task.candidates) - 1,
        draft.said.get((instance.step, instance.shard, site)),
    )


def _elsewhere(draft: Draft, instance: Instance, task: Task, chosen: Candidate) -> dict[str, str]:
    """Why an instance does not run at each other site: it may not, or it would be no better there."""
    here = draft.sites[chosen.site]
    reasons = dict(instance.reasons)
    name = draft.members.names[here]
    for each in task.candidates:
        site = draft.sites[each.site]
        if here in instance.holders and site not in instance.holders:
            reasons[site] = f"it runs at {name}: its data are there"
        elif each.cost > chosen.cost:
            reasons[site] = f"it costs {(each.cost - chosen.cost) / MICRO:.2f} more there"
        elif each.millis > chosen.millis:
            reasons[site] = f"it takes {span(each.millis - chosen.millis)} longer there"
        elif here == draft.members.home and task.after:
            reasons[site] = f"it runs at {name}: the outputs before it are released to the requester's site"
        else:
            reasons[site] = f"the whole plan is no better with it there than at {name}"
    return reasons


def _nowhere(draft: Draft, instance: Instance, task: Task) -> str:
    names = draft.members.names
    told = "; ".join(f"{names[site]}: {reason}" for site, reason in sorted(instance.reasons.items()))
    asks = dict.fromkeys(draft.problem.rules[each.rule].ask for each in task.barred if each.candidate is not None)
    lifts = ", or ".join(ask for ask in asks if ask)
    return f"no site may run step «{instance.step}»: {told}" + (f". What would do: {lifts}" if lifts else "")
