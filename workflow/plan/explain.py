"""What is in conflict and what would lift it, in words."""

from __future__ import annotations

from catalog.offer import MICRO
from workflow.plan.conflict import Ask, Budget, Conflict, Deadline, Lift, Stuck, conflicts
from workflow.plan.problem import Problem


def explained(problem: Problem) -> str:
    """Why a problem has no plan, as one line: each conflict, with the least change of each of its members."""
    told = conflicts(problem)
    if isinstance(told, Stuck):
        return f"no feasible plan: no site may run {', '.join(f'«{task}»' for task in told.tasks)}. Nothing was run"
    if not told:
        return "no feasible plan was found at once, and what is in conflict neither; give it time. Nothing was run"
    return f"no feasible plan: {'; '.join(_conflict(problem, each) for each in told)}. Nothing was run"


def _conflict(problem: Problem, conflict: Conflict) -> str:
    named = " and ".join(_named(problem, each) for each in conflict.lifts)
    known = "cannot be kept" if conflict.proven else "could not be kept by any plan that was tried"
    together = " together" if len(conflict.lifts) > 1 else ""
    return f"{named} {known}{together}; what would do: {', or '.join(_lifted(each) for each in conflict.lifts)}"


def _named(problem: Problem, lift: Lift) -> str:
    match lift:
        case Deadline():
            deadline = problem.deadline or 0
            return f"the deadline {span(deadline)} from now" if deadline > 0 else f"the deadline {span(-deadline)} ago"
        case Budget():
            return f"the budget {(problem.budget or 0) / MICRO:.2f}"
        case Ask(site, reason, _):
            return f"that {site} runs nothing because {reason}"


def _lifted(lift: Lift) -> str:
    match lift:
        case Deadline(millis):
            return f"deadline +{more(millis)}"
        case Budget(micros):
            return f"budget +{-(-micros * 100 // MICRO) / 100:.2f}"
        case Ask(_, _, ask):
            return ask


def more(millis: int) -> str:
    """A time span that is enough: rounded up, to seconds, minutes or hours."""
    seconds = -(-millis // 1000)
    if seconds < 120:
        return f"{max(1, seconds)} s"
    minutes = -(-seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def span(millis: int) -> str:
    """A time span for people."""
    seconds = millis / 1000
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.1):.1f} s"
