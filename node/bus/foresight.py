"""Asking sites, before anything is submitted, what they would say to the steps of a plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Denied
from node.bus.course import Task
from node.bus.dispatch import Dispatcher, Offered
from node.message import Foresee, Foreseen, Place, question_bytes, read_reply
from node.ports import Clock, Control, Together
from node.step import Steps
from workflow.graph import Workflow
from workflow.order import Instance, Wanted
from workflow.plan.draft import Draft, Said, Word
from workflow.submission import Submission
from workflow.tool import Tool

SECONDS: Final = 5.0
"""For how long one site is asked in all. What it has not said by then it is not held to have said."""

TRIES: Final = 3
AGAIN_SECONDS: Final = 0.3
"""A site that refuses before its policy is asked may be a moment behind the catalogs, as with an order."""


class Foresight:
    """Asks for the people of this site."""

    def __init__(
        self, dispatcher: Dispatcher, control: Control, steps: Steps, together: Together, clock: Clock
    ) -> None:
        self._dispatcher = dispatcher
        self._control = control
        self._steps = steps
        self._together = together
        self._clock = clock

    async def said(self, submission: Submission, text: str, workflow: Workflow, draft: Draft) -> Said:
        """What each site says to each instance that it may run by the labels, and that waits for no other.

        A site that does not answer is left out, and so is one that knows no such question.
        """
        tools = {block: await self._steps.tool(block) for block in workflow.blocks}
        by_site: dict[str, list[Place]] = {}
        for task, offered in _tasks(submission, workflow, draft, tools):
            order = self._dispatcher.unsigned(submission, task, offered)
            place = Place(order=order, submission=submission, workflow=text, proofs=(), seconds=0)
            by_site.setdefault(offered.site, []).append(place)
        jobs: list[Callable[[], Awaitable[Said]]] = [
            partial(self._asked, site, places) for site, places in by_site.items()
        ]
        return {key: word for told in await self._together(jobs) for key, word in told.items()}

    async def _asked(self, site: str, places: Sequence[Place]) -> Said:
        until = self._clock.now() + int(SECONDS * 1000)
        found: dict[tuple[str, int, str], Word] = {}
        for place in places:
            word = await self._word(site, place, until)
            if word is None:
                break
            found[place.order.step, place.order.shard, site] = word
        return found

    async def _word(self, site: str, place: Place, until: int) -> Word | None:
        question, refusal = question_bytes(Foresee(place=place)), ""
        for tried in range(TRIES):
            left = (until - self._clock.now()) / 1000
            if left <= 0:
                return None
            try:
                said = read_reply(Foreseen, await self._control.ask(site, question, left))
            except Denied as error:
                refusal = str(error)
            except ComityError:  # it is away, or its node is of a version that knows no such question
                return None
            else:
                return Word(said.allowed, said.stewards, said.reason)
            if tried < TRIES - 1:
                await self._clock.sleep(AGAIN_SECONDS)
        return Word(allowed=False, reason=refusal)


def _tasks(
    submission: Submission, workflow: Workflow, draft: Draft, tools: Mapping[Cid, Tool]
) -> Iterator[tuple[Task, Offered]]:
    """Each instance that reads nothing that has to be made before, at each site that it may run at."""
    readers, until = tuple(sorted(submission.destinations)), min(submission.deadline, submission.not_after)
    for each, task in zip(draft.instances, draft.problem.tasks, strict=True):
        step = workflow.step(each.step)
        if not each.asked or step is None or not isinstance(step.run, Cid):
            continue
        declared = {name: tools[step.run].output(name) for name in step.outputs}
        outputs = {
            name: Wanted(type=str(output.disclosure), readers=readers)
            for name, output in declared.items()
            if output is not None
        }
        instance = Instance(submission=cid_of(submission), step=each.step, shard=each.shard)
        for candidate in task.candidates:
            offered = Offered(draft.sites[candidate.site], candidate.cost, until)
            yield Task(instance, step.run, each.given, (), outputs), offered
