"""A submission on its way: what was ordered, what came back, what it spent, and what its steps delivered.

Read once from the journal and kept up with it, so that an instance costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import NotFound
from node.bus.journal import CANCELLED, Record, State
from node.message import Proof
from workflow.argument import Argument, Data, Many
from workflow.graph import Merge, Source, Step, Workflow
from workflow.order import Instance, Order, Wanted
from workflow.plan.draft import Draft, Places
from workflow.plan.make import Plan, Planned
from workflow.receipt import Form, Receipt, Status
from workflow.submission import Submission
from workflow.unfold import fed_by, given_inputs


@dataclass(frozen=True, slots=True)
class Task:
    """What one instance is to do: which block, on what, for whom."""

    instance: Instance
    block: Cid
    inputs: Mapping[str, Argument]
    proofs: Sequence[Proof]
    outputs: Mapping[str, Wanted]

    @property
    def place(self) -> tuple[str, int]:
        """Its step and shard, by which a plan knows it."""
        return self.instance.step, self.instance.shard


@dataclass(frozen=True, slots=True)
class Reached:
    """How an instance ended: its order and final receipt, or why there is none.

    ``site`` is the one that was asked last, or would have been.
    """

    task: Task
    site: str
    order: Order | None
    receipt: Receipt | None
    reason: str
    kind: str

    @property
    def delivered(self) -> bool:
        """Whether every output was released to whom the plan needs."""
        return self.receipt is not None and self.receipt.status is Status.DONE


class Standing(Enum):
    """How far an instance is."""

    OPEN = "nothing is ordered, or what was is over"
    OUT = "its order is out"
    MADE = "it made something, and is never attempted again"


class Course:
    """One submission on its way. ``began`` is when its plan starts, Unix milliseconds.

    ``draft`` is what it was planned from, ``absent`` the shards that its plan goes without; ``replanning`` says that it
    is being planned anew.
    """

    def __init__(self, record: Record, workflow: Workflow, draft: Draft, plan: Plan) -> None:
        self.submission: Submission = record.submission
        self.cid: Cid = record.cid
        self.text: str = record.workflow
        self.workflow = workflow
        self.draft = draft
        self.replanning = False
        self.absent = plan.absent
        self.follow(plan, record.began)
        self._values: dict[Source, Argument] = dict(given_inputs(workflow, record.submission.inputs))
        self._proofs: dict[Source, list[tuple[Proof, ...]]] = {}
        self._orders: dict[Instance, dict[int, Order]] = {}
        self._receipts: dict[Cid, Receipt] = {receipt.order: receipt for receipt in record.receipts}
        self._promised: dict[Cid, int] = {}
        self._out = 0
        self.spent = 0
        # One attempt's order may have been signed anew for a later epoch: the last one is the one that was sent.
        for order in sorted(record.orders, key=lambda each: each.epoch):
            self.ordered(order)
        for receipt in record.receipts:
            self.received(receipt)

    @property
    def end(self) -> int:
        """When all of it is over, Unix milliseconds."""
        return min(self.submission.deadline, self.submission.not_after)

    def follow(self, plan: Plan, now: int) -> None:
        """From ``now`` on what is not ordered yet goes by ``plan``."""
        self.began = now
        self._planned: dict[tuple[str, int], Planned] = {(each.step, each.shard): each for each in plan.steps}

    @property
    def places(self) -> Places:
        """Where each instance runs, by its plan."""
        return {place: each.site for place, each in self._planned.items()}

    def planned(self, task: Task) -> Planned:
        """What the plan says of an instance; of a shard that it did not foresee, what it says of the first one."""
        step, shard = task.place
        first = min(place for place in self._planned if place[0] == step)
        return self._planned.get((step, shard)) or self._planned[first]

    # --- orders and receipts -----------------------------------------------------------------------------------------

    def ordered(self, order: Order) -> None:
        """An order stands in the journal: it may cost what it says until its receipt tells."""
        attempts = self._orders.setdefault(order.instance, {})
        if (earlier := attempts.get(order.attempt)) is not None:
            self._out -= self._promised.pop(cid_of(earlier), 0)
        attempts[order.attempt] = order
        self._promised[cid_of(order)] = order.max_cost
        self._out += order.max_cost

    def received(self, receipt: Receipt) -> None:
        """A final receipt stands in the journal."""
        self._receipts[receipt.order] = receipt
        self._out -= self._promised.pop(receipt.order, 0)
        self.spent += receipt.cost

    def orders(self, instance: Instance) -> list[Order]:
        """The orders for an instance, one for each attempt, as it was sent last."""
        attempts = self._orders.get(instance, {})
        return [attempts[number] for number in sorted(attempts)]

    def receipt(self, order: Order) -> Receipt | None:
        """The final receipt of an order, if it came."""
        return self._receipts.get(cid_of(order))

    @property
    def left(self) -> int:
        """What may be spent yet, in millionths, if all that is out costs what it may at most."""
        return self.submission.budget - self.spent - self._out

    def standing(self, instance: Instance, now: int) -> Standing:
        """How far an instance is at ``now``, Unix milliseconds."""
        if not (orders := self.orders(instance)):
            return Standing.OPEN
        receipt = self.receipt(orders[-1])
        if receipt is None:
            return Standing.OUT if now <= orders[-1].not_after else Standing.OPEN
        return Standing.MADE if receipt.status in (Status.DONE, Status.HELD) else Standing.OPEN

    # --- values ------------------------------------------------------------------------------------------------------

    @property
    def values(self) -> Mapping[Source, Argument]:
        """The workflow's inputs, and what steps delivered."""
        return self._values

    def settled(self, step: Step) -> bool:
        """Whether a step that takes values from ``step`` has begun: then only what stood then counts."""
        begun = {instance.step for instance in self._orders}
        return any(takes_from(later, step) for later in self.workflow.steps if later.id in begun)

    def proofs(self, step: Step, shard: int) -> tuple[Proof, ...]:
        """The orders and receipts from which the labels of an instance's inputs follow, each after what it rests on."""
        found: list[Proof] = []
        lengths = {source: len(many.items) for source, many in self._values.items() if isinstance(many, Many)}
        for source, member in fed_by(step, shard, lengths):
            for number, proofs in enumerate(self._proofs.get(source, ())):
                if member is None or number == member:
                    found += proofs
        return tuple(once(found))

    def deliver(self, step: Step, delivered: Sequence[Reached]) -> None:
        """Make what was delivered the values of the step's outputs."""
        for name in step.outputs:
            source = Source(step.id, name)
            data = [_data(each, name) for each in delivered]
            self._values[source] = Many(items=tuple(data)) if step.scatter else data[0]
            self._proofs[source] = [_with_its_own(each) for each in delivered]

    def lists_made(self, step: Step) -> list[Source]:
        """The outputs of a step that delivered them whole, and over which a later one is scattered."""
        over = {
            source
            for later in self.workflow.steps
            for each in later.inputs
            if each.name in later.scatter and each.merge is not Merge.NESTED
            for source in each.sources
        }
        made = [source for name in step.outputs if (source := Source(step.id, name)) in over]
        return [source for source in made if isinstance(self._values[source], Data)]

    def proofs_of(self, source: Source) -> tuple[Proof, ...]:
        """The orders and receipts from which the label of an output follows, of all instances that made it."""
        return tuple(once(proof for proofs in self._proofs.get(source, ()) for proof in proofs))

    def unfold(self, source: Source, length: int) -> None:
        """A list of ``length`` that a step made is taken member by member from now on."""
        made = self._values[source]
        if isinstance(made, Data):
            items = tuple(structs.replace(made, at=f"/{number}") for number in range(length))
            self._values[source] = Many(items=items)
            self._proofs[source] = self._proofs[source] * length


def _before(step: Step) -> set[str]:
    """The steps that a step takes values from."""
    return {source.step for each in step.inputs for source in each.sources if source.step}


def ready(workflow: Workflow, ended: Iterable[str]) -> list[Step]:
    """The steps, not ended yet, that wait for nothing but what has ended."""
    over = set(ended)
    return [step for step in workflow.steps if step.id not in over and _before(step) <= over]


def takes_from(later: Step, step: Step) -> bool:
    """Whether a step takes values from another one."""
    return step.id in _before(later)


def once(proofs: Iterable[Proof]) -> list[Proof]:
    """Each proof once, in the order in which they come."""
    return list({cid_of(proof.receipt): proof for proof in proofs}.values())


def to_tell(record: Record) -> list[Order]:
    """The orders of a submission that its sites may still carry out."""
    ended = {receipt.order for receipt in record.receipts}
    over = {refusal.order for refusal in record.refusals if refusal.kind == CANCELLED}
    return [order for order in record.orders if cid_of(order) not in ended | over]


def gravest(ended: Iterable[Reached]) -> State:
    """How a submission ends whose step delivered too little."""
    kinds = {each.kind for each in ended if not each.delivered}
    return State.DENIED if kinds & {"denied", "held"} else State.UNREACHABLE if "unreachable" in kinds else State.FAILED


def shortage(step: Step, ended: Sequence[Reached], enough: int, names: Mapping[str, str]) -> str:
    """What a step did not deliver: each site that is missing, with its reason."""
    missing = [each for each in ended if not each.delivered]
    told = "; ".join(f"{names.get(each.site, each.site)}: {each.kind}, {each.reason}" for each in missing)
    delivered = len(ended) - len(missing)
    return f"step «{step.id}» delivered {delivered} of {len(ended)}, {enough} needed ({told})"


def _data(reached: Reached, name: str) -> Data:
    output = reached.receipt.outputs[name] if reached.receipt else None
    if output is None or output.cid is None:
        raise NotFound(f"{reached.task.instance} delivered no «{name}»")
    whole = "" if output.form is Form.VALUE else None
    return Data(site=reached.site, cid=output.cid, name=output.name, at=whole)


def _with_its_own(reached: Reached) -> tuple[Proof, ...]:
    if reached.order is None or reached.receipt is None:
        return tuple(reached.task.proofs)
    return (*reached.task.proofs, Proof(order=reached.order, receipt=reached.receipt))
