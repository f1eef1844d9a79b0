"""One submission, from its plan to its result.

Every order is journalled before it is sent and every receipt before it is used, so that a bus that was killed goes
on where it stood: what has a receipt is not asked for again, what has an order is asked for with the same order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, NotFound, Unreachable
from catalog.index import Index
from node.bus.course import Course, Reached, Task, gravest, ready, shortage, takes_from, to_tell
from node.bus.dispatch import AGAIN_SECONDS, Dispatcher
from node.bus.instances import Instances
from node.bus.journal import CANCELLED, Journal, Record, State
from node.ports import Aside, Clock, Together, Values
from node.step import Documents, Steps
from privacy.trust import blocks_at
from workflow.argument import Argument, Data, Literal, Many
from workflow.cancellation import Cancellation
from workflow.evidence import Evidence
from workflow.graph import Source, Step, Workflow, order_of_steps
from workflow.order import MAX_SHARDS, Instance, Wanted
from workflow.plan.draft import NO_PLACES, NOBODY_ASKED, Draft, Members, Places, Said, drafted
from workflow.plan.learned import history_of
from workflow.plan.make import NO_LIMITS, NOTHING_SEEN, Absent, Limits, Plan, check_budget, make_plan
from workflow.receipt import BY_ITS_PERSON
from workflow.tool import Tool
from workflow.type import check_value
from workflow.unfold import shards
from workflow.value import read_value

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
"""Seconds between two rounds of telling sites that a submission was cancelled."""

MOST_RECEIPTS: Final = 2000
"""Of the newest ones how many are learned from."""


class Bus:
    """Carries out the submissions of the site ``site``."""

    def __init__(
        self,
        site: str,
        index: Index,
        journal: Journal,
        dispatcher: Dispatcher,
        documents: Documents,
        steps: Steps,
        values: Values,
        together: Together,
        aside: Aside,
        clock: Clock,
    ) -> None:
        self._site = site
        self._index = index
        self._journal = journal
        self._dispatcher = dispatcher
        self._documents = documents
        self._steps = steps
        self._values = values
        self._together = together
        self._instances = Instances(dispatcher, aside, clock)
        self._clock = clock
        self._carried: set[Cid] = set()

    async def plan(
        self,
        text: str,
        inputs: Mapping[str, Argument],
        names: Mapping[str, str],
        limits: Limits = NO_LIMITS,
        places: Places = NO_PLACES,
        min_sites: int | None = None,
    ) -> tuple[Workflow, Plan]:
        """Read a workflow, check its links against its blocks, and place its instances, at their ``places`` if given.

        Raises:
            BadInput, Denied, NotFound, Infeasible: as :func:`workflow.plan.make_plan`.
        """
        workflow = await self._checked(text)
        members = Members(names, self._site)
        draft = drafted(workflow, inputs, self._index, members, NOTHING_SEEN, min_sites=min_sites, places=places)
        _check_types(workflow, inputs)
        return workflow, make_plan(draft, limits, places)

    async def draft(
        self,
        text: str,
        inputs: Mapping[str, Argument],
        names: Mapping[str, str],
        min_sites: int | None = None,
        said: Said = NOBODY_ASKED,
        places: Places = NO_PLACES,
    ) -> tuple[Workflow, Draft]:
        """Read a workflow and check it, as :meth:`plan` does, for whoever plans it; receipts teach the durations.

        Raises:
            BadInput, Denied, NotFound: as :func:`workflow.plan.draft.drafted`.
        """
        workflow = await self._checked(text)
        history = history_of(self._index, await self._journal.answered(MOST_RECEIPTS))
        members = Members(names, self._site)
        draft = drafted(workflow, inputs, self._index, members, history, min_sites=min_sites, said=said, places=places)
        _check_types(workflow, inputs)
        return workflow, draft

    async def _checked(self, text: str) -> Workflow:
        workflow = await self._documents.workflow(text)
        if workflow.unpacked:
            raise BadInput(f"the workflow runs «{workflow.unpacked[0]}», which has no CID yet: add it as a block first")
        for block in workflow.blocks:
            await self._tool(block)
        return workflow

    async def cancel(self, word: Cancellation) -> None:
        """Write down that its person cancelled a submission; when this returns no further order is made for it.

        Nobody was told yet: :meth:`end` does that.

        Raises:
            Conflict: it has ended.
        """
        await self._journal.cancel(word)
        self._dispatcher.stop(word.submission)

    async def end(self, submission: Cid) -> Record:
        """Tell each site that has an order of a cancelled submission, until none is under way; the record then.

        A site that is away is told again until the order's time is over, at which it ends the order by itself.
        """
        self._dispatcher.stop(submission)
        pause = FIRST_PAUSE
        while True:
            carried = submission in self._carried  # asked first: of what is carried an order may still be on its way
            record = await self._journal.record(submission)
            if record.state.ended:
                return record
            told = await self._together([partial(self._dispatcher.cancel, record, each) for each in to_tell(record)])
            refusals = [each for each in told if each is not None]
            for refusal in refusals:
                if refusal.kind != CANCELLED or not carried:
                    await self._journal.refused(submission, refusal)
            if not carried and all(each.kind == CANCELLED for each in refusals):
                break
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        await self._journal.end(submission, State.CANCELLED, BY_ITS_PERSON, self._clock.now())
        return await self._journal.record(submission)

    async def pause(self, submission: Cid) -> None:
        """Make no further order for a submission until it is resumed; what is out comes in. Durable on return.

        Raises:
            Conflict: it does not run.
        """
        await self._journal.pause(submission, paused=True)
        self._dispatcher.paused.add(submission)

    async def resume(self, submission: Cid) -> None:
        """Go on with a submission that is paused.

        Raises:
            Conflict: it is not.
        """
        await self._journal.pause(submission, paused=False)
        self._dispatcher.paused.discard(submission)

    async def carry(self, submission: Cid, names: Mapping[str, str]) -> Record:
        """Bring a journalled submission to its end, or until it is cancelled; the record that stands then."""
        self._carried.add(submission)
        try:
            record = await self._journal.record(submission)
            if record.state not in (State.RUNNING, State.PAUSED):
                return record
            if record.state is State.PAUSED:
                self._dispatcher.paused.add(submission)
            try:
                state, reason = await self._steps_through(record, names)
            except ComityError as error:
                state, reason = State.FAILED, str(error)
            if not self._dispatcher.stopped(submission):
                await self._journal.end(submission, state, reason, self._clock.now())
            return await self._journal.record(submission)
        finally:
            self._carried.discard(submission)
            self._dispatcher.paused.discard(submission)

    async def _steps_through(self, record: Record, names: Mapping[str, str]) -> tuple[State, str]:
        """Carry out every step as soon as what it takes values from has ended; until one delivers too little."""
        asked = record.submission
        workflow, draft = await self.draft(record.workflow, asked.inputs, names, asked.min_sites, places=record.places)
        course = Course(record, workflow, draft, _plan(record, draft))
        ended: dict[str, _Ended] = {}

        async def carried(step: Step) -> None:
            tasks = await self._tasks(course, step)
            settled = course.settled(step)
            jobs = [partial(self._instances.carry, course, task, settled=settled) for task in tasks]
            left = [each for each in course.absent if each.step == step.id]
            over = _ended(step, await self._together(jobs), left, asked.min_sites, names)
            ended[step.id] = over
            if over.state is not None or any(each.state is not None for each in ended.values()):
                return
            course.deliver(step, over.delivered)
            for source in course.lists_made(step):
                course.unfold(source, await self._length(course, source))
            # What became ready by this very step: whatever else it waits for ended before.
            after = [each for each in ready(workflow, ended) if takes_from(each, step)]
            await self._together([partial(carried, each) for each in after])

        await self._together([partial(carried, each) for each in ready(workflow, ())])
        return _verdict(workflow, ended)

    async def _length(self, course: Course, source: Source) -> int:
        """How many members the list has that a step made, and a later one is scattered over.

        Raises:
            BadInput: it is no list, or a longer one than a step is scattered over. ComityError: it cannot be had.
        """
        made, what = course.values[source], f"the output «{source.name}» of step «{source.step}»"
        value = read_value(await self._read(course, source, made)) if isinstance(made, Data) and made.at == "" else None
        if not isinstance(value, list):
            raise BadInput(f"{what} is no list, and a step is scattered over it")
        if len(value) > MAX_SHARDS:
            raise BadInput(f"{what} has {len(value):,} members; a step is scattered over at most {MAX_SHARDS:,}")
        return len(value)

    async def _read(self, course: Course, source: Source, made: Data) -> bytes:
        proofs = [(proof.order, proof.receipt) for proof in course.proofs_of(source)]
        datasets = Evidence(self._index, course.cid, proofs).datasets(made)
        while True:
            try:
                return await self._values.value(made, datasets, course.submission.project)
            except Unreachable:
                # It delivered a moment ago, and nobody else has it: it may start again.
                if self._clock.now() > course.end or self._dispatcher.stopped(course.cid):
                    raise
            await self._clock.sleep(AGAIN_SECONDS)

    async def _tasks(self, course: Course, step: Step) -> list[Task]:
        block = _block(step)
        tool = await self._tool(block)
        absent = {(each.step, each.shard) for each in course.absent}
        readers = tuple(sorted(course.submission.destinations))
        outputs = {name: Wanted(type=_declared(tool, name), readers=readers) for name in step.outputs}
        return [
            Task(
                instance=Instance(submission=course.cid, step=step.id, shard=shard),
                block=block,
                inputs=given,
                proofs=course.proofs(step, shard),
                outputs=outputs,
            )
            for shard, given in enumerate(shards(step, course.values))
            if (step.id, shard) not in absent
        ]

    async def _tool(self, block: Cid) -> Tool:
        if not blocks_at(self._index, block, self._site):
            raise NotFound(f"no block {block} is shared with this site; check the CID or ask its author to share it")
        return await self._steps.tool(block)


def _plan(record: Record, draft: Draft) -> Plan:
    """The plan by which a submission began; its deadline was checked then, and every order carries it."""
    asked = record.submission
    if not record.places:
        return make_plan(draft, Limits(asked.deadline - record.began, asked.budget))
    plan = make_plan(draft, places=record.places)
    check_budget(plan, asked.budget)
    return plan


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a step ended: what it delivered, what is lacking; with a ``state`` if that is too little to go on."""

    delivered: Sequence[Reached]
    lacking: str
    state: State | None


def _ended(
    step: Step, ended: Sequence[Reached], left: Sequence[Absent], min_sites: int, names: Mapping[str, str]
) -> _Ended:
    delivered = [each for each in ended if each.delivered]
    enough = min(min_sites, len(ended)) if step.scatter else len(ended)
    lacking = [_left_out(step, left, names)] if left else []
    if len(delivered) < len(ended):
        lacking.append(shortage(step, ended, enough, names))
    return _Ended(delivered, "; ".join(lacking), gravest(ended) if len(delivered) < enough else None)


def _verdict(workflow: Workflow, ended: Mapping[str, _Ended]) -> tuple[State, str]:
    """How a submission ended, by the order of its steps: in whichever order they ended, it is told the same."""
    steps = [ended[step.id] for step in order_of_steps(workflow) if step.id in ended]
    faults = [each.state for each in steps if each.state is not None]
    return faults[0] if faults else State.DONE, "; ".join(each.lacking for each in steps if each.lacking)


def _left_out(step: Step, left: Sequence[Absent], names: Mapping[str, str]) -> str:
    """What the plan of a step goes without: each shard, by who holds its data, with why they do not run it."""
    told = []
    for each in left:
        holders = ", ".join(names.get(site, site) for site in each.holders) or f"shard {each.shard}"
        reasons = [other.reason for other in each.reasons if other.site in each.holders]
        told.append(f"{holders}: {'; '.join(reasons) or 'no site may run it'}")
    return f"step «{step.id}» was planned without {len(left)} ({'; '.join(told)})"


def _block(step: Step) -> Cid:
    if isinstance(step.run, Cid):
        return step.run
    raise BadInput(f"step «{step.id}» runs «{step.run}», which has no CID yet: add it as a block first")


def _declared(tool: Tool, name: str) -> str:
    output = tool.output(name)
    if output is None:
        raise BadInput(f"the block has no output «{name}»")
    return str(output.disclosure)


def _check_types(workflow: Workflow, inputs: Mapping[str, Argument]) -> None:
    """Whether what is given is of the inputs' types: else each site finds out by itself, when data have been read."""
    for each in workflow.inputs:
        if each.name in inputs:
            try:
                check_value(each.type, _plain(inputs[each.name]), (Data,))
            except BadInput as error:
                raise BadInput(f"input «{each.name}»: {error} (a text is given in quotes, as JSON has it)") from error


def _plain(argument: Argument) -> object:
    """A literal as the value that it is; data as themselves."""
    match argument:
        case Many(items=items):
            return tuple(_plain(item) for item in items)
        case Literal():
            return argument.value()
        case _:
            return argument
