"""Orders of this site's submissions: signed, journalled, sent, waited for; receipts are checked before they count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import UNSIGNED, Signer, signed
from node.bus.course import Course, Reached, Task
from node.bus.journal import CANCELLED, WAITING, Journal, Record, Refusal
from node.bus.receipts import Receipts, proofs_of
from node.message import Cancel, Outcome, Place, question_bytes, read_reply
from node.ports import Clock, Control, Halting, Receiving
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission

WAIT_SECONDS = 20
TRIES = 3
PATIENCE = 1 << 20
"""How often a site is asked again that said that it waits for people: until the order's time is over."""
LONGEST_PAUSE = 10.0
AGAIN_SECONDS = 0.5
LOST_MILLIS: Final = 10_000
"""For how long a site that does not answer is tried before it counts as lost: a node that starts again needs less."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Where an instance is to run: at ``site``, for at most ``max_cost``, and until ``not_after``."""

    site: str
    max_cost: int
    not_after: int


class Dispatcher:
    """Sends orders for the submissions of this site and waits for their receipts.

    While the site is halted for what an instance concerns, no order is made or sent for it and no receipt is taken.
    While a submission is paused no order is made for it; what is out comes in.
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
        self.paused: set[Cid] = set()
        self.lost: set[str] = set()
        """The sites that did not answer when they were asked last, for long."""
        self._stopped: set[Cid] = set()

    def stop(self, submission: Cid) -> None:
        """From now on no order of ``submission`` is made or sent; what is asked now is not waited for longer."""
        self._stopped.add(submission)

    def stopped(self, submission: Cid) -> bool:
        """Whether it was."""
        return submission in self._stopped

    async def begins(self, course: Course, site: str) -> bool:
        """Come back once another order of a submission may be made; whether it may, or is too late."""
        while course.cid in self.paused and course.cid not in self._stopped and self._in_time(course.submission):
            await self._clock.sleep(AGAIN_SECONDS)
        return await self._goes_on(course.cid, course.submission, site)

    def _in_time(self, submission: Submission) -> bool:
        return self._clock.now() <= min(submission.deadline, submission.not_after)

    async def _goes_on(self, cid: Cid, submission: Submission, site: str) -> bool:
        """Come back once this site is not, or no more, halted for ``submission`` or for ``site``, which carries it.

        Whether the submission goes on then: it may be cancelled.
        """
        while cid not in self._stopped and self._halts.refusal(submission.project, concerned(submission, site)):
            await self._clock.sleep(AGAIN_SECONDS)
        return cid not in self._stopped

    async def order(self, course: Course, task: Task, attempt: int, offered: Offered) -> Order:
        """The order for an attempt at an instance, in the journal when it is given back."""
        order = signed(self.unsigned(course.submission, task, offered, attempt), self._signer)
        await self._journal.ordered(order)
        course.ordered(order)
        return order

    def unsigned(self, submission: Submission, task: Task, offered: Offered, attempt: int = 1) -> Order:
        """What an instance would be ordered by."""
        return Order(
            consortium=submission.consortium,
            epoch=max(self.epoch, submission.epoch),
            submission=task.instance.submission,
            step=task.instance.step,
            shard=task.instance.shard,
            attempt=attempt,
            site=offered.site,
            bus=self._signer.did,
            block=task.block,
            inputs=dict(task.inputs),
            proofs=tuple(cid_of(proof.receipt) for proof in task.proofs),
            outputs=dict(task.outputs),
            max_cost=offered.max_cost,
            not_after=offered.not_after,
            sig=UNSIGNED,
        )

    async def _anew(self, course: Course, task: Task, order: Order) -> Order:
        """The same attempt's order for the epoch that stands now, journalled before it is sent."""
        if order.epoch < self.epoch:
            return await self.order(course, task, order.attempt, Offered(order.site, order.max_cost, order.not_after))
        return order

    async def attempt(self, course: Course, task: Task, order: Order, *, alone: bool) -> Reached:
        """Bring one order to its end. If no other site may run it (``alone``), one that is lost is not waited for.

        Else it is tried until the order's time is over: before that nobody else may be asked.
        """
        reached = await self._answered(course, task, order, alone=alone)
        if reached.receipt is not None:
            course.received(reached.receipt)
        elif reached.kind != CANCELLED and reached.order is not None:
            refusal = Refusal(cid_of(reached.order), reached.kind, reached.reason)
            await self._journal.refused(course.cid, refusal)
        return reached

    async def _answered(self, course: Course, task: Task, order: Order, *, alone: bool) -> Reached:
        submission = course.submission
        message = Place(
            order=order, submission=submission, workflow=course.text, proofs=tuple(task.proofs), seconds=WAIT_SECONDS
        )
        question: Place | Outcome = message
        trouble = _Trouble(self._clock)
        while True:
            try:
                answer = await self._ask(submission, order, question)
                if answer is None:
                    return cancelled(task, order.site, order)
                receipt = self._receipts.check(order, task.proofs, read_reply(Receipt, answer))
            except (Conflict, Denied, Unreachable) as error:
                # A refusal without a receipt is not a policy's: the site may be a moment behind the others' catalogs,
                # and not know a project, a key or a block yet that was published just now; or an epoch ahead of this.
                trouble.count(error)
                if trouble.lasts:
                    self.lost.add(order.site)
                if trouble.is_over(order, alone=alone):
                    kind = "denied" if isinstance(error, Denied) else "unreachable"
                    return Reached(task, order.site, order, None, str(error), kind)
                await self._clock.sleep(trouble.pause)
                if isinstance(error, Conflict):
                    order = await self._anew(course, task, order)
                question = message = structs.replace(message, order=order)
                continue
            except ComityError as error:
                lied = isinstance(error, VerificationFailed)
                return Reached(task, order.site, order, None, str(error), "denied" if lied else "failed")
            self.lost.discard(order.site)
            over = await self._over(submission, task, order, receipt)
            if over is not None:
                return over
            if receipt.reason:
                waits = Refusal(cid_of(order), WAITING, receipt.reason)
                await self._journal.refused(course.cid, waits)
            trouble = _Trouble(self._clock, PATIENCE if receipt.waits_for_people else TRIES)
            question = Outcome(order=cid_of(order), seconds=WAIT_SECONDS)
            await self._clock.sleep(AGAIN_SECONDS)

    async def _over(self, submission: Submission, task: Task, order: Order, receipt: Receipt) -> Reached | None:
        """How an order ended, by a receipt that counts; none if it goes on."""
        if receipt.final:
            await self._receipts.take(submission, order, task.proofs, receipt)
            return reached_by(task, order, receipt)
        if self._clock.now() > order.not_after:
            late = "it gave no final receipt before the order's time was over"
            return Reached(task, order.site, order, None, f"{late}: {receipt.reason}".rstrip(": "), "unreachable")
        return None

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


class _Trouble:
    """How often, and since when, a site that was asked did not answer, or refused without a receipt."""

    def __init__(self, clock: Clock, tries: int = TRIES) -> None:
        self._clock = clock
        self._tries = tries
        self._failures = 0
        self._away = False
        self._since = clock.now()

    def count(self, error: ComityError) -> None:
        """It happened again."""
        away = isinstance(error, Unreachable)
        if away and not self._away:
            self._since = self._clock.now()
        self._away = away
        self._failures += 1

    @property
    def lasts(self) -> bool:
        """Whether the site counts as lost."""
        return self._away and self._failures >= TRIES and self._clock.now() - self._since >= LOST_MILLIS

    def is_over(self, order: Order, *, alone: bool) -> bool:
        """Whether it is not tried again."""
        if self._clock.now() > order.not_after:
            return True
        if not self._away or self._tries == PATIENCE:
            return self._failures >= self._tries
        return alone and self.lasts

    @property
    def pause(self) -> float:
        """Seconds until it is tried again."""
        return min(0.5 * 2.0 ** min(self._failures, TRIES + 2), LONGEST_PAUSE)


def cancelled(task: Task, site: str, order: Order | None) -> Reached:
    """An instance whose submission was cancelled; whoever tells its site takes the receipt."""
    return Reached(task, site, order, None, "its submission was cancelled", CANCELLED)


def reached_by(task: Task, order: Order, receipt: Receipt) -> Reached:
    """How an instance ended by a final receipt; what is held gives its reason output by output."""
    held = (f"«{name}»: {output.reason}" for name, output in sorted(receipt.outputs.items()) if output.reason)
    return Reached(task, order.site, order, receipt, receipt.reason or "; ".join(held), str(receipt.status))
