"""One step instance: its order is journalled, sent, waited for, and its receipt checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Conflict, Denied, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import UNSIGNED, Signer, check, signed
from catalog.label import Label
from node.bus.journal import WAITING, Journal, Refusal
from node.message import Outcome, Place, Proof, question_bytes, read_reply
from node.ports import Clock, Control, Halting, Receiving
from privacy.label import effective_readers
from workflow.argument import Argument, Data, pieces_in
from workflow.evidence import Evidence
from workflow.name import is_data_name
from workflow.order import Instance, Order, Wanted
from workflow.receipt import Receipt, Status
from workflow.submission import Submission

WAIT_SECONDS = 20
TRIES = 3
PATIENCE = 1 << 20
"""How often a site is asked again that said that it waits for people: until the order's time is over."""
LONGEST_PAUSE = 10.0
AGAIN_SECONDS = 0.5
ATTEMPTS = 2
"""As long as a piece of data may be called in an order."""
LATE = "it had not delivered when the next step began"


@dataclass(frozen=True, slots=True)
class Task:
    """What one instance is to do: where, which block, on what, for whom, at what price at most."""

    instance: Instance
    site: str
    block: Cid
    inputs: Mapping[str, Argument]
    proofs: Sequence[Proof]
    outputs: Mapping[str, Wanted]
    max_cost: int


@dataclass(frozen=True, slots=True)
class Reached:
    """How an instance ended: its order and final receipt, or why there is none."""

    task: Task
    order: Order | None
    receipt: Receipt | None
    reason: str
    kind: str

    @property
    def site(self) -> str:
        """The site that was asked, which an order made before a restart may have fixed."""
        return self.order.site if self.order else self.task.site

    @property
    def delivered(self) -> bool:
        """Whether every output was released to whom the plan needs."""
        return self.receipt is not None and self.receipt.status is Status.DONE


AGAIN: Final = frozenset({Status.FAILED, Status.CANCELLED})
"""How an attempt ends after which there may be another one."""


class Dispatcher:
    """Sends orders for the submissions of this site and waits for their receipts.

    While the site is halted for what an instance concerns, no order is made or sent for it and no receipt is taken.
    """

    def __init__(
        self,
        signer: Signer,
        index: Index,
        journal: Journal,
        control: Control,
        received: Receiving,
        halts: Halting,
        clock: Clock,
    ) -> None:
        self._signer = signer
        self._index = index
        self._journal = journal
        self._control = control
        self._received = received
        self._halts = halts
        self._clock = clock
        self.epoch = 0
        """The consortium's epoch, which orders name."""

    async def carry(self, submission: Submission, workflow: str, task: Task, *, settled: bool) -> Reached:
        """Bring one instance to its end: at most two attempts at failures, none at a denial.

        If it is ``settled``, orders were made from what its step delivered, so only what stands counts.
        """
        record = await self._journal.record(task.instance.submission)
        # One attempt's order may have been signed anew for a later epoch: the last one is the one that was sent.
        ours = sorted((o for o in record.orders if o.instance == task.instance), key=lambda order: order.epoch)
        newest = {order.attempt: order for order in ours}
        orders = [newest[attempt] for attempt in sorted(newest)]
        receipts = {receipt.order: receipt for receipt in record.receipts}
        reached = Reached(task, None, None, "it was never tried", "unreachable")
        for attempt in range(1, ATTEMPTS + 1):
            if settled and (attempt > len(orders) or cid_of(orders[attempt - 1]) not in receipts):
                return (
                    reached
                    if reached.order
                    else Reached(task, orders[0] if orders else None, None, LATE, "unreachable")
                )
            if attempt > len(orders):
                await self._resumed(submission, task.site)
            order = orders[attempt - 1] if attempt <= len(orders) else self._order(submission, task, attempt)
            if attempt > len(orders):
                await self._journal.ordered(order)
            standing = receipts.get(cid_of(order))
            reached = (
                _reached(task, order, standing) if standing else await self._attempt(submission, workflow, task, order)
            )
            if reached.receipt is None:
                await self._journal.refused(
                    task.instance.submission, Refusal(cid_of(order), reached.kind, reached.reason)
                )
            if reached.receipt is None or reached.receipt.status not in AGAIN:
                return reached
        return reached

    async def _resumed(self, submission: Submission, site: str) -> None:
        """Come back once this site is not, or no more, halted for ``submission`` or for ``site``, which carries it."""
        while self._halts.refusal(submission.project, concerned(submission, site)):
            await self._clock.sleep(AGAIN_SECONDS)

    def _order(self, submission: Submission, task: Task, attempt: int) -> Order:
        order = Order(
            consortium=submission.consortium,
            epoch=max(self.epoch, submission.epoch),
            submission=task.instance.submission,
            step=task.instance.step,
            shard=task.instance.shard,
            attempt=attempt,
            site=task.site,
            bus=self._signer.did,
            block=task.block,
            inputs=dict(task.inputs),
            proofs=tuple(cid_of(proof.receipt) for proof in task.proofs),
            outputs=dict(task.outputs),
            max_cost=task.max_cost,
            not_after=min(submission.deadline, submission.not_after),
            sig=UNSIGNED,
        )
        return signed(order, self._signer)

    async def _anew(self, submission: Submission, task: Task, order: Order) -> Order:
        """The same attempt's order for the epoch that stands now, journalled before it is sent."""
        if order.epoch < self.epoch:
            order = self._order(submission, task, order.attempt)
            await self._journal.ordered(order)
        return order

    async def _attempt(self, submission: Submission, workflow: str, task: Task, order: Order) -> Reached:
        message = Place(
            order=order, submission=submission, workflow=workflow, proofs=tuple(task.proofs), seconds=WAIT_SECONDS
        )
        question: Place | Outcome = message
        failures, tries = 0, TRIES
        while True:
            await self._resumed(submission, order.site)
            try:
                answer = await self._control.ask(order.site, question_bytes(question), WAIT_SECONDS + 10)
                await self._resumed(submission, order.site)
                receipt = self._checked(task, order, read_reply(Receipt, answer))
            except (Conflict, Denied, Unreachable) as error:
                # A refusal without a receipt is not a policy's: the site may be a moment behind the others' catalogs,
                # and not know a project, a key or a block yet that was published just now; or an epoch ahead of this.
                failures += 1
                if failures >= tries or self._clock.now() > order.not_after:
                    kind = "denied" if isinstance(error, Denied) else "unreachable"
                    return Reached(task, order, None, str(error), kind)
                await self._clock.sleep(min(0.5 * 2 ** min(failures, TRIES + 2), LONGEST_PAUSE))
                if isinstance(error, Conflict):
                    order = await self._anew(submission, task, order)
                question = message = structs.replace(message, order=order)
                continue
            except ComityError as error:
                lied = isinstance(error, VerificationFailed)
                return Reached(task, order, None, str(error), "denied" if lied else "failed")
            if receipt.final:
                await self._note(submission, task, order, receipt)
                await self._journal.received(task.instance.submission, receipt)
                return _reached(task, order, receipt)
            if self._clock.now() > order.not_after:
                late = "it gave no final receipt before the order's time was over"
                return Reached(task, order, None, f"{late}: {receipt.reason}".rstrip(": "), "unreachable")
            if receipt.reason:
                waits = Refusal(cid_of(order), WAITING, receipt.reason)
                await self._journal.refused(task.instance.submission, waits)
            tries = PATIENCE if receipt.waits_for_people else TRIES
            failures, question = 0, Outcome(order=cid_of(order), seconds=WAIT_SECONDS)
            await self._clock.sleep(AGAIN_SECONDS)

    async def _note(self, submission: Submission, task: Task, order: Order, receipt: Receipt) -> None:
        """What the other site released is written down here too, before it is used."""
        if any(output.release is not None for output in receipt.outputs.values()):
            evidence = Evidence(self._index, order.submission, [(proof.order, proof.receipt) for proof in task.proofs])
            datasets = {cid for item in pieces_in(order.inputs) for cid in evidence.datasets(item)}
            await self._received.released(receipt, datasets, submission)

    def _checked(self, task: Task, order: Order, receipt: Receipt) -> Receipt:
        """A receipt counts only if it is for this order, by the node of the site that was asked, within its price.

        One that says «done» must have released every output to whom the order names: what a later site would refuse
        is the fault of this site alone, and the others' shards go on without it.
        """
        node = self._index.site(order.site).node()
        if receipt.order != cid_of(order) or receipt.site != order.site or receipt.node != node:
            raise VerificationFailed("its receipt is for another order or by another site")
        check(receipt, receipt.node)
        if receipt.cost > order.max_cost:
            raise VerificationFailed("its receipt charges more than the order allowed")
        if receipt.cost and receipt.status not in (Status.DONE, Status.HELD):
            raise VerificationFailed("its receipt charges for what was not delivered")
        if not set(receipt.outputs) <= set(order.outputs):
            raise VerificationFailed("its receipt names outputs that were not ordered")
        if receipt.status is Status.DONE:
            self._check_delivered(task, order, receipt)
        return receipt

    def _check_delivered(self, task: Task, order: Order, receipt: Receipt) -> None:
        if set(receipt.outputs) != set(order.outputs):
            raise VerificationFailed("its receipt does not name the outputs that were ordered")
        proofs = [(proof.order, proof.receipt) for proof in (*task.proofs, Proof(order=order, receipt=receipt))]
        evidence = Evidence(self._index, order.submission, proofs)
        for name, output in receipt.outputs.items():
            if output.cid is None:
                if order.outputs[name].readers:
                    raise VerificationFailed(f"its receipt says «done», and names no value for «{name}»")
                continue
            if not is_data_name(output.name):
                raise VerificationFailed(f"its receipt gives «{name}» a name that is no file's")
            data = Data(site=order.site, cid=output.cid, name=output.name)
            readers = effective_readers(_label_of(evidence, data, order, name))
            if readers is not None and not set(order.outputs[name].readers) <= readers:
                raise VerificationFailed(
                    f"its receipt says «done», and «{name}» is not released to whom the order names"
                )


def concerned(submission: Submission, *sites: str) -> tuple[str, ...]:
    """The members whose halt pauses ``submission``, or what it has to do with ``sites``."""
    return submission.site, submission.project.site, *sites


def _label_of(evidence: Evidence, data: Data, order: Order, name: str) -> Label:
    """The label that this very order gave its output."""
    made = (each for each in evidence.made(data) if each.order == order and each.name == name)
    return next(made).label


def _reached(task: Task, order: Order, receipt: Receipt) -> Reached:
    """How an instance ended by a final receipt; what is held gives its reason output by output."""
    held = (f"«{name}»: {output.reason}" for name, output in sorted(receipt.outputs.items()) if output.reason)
    return Reached(task, order, receipt, receipt.reason or "; ".join(held), str(receipt.status))
