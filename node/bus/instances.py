"""One step instance, from its first attempt to its last: where it is tried, again, and elsewhere."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from catalog.offer import MICRO
from node.bus.course import Course, Reached, Task
from node.bus.dispatch import AGAIN_SECONDS, LOST_MILLIS, Dispatcher, Offered, cancelled, reached_by
from node.bus.journal import CANCELLED
from node.bus.replan import barred, remaining, replanned
from node.ports import Aside, Clock
from workflow.order import Order
from workflow.plan.make import Planned
from workflow.receipt import Status

ATTEMPTS: Final = 4
"""How often an instance is attempted, at all sites together."""

SURE: Final = 3
"""Receipts from which an estimate is one to count on."""

SLOWER: Final = 4
"""How many times as long as expected an order may take that another site could carry out instead."""

LATE = "it had not delivered when the next step began"

REPLANNING_SECONDS: Final = 0.05
"""How often it is looked whether the plan that another instance asked for is there."""


class Instances:
    """Carries out instances, each with as many attempts as it needs and may have."""

    def __init__(self, dispatcher: Dispatcher, aside: Aside, clock: Clock) -> None:
        self._dispatcher = dispatcher
        self._aside = aside
        self._clock = clock

    async def carry(self, course: Course, task: Task, *, settled: bool) -> Reached:
        """Bring one instance to its end. Attempts that were begun are gone through again, as they ended.

        If it is ``settled``, orders were made from what its step delivered, so only what stands counts.
        """
        site = course.planned(task).site
        reached = Reached(task, site, None, None, LATE if settled else "it was never tried", "unreachable")
        begun = course.orders(task.instance)
        for order in begun:
            receipt = course.receipt(order)
            if receipt is not None:
                reached = reached_by(task, order, receipt)
            elif settled:
                late = Reached(task, order.site, order, None, LATE, "unreachable")
                return late if reached.order is None else reached
            elif order is begun[-1]:
                reached = await self._attempt(course, task, order)
        while not settled and _may_follow(reached):
            offered = await self._next(course, task, reached)
            if isinstance(offered, Reached):
                return offered
            order = await self._dispatcher.order(course, task, _attempts(reached) + 1, offered)
            reached = await self._attempt(course, task, order)
        return reached

    async def _attempt(self, course: Course, task: Task, order: Order) -> Reached:
        reached = await self._dispatcher.attempt(course, task, order, alone=order.not_after >= course.end)
        if reached.receipt is None and order.not_after < course.end:
            # Whatever it said, the site may have it: nobody else is asked before its time is over.
            while self._clock.now() <= order.not_after and not self._dispatcher.stopped(course.cid):
                await self._clock.sleep(AGAIN_SECONDS)
        return reached

    async def _next(self, course: Course, task: Task, reached: Reached) -> Offered | Reached:
        """Where the next attempt is made; or how the instance ended, if there is none."""
        if attempts := _attempts(reached):
            if reached.receipt is None and self._clock.now() <= course.orders(task.instance)[-1].not_after:
                return reached
            await self._clock.sleep(AGAIN_SECONDS * 2.0 ** (attempts - 1))
        planned = await self._placed(course, task)
        if planned is None:
            return reached
        if not await self._dispatcher.begins(course, planned.site):
            return cancelled(task, planned.site, reached.order)
        now = self._clock.now()
        if now > course.end:
            return replace(reached, site=planned.site, reason="the deadline passed before it ran", kind="failed")
        if planned.cost > course.left:
            short = f"the budget would be passed by {(planned.cost - course.left) / MICRO:.2f}"
            return replace(reached, site=planned.site, reason=short, kind="failed")
        return Offered(planned.site, planned.cost, self._until(course, planned, now))

    async def _placed(self, course: Course, task: Task) -> Planned | None:
        """What the plan says of an instance; made anew if it says what cannot be, around all that is out by then."""
        while True:
            planned, never, lost = course.planned(task), barred(course, task.instance), self._dispatcher.lost
            if planned.site not in never and (planned.site not in lost or not planned.others):
                return planned
            if not course.replanning:
                break
            await self._clock.sleep(REPLANNING_SECONDS)
        planned = await self._replanned(course, task) or planned
        return None if planned.site in never else planned

    async def _replanned(self, course: Course, task: Task) -> Planned | None:
        """What a plan of what is left says of an instance, if there is such a plan."""
        now = self._clock.now()
        left = remaining(course, self._dispatcher.lost, now)
        if left is None:
            return None
        course.replanning = True
        try:
            plan = await self._aside(partial(replanned, left))
        finally:
            course.replanning = False
        if plan is None:
            return None
        course.follow(plan, now)
        return course.planned(task)

    def _until(self, course: Course, planned: Planned, now: int) -> int:
        """Until when an order may run. With no other site to go to that is the submission's end.

        Else it leaves time for another one: until then nobody else may be asked.
        """
        if not planned.others:
            return course.end
        expected = max(planned.finish - (now - course.began), planned.finish - planned.start)
        sure = planned.estimate.receipts >= SURE
        enough = max(SLOWER * expected, 2 * LOST_MILLIS) if sure else (course.end - now) // 2
        return min(course.end, now + max(enough, SLOWER * expected))


def _attempts(reached: Reached) -> int:
    return reached.order.attempt if reached.order is not None else 0


def _may_follow(reached: Reached) -> bool:
    """Whether there may be another attempt after one that ended so."""
    if _attempts(reached) == ATTEMPTS or (reached.kind == CANCELLED and reached.receipt is None):
        return False
    return reached.receipt is None or reached.receipt.status in (Status.FAILED, Status.CANCELLED, Status.DENIED)
