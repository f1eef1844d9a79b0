"""One step instance: its order is journalled, sent, waited for, and its receipt checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import UNSIGNED, Signer, signed
from node.bus.journal import CANCELLED, WAITING, Journal, Record, Refusal
from node.bus.receipts import Receipts, proofs_of
from node.message import Cancel, Outcome, Place, Proof, question_bytes, read_reply
from node.ports import Clock, Control, Halting, Receiving
from workflow.argument import Argument
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
        self._receipts = Receipts(index, journal, received)
        self._halts = halts
        self._clock = clock
        self.epoch = 0
        """The consortium's epoch, which orders name."""
        self._stopped: set[Cid] = set()

    def stop(self, submission: Cid) -> None:
        """From now on no order of ``submission`` is made or sent; what is asked now is not waited for longer."""
        self._stopped.add(submission)

    def stopped(self, submission: Cid) -> bool:
        """Whether it was."""
        return submission in self._stopped

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
            if attempt > len(orders) and not await self._goes_on(task.instance.submission, submission, task.site):
                return _stopped(task, None)
            order = orders[attempt - 1] if attempt <= len(orders) else self._order(submission, task, attempt)
            if attempt > len(orders):
                await self._journal.ordered(order)
            standing = receipts.get(cid_of(order))
            reached = (
                _reached(task, order, standing) if standing else await self._attempt(submission, workflow, task, order)
            )
            if reached.receipt is None and reached.kind != CANCELLED:
                await self._journal.refused(
                    task.instance.submission, Refusal(cid_of(order), reached.kind, reached.reason)
                )
            if reached.receipt is None or reached.receipt.status not in AGAIN:
                return reached
        return reached

    async def _goes_on(self, cid: Cid, submission: Submission, site: str) -> bool:
        """Come back once this site is not, or no more, halted for ``submission`` or for ``site``, which carries it.

        Whether the submission goes on then: it may be cancelled.
        """
        while cid not in self._stopped and self._halts.refusal(submission.project, concerned(submission, site)):
            await self._clock.sleep(AGAIN_SECONDS)
        return cid not in self._stopped

    def _order(self, submission: Submission, task: Task, attempt: int) -> Order:
        return signed(self.unsigned(submission, task, attempt), self._signer)

    def unsigned(self, submission: Submission, task: Task, attempt: int = 1) -> Order:
        """What an instance would be ordered by."""
        return Order(
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
            try:
                answer = await self._ask(submission, order, question)
                if answer is None:
                    return _stopped(task, order)
                receipt = self._receipts.check(order, task.proofs, read_reply(Receipt, answer))
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
                await self._receipts.take(submission, order, task.proofs, receipt)
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

    async def _ask(self, submission: Submission, order: Order, question: Place | Outcome) -> bytes | None:
        """What the site of ``order`` answers; none if the submission is cancelled by then."""
        if not await self._goes_on(order.submission, submission, order.site):
            return None
        answer = await self._control.ask(order.site, question_bytes(question), WAIT_SECONDS + 10)
        return answer if await self._goes_on(order.submission, submission, order.site) else None

    async def cancel(self, record: Record, order: Order) -> Refusal | None:
        """Tell the site of ``order`` that its person cancelled it, and take the receipt that ends it.

        What comes back is why there is none: of the kind ``cancelled`` if that site has nothing to end, or if the
        order's time is over, at which it ends by itself; else it is to be told again.
        """
        cid, word = cid_of(order), record.word
        if word is None:
            raise Conflict(f"nobody cancelled the submission {record.cid}")
        try:
            question = question_bytes(Cancel(order=cid, word=word))
            answer = read_reply(Receipt, await self._control.ask(order.site, question, WAIT_SECONDS + 10))
            proofs = proofs_of(record, order)
            receipt = self._receipts.check(order, proofs, answer)
            if not receipt.final:
                return self._silent(order, receipt.reason)
            await self._receipts.take(record.submission, order, proofs, receipt)
        except ComityError as error:
            nothing = isinstance(error, Denied | NotFound)
            return Refusal(cid, CANCELLED, str(error)) if nothing else self._silent(order, str(error))
        return None

    def _silent(self, order: Order, reason: str) -> Refusal:
        """Why an order that is cancelled has no final receipt yet; after its time none is waited for."""
        over = self._clock.now() > order.not_after
        return Refusal(cid_of(order), CANCELLED if over else "unreachable", reason)


def concerned(submission: Submission, *sites: str) -> tuple[str, ...]:
    """The members whose halt pauses ``submission``, or what it has to do with ``sites``."""
    return submission.site, submission.project.site, *sites


def _stopped(task: Task, order: Order | None) -> Reached:
    """An instance whose submission was cancelled; whoever tells its site takes the receipt."""
    return Reached(task, order, None, "its submission was cancelled", CANCELLED)


def _reached(task: Task, order: Order, receipt: Receipt) -> Reached:
    """How an instance ended by a final receipt; what is held gives its reason output by output."""
    held = (f"«{name}»: {output.reason}" for name, output in sorted(receipt.outputs.items()) if output.reason)
    return Reached(task, order, receipt, receipt.reason or "; ".join(held), str(receipt.status))
