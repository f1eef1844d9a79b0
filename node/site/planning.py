"""Plans for this site's people: at once, and better with the time that they give; what they were shown is what runs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from catalog.error import BadInput, Infeasible
from node.ports import Improved, Improving
from node.site.together import aside
from workflow.plan.bound import Bounds, quick
from workflow.plan.draft import Draft
from workflow.plan.explain import explained
from workflow.plan.heft import best
from workflow.plan.make import Limits, Plan, plan_of, within_limits
from workflow.plan.pareto import front, undominated
from workflow.plan.problem import Objective

MOST_SECONDS: Final = 600
MOST_KEPT: Final = 64
"""Plans that were shown and are not submitted yet; of more the oldest are made anew when they are submitted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants of a plan: what is made least, whether the front is shown, how many seconds it may take."""

    objective: Objective = Objective.FINISH
    both: bool = False
    seconds: float = 0.0

    @classmethod
    def read(cls, objective: str, seconds: float) -> Wish:
        """A wish as it is asked for.

        Raises:
            BadInput: no such objective, or more seconds than are given.
        """
        if objective not in (*Objective, "both"):
            raise BadInput(f"«{objective}» is no objective of a plan; say finish, cost or both")
        if not 0 <= seconds <= MOST_SECONDS:
            raise BadInput(f"a plan is given 0 to {MOST_SECONDS} seconds, not {seconds:g}")
        both = objective == "both"
        return cls(Objective.FINISH if both else Objective(objective), both, seconds)


class Planning:
    """Makes plans beside the event loop, and remembers what was shown until it is submitted."""

    def __init__(self, improving: Improving) -> None:
        self._improving = improving
        self._kept: OrderedDict[bytes, Plan] = OrderedDict()

    async def plan(self, draft: Draft, limits: Limits, wish: Wish) -> Plan:
        """The best plan found within the limits.

        Raises:
            Infeasible: a step that no site may run; or the limits, with what is in conflict and what would lift it.
        """
        draft = within_limits(draft, replace(limits, objective=wish.objective))
        problem = draft.problem
        first = await aside(lambda: best(problem))
        found = Improved(first, quick(problem).of(problem.objective), impossible=False)
        if wish.seconds:
            found = await self._improving.improve(problem, first, wish.seconds)
        schedule = found.schedule
        if schedule is None:
            raise Infeasible(await aside(lambda: explained(problem)))
        bounds = quick(problem)
        by_cost = problem.objective is Objective.COST
        bounds = Bounds(bounds.finish, found.bound) if by_cost else Bounds(found.bound, bounds.cost)
        plan = plan_of(draft, schedule, bounds)
        if not wish.both:
            return plan
        points = undominated((schedule, *await aside(lambda: front(problem))))
        return replace(plan, front=tuple((each.finish, each.cost) for each in points))

    def keep(self, nonce: bytes, plan: Plan) -> None:
        """Remember a plan that is shown, by the nonce of the submission that would carry it out."""
        self._kept[nonce] = plan
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def kept(self, nonce: bytes) -> Plan | None:
        """The plan that was shown, if it is remembered."""
        return self._kept.get(nonce)
