"""One submission, from its plan to its result.

Every order is journalled before it is sent and every receipt before it is used, so that a bus that was killed goes
on where it stood: what has a receipt is not asked for again, what has an order is asked for with the same order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import BadInput, ComityError, NotFound
from catalog.index import Index
from node.bus.dispatch import Dispatcher, Reached, Task
from node.bus.journal import CANCELLED, Journal, Record, State
from node.message import Proof
from node.ports import Clock, Together
from node.step import Documents, Steps
from privacy.trust import blocks_at
from workflow.argument import Argument, Data, Literal, Many
from workflow.cancellation import Cancellation
from workflow.graph import Source, Step, Workflow, order_of_steps
from workflow.order import Instance, Order, Wanted
from workflow.plan.draft import NO_PLACES, NOBODY_ASKED, Draft, Members, Places, Said, drafted
from workflow.plan.learned import history_of
from workflow.plan.make import NO_LIMITS, Absent, Limits, Plan, Planned, check_budget, make_plan
from workflow.receipt import BY_ITS_PERSON
from workflow.tool import Tool
from workflow.type import check_value
from workflow.unfold import given_inputs, shards

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
        together: Together,
        clock: Clock,
    ) -> None:
        self._site = site
        self._index = index
        self._journal = journal
        self._dispatcher = dispatcher
        self._documents = documents
        self._steps = steps
        self._together = together
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
        plan = make_plan(workflow, inputs, self._index, Members(names, self._site), limits, places, min_sites)
        _check_types(workflow, inputs)
        return workflow, plan

    async def draft(
        self,
        text: str,
        inputs: Mapping[str, Argument],
        names: Mapping[str, str],
        min_sites: int | None = None,
        said: Said = NOBODY_ASKED,
    ) -> Draft:
        """Read a workflow and check it, as :meth:`plan` does, for whoever plans it; receipts teach the durations.

        Raises:
            BadInput, Denied, NotFound: as :func:`workflow.plan.draft.drafted`.
        """
        workflow = await self._checked(text)
        history = history_of(self._index, await self._journal.answered(MOST_RECEIPTS))
        members = Members(names, self._site)
        draft = drafted(workflow, inputs, self._index, members, history, min_sites=min_sites, said=said)
        _check_types(workflow, inputs)
        return draft

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
            told = await self._together([partial(self._dispatcher.cancel, record, each) for each in _to_tell(record)])
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

    async def carry(self, submission: Cid, names: Mapping[str, str]) -> Record:
        """Bring a journalled submission to its end, or until it is cancelled; the record that stands then."""
        self._carried.add(submission)
        try:
            record = await self._journal.record(submission)
            if record.state is not State.RUNNING:
                return record
            try:
                state, reason = await self._steps_through(record, names)
            except ComityError as error:
                state, reason = State.FAILED, str(error)
            if not self._dispatcher.stopped(submission):
                await self._journal.end(submission, state, reason, self._clock.now())
            return await self._journal.record(submission)
        finally:
            self._carried.discard(submission)

    async def _steps_through(self, record: Record, names: Mapping[str, str]) -> tuple[State, str]:
        asked = record.submission
        workflow, plan = await self._planned(record, names)
        values: dict[Source, Argument] = dict(given_inputs(workflow, asked.inputs))
        proofs: dict[Source, list[Proof]] = {}
        steps, begun = order_of_steps(workflow), {order.step for order in record.orders}
        lacking: list[str] = []
        for number, step in enumerate(steps):
            settled = any(later.id in begun for later in steps[number + 1 :])
            tasks = await self._tasks(record, step, values, proofs, plan)
            ended = await self._together([self._job(record, task, settled) for task in tasks])
            delivered = [each for each in ended if each.delivered]
            enough = min(asked.min_sites, len(ended)) if step.scatter else len(ended)
            if left := [each for each in plan.absent if each.step == step.id]:
                lacking.append(_left_out(step, left, names))
            if len(delivered) < enough:
                return _gravest(ended), "; ".join([*lacking, _shortage(step, ended, enough, names)])
            if len(delivered) < len(ended):
                lacking.append(_shortage(step, ended, enough, names))
            self._take(step, delivered, values, proofs)
        return State.DONE, "; ".join(lacking)

    async def _planned(self, record: Record, names: Mapping[str, str]) -> tuple[Workflow, Plan]:
        """The plan by which a submission began; its deadline was checked then, and every order carries it."""
        asked = record.submission
        if not record.places:
            limits = Limits(asked.deadline - record.began, asked.budget)
            return await self.plan(record.workflow, asked.inputs, names, limits, min_sites=asked.min_sites)
        workflow, plan = await self.plan(
            record.workflow, asked.inputs, names, places=record.places, min_sites=asked.min_sites
        )
        check_budget(plan, asked.budget)
        return workflow, plan

    def _job(self, record: Record, task: Task, settled: bool) -> Callable[[], Awaitable[Reached]]:
        return lambda: self._dispatcher.carry(record.submission, record.workflow, task, settled=settled)

    async def _tasks(
        self,
        record: Record,
        step: Step,
        values: Mapping[Source, Argument],
        proofs: Mapping[Source, list[Proof]],
        plan: Plan,
    ) -> list[Task]:
        block = _block(step)
        tool = await self._tool(block)
        placed = {(each.step, each.shard): each for each in plan.steps}
        absent = {(each.step, each.shard) for each in plan.absent}
        feeding = {s for each in step.inputs for s in each.sources if s.step}
        beside = _once(proof for source in sorted(feeding, key=str) for proof in proofs.get(source, ()))
        readers = tuple(sorted(record.submission.destinations))
        outputs = {name: Wanted(type=_declared(tool, name), readers=readers) for name in step.outputs}
        return [
            Task(
                instance=Instance(submission=record.cid, step=step.id, shard=shard),
                site=_placed(placed, step, shard).site,
                block=block,
                inputs=given,
                proofs=beside,
                outputs=outputs,
                max_cost=_placed(placed, step, shard).cost,
            )
            for shard, given in enumerate(shards(step, values))
            if (step.id, shard) not in absent
        ]

    def _take(
        self,
        step: Step,
        delivered: Sequence[Reached],
        values: dict[Source, Argument],
        proofs: dict[Source, list[Proof]],
    ) -> None:
        """Make what was delivered the values of the step's outputs, with the proofs that its labels need."""
        for name in step.outputs:
            source = Source(step.id, name)
            data = [_data(each, name) for each in delivered]
            values[source] = Many(items=tuple(data)) if step.scatter else data[0]
            proofs[source] = _once(
                proof
                for each in delivered
                if each.order and each.receipt
                for proof in (*each.task.proofs, Proof(order=each.order, receipt=each.receipt))
            )

    async def _tool(self, block: Cid) -> Tool:
        if not blocks_at(self._index, block, self._site):
            raise NotFound(f"no block {block} is shared with this site; check the CID or ask its author to share it")
        return await self._steps.tool(block)


def _to_tell(record: Record) -> list[Order]:
    """The orders that a site may still carry out."""
    ended = {receipt.order for receipt in record.receipts}
    over = {refusal.order for refusal in record.refusals if refusal.kind == CANCELLED}
    return [order for order in record.orders if cid_of(order) not in ended | over]


def _gravest(ended: Sequence[Reached]) -> State:
    """How a submission ends whose step delivered too little."""
    kinds = {each.kind for each in ended if not each.delivered}
    return State.DENIED if kinds & {"denied", "held"} else State.UNREACHABLE if "unreachable" in kinds else State.FAILED


def _shortage(step: Step, ended: Sequence[Reached], enough: int, names: Mapping[str, str]) -> str:
    """What a step did not deliver: each site that is missing, with its reason."""
    missing = [each for each in ended if not each.delivered]
    told = "; ".join(f"{names.get(each.site, each.site)}: {each.kind}, {each.reason}" for each in missing)
    delivered = len(ended) - len(missing)
    return f"step «{step.id}» delivered {delivered} of {len(ended)}, {enough} needed ({told})"


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


def _placed(placed: Mapping[tuple[str, int], Planned], step: Step, shard: int) -> Planned:
    return placed.get((step.id, shard)) or placed[step.id, 0]


def _data(reached: Reached, name: str) -> Data:
    output = reached.receipt.outputs[name] if reached.receipt else None
    if output is None or output.cid is None:
        raise NotFound(f"{reached.task.instance} delivered no «{name}»")
    return Data(site=reached.site, cid=output.cid, name=output.name)


def _once(proofs: Iterable[Proof]) -> list[Proof]:
    """Each proof once, in the order in which they come."""
    return list({cid_of(proof.receipt): proof for proof in proofs}.values())


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
