"""What is not ordered yet, planned anew around what is: when a site failed, refused or is lost (pure)."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from node.bus.course import Course, Standing
from workflow.order import Instance
from workflow.plan.draft import Draft
from workflow.plan.draft import Instance as Drafted
from workflow.plan.heft import best
from workflow.plan.make import Plan, plan_of
from workflow.plan.problem import Candidate, Task
from workflow.receipt import Status

MOST_FAILURES: Final = 2
"""How often a step may fail at one site before it is tried elsewhere."""


def barred(course: Course, instance: Instance) -> frozenset[str]:
    """The sites that an instance is not tried at again: they denied it, did not end it in time, or failed twice."""
    found: list[str] = []
    failures: dict[str, int] = {}
    for order in course.orders(instance):
        receipt = course.receipt(order)
        if receipt is None or receipt.status is Status.DENIED:
            found.append(order.site)
        else:
            failures[order.site] = failures.get(order.site, 0) + 1
    return frozenset([*found, *(site for site, count in failures.items() if count >= MOST_FAILURES)])


def remaining(course: Course, lost: AbstractSet[str], now: int) -> Draft | None:
    """What is left to do at ``now``, Unix milliseconds, in the time and with the money that are left.

    What was made or is out stays where it is, and costs nothing more. Sites that are ``lost`` get what no other may
    run alone. None if something may run nowhere any more.
    """
    draft = course.draft
    tasks = tuple(
        _left(course, each, task, lost, now) for each, task in zip(draft.instances, draft.problem.tasks, strict=True)
    )
    if not all(task.candidates for task in tasks):
        return None
    problem = replace(draft.problem, tasks=tasks)
    return replace(draft, problem=problem.limited(course.end - now, course.left, problem.objective))


def replanned(left: Draft) -> Plan | None:
    """A plan of what :func:`remaining` left, if one was found. May compute for a second: for worker threads."""
    schedule = best(left.problem)
    return None if schedule is None else plan_of(left, schedule)


def _left(course: Course, drafted: Drafted, task: Task, lost: AbstractSet[str], now: int) -> Task:
    """What is left to do of an instance, and where it may be done."""
    draft = course.draft
    instance = Instance(submission=course.cid, step=drafted.step, shard=drafted.shard)
    standing = course.standing(instance, now)
    if standing is Standing.OPEN:
        never = barred(course, instance)
        may = tuple(each for each in task.candidates if draft.sites[each.site] not in never)
        answer = tuple(each for each in may if draft.sites[each.site] not in lost)
        return replace(task, candidates=answer or may)
    site = course.orders(instance)[-1].site
    millis = 0 if standing is Standing.MADE else _expected(draft, task, site)
    return replace(task, candidates=(Candidate(draft.sites.index(site), millis, 0),))


def _expected(draft: Draft, task: Task, site: str) -> int:
    """For how long an instance runs that is out; as long as anywhere, if nothing runs there any more."""
    there = [each.millis for each in task.candidates if draft.sites[each.site] == site]
    return max(there or [each.millis for each in task.candidates] or [0])
