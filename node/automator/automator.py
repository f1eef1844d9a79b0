"""One order, from its arrival to its receipt.

The line that an order takes is :meth:`Automator.carry`: nothing of the data is opened before the intent stands in
the audit log, and no receipt leaves before the result does. Placing an order again gives the receipt that stands,
so a message that comes twice, or after a crash, runs nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode
from catalog.error import ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.key import Signer, signed
from node.automator.answering import Answering
from node.automator.asking import UNANSWERED, Access, Asking, denial, inquiry_of
from node.automator.book import AuditBook, Line
from node.automator.case import let_in
from node.automator.decide import Judge, Verdict
from node.automator.disclosing import Disclosing
from node.automator.hold import Holdings
from node.automator.inquiries import Consent
from node.automator.late import Releases
from node.automator.ledger import Attempt
from node.automator.life import Stage, check_attempt
from node.automator.owners import Owners
from node.automator.receipt import receipt_of
from node.automator.refusal import Refusals
from node.automator.release import Ruling, keep, refused
from node.automator.result import result_line
from node.automator.rulings import Rulings
from node.automator.steady import SteadyClock
from node.automator.verify import UNKNOWN, Verified, Verifier, signed_request
from node.automator.waiting import ReleaseMemory, Waiting
from node.message import Cancel, Place, Reported, Reporting
from node.ports import Clock, Random
from node.replication import Covering
from node.step import Finished, Steps, Usage
from privacy.label import withheld
from workflow.account import MAX_REQUEST, AccessFields, Chain, Complaint, InquiryFields, Kept, datasets_of
from workflow.order import Order
from workflow.receipt import ASKED_TO_RUN, BY_ITS_PERSON, Receipt, Release, Status
from workflow.submission import Submission

RAN_AND_FAILED = "it failed there; the site's steward can see of what"


class Automator:
    """Carries orders out at the site ``site``, one call of :meth:`carry` each."""

    def __init__(
        self,
        site: str,
        signer: Signer,
        verifier: Verifier,
        judge: Judge,
        book: AuditBook,
        steps: Steps,
        holdings: Holdings,
        covering: Covering,
        memory: ReleaseMemory,
        owners: Owners,
        disclosing: Disclosing,
        clock: Clock,
        random: Random,
    ) -> None:
        clock = SteadyClock(clock, judge.recency)
        self._site = site
        self._signer = signer
        self._verifier = verifier
        self._judge = judge
        self._book = book
        self._steps = steps
        self._holdings = holdings
        self._refusals = Refusals(book, verifier, clock.now)
        self._asking = Asking(book, judge.is_steward, clock)
        self._disclosing = disclosing
        self._rulings = Rulings(site, signer, judge, self._asking, disclosing, random)
        self._owners = owners
        self._answering = Answering(
            site, signer, verifier, judge, book, self._asking, disclosing, covering, self._refusals, clock.now
        )
        releases = Releases(site, signer, judge, book, self._asking, disclosing, owners, clock)
        self._waiting = Waiting(verifier, judge, book, covering, memory, releases, clock, self._hold)
        self._clock = clock

    def standing(self, order: Cid) -> Receipt | None:
        """The receipt that stands for an order, if it has come as far as the audit log.

        What is still being written does not stand yet: a crash may undo it. What was released stands once the quorum
        has cosigned it; until then the order is «accepted», and its receipt says whom it waits for.
        """
        attempt = self._book.ledger.attempt(order)
        if attempt is None or attempt.index >= self._book.durable:
            return None
        if attempt.result is not None and attempt.closed >= self._book.durable:
            attempt = replace(attempt, result=None)
        return self._told(attempt)

    def waits_for(self, order: Cid) -> int:
        """How many leaves of the audit log the quorum must cosign before an order's receipt is final; 0 if it is."""
        attempt = self._book.ledger.attempt(order)
        return attempt.closed + 1 if attempt is not None and self._waits(attempt) else 0

    async def look(self) -> None:
        """Look after the releases that wait for the quorum, when it has cosigned more, and every second besides.

        What it has cosigned takes effect, if what it rests on still stands. Else it is held for good. One call at a
        time.

        Raises:
            ComityError: the audit log or the memory cannot be written.
        """
        await self._waiting.look()

    async def ask_owners(self) -> None:
        """Ask the other owners of what was made here who have not answered yet; one call at a time.

        Raises:
            ComityError: the audit log or the memory cannot be written.
        """
        if await self._owners.ask():
            self._waiting.answered()

    async def report(self, message: Reporting, holder: str) -> Reported:
        """Answer the node of the site ``holder``, which made something of this site's data (:class:`Answering`)."""
        return await self._answering.answer(message, holder)

    async def carry(self, message: Place, asker: str) -> Receipt:
        """Carry one order out for the bus node ``asker``; its final receipt, or the one that stands already.

        Raises:
            VerificationFailed: the order, its submission or a proof is not what it claims to be; nothing was run.
            Denied: who signed it has no standing here; nothing was run. What its person asked for and was refused is
                written down.
            NotFound, BadInput: its block is not to be had, or its workflow not to be read; nothing was run.
            Conflict: the instance was delivered before, or another attempt at it is still under way.
            Unreachable: this very order is being written down right now; its receipt stands in a moment.
        """
        begun = await self._begin(message, asker)
        if isinstance(begun, Receipt):
            return begun
        finished = await self._run(begun)
        return self._told(await self._close(message, begun, self._book.attempt(begun.order_cid), finished))

    async def _begin(self, message: Place, asker: str) -> Verified | Receipt:
        """An order whose intent stands now; or the receipt of one that does not run now.

        Of what was decided nothing is kept in memory while the order waits for its turn: it stands in the log.
        """
        order = cid_of(message.order)
        standing, asked = self.standing(order), self._asked(order)
        if standing is not None and asked is None:
            return standing
        if asked is not None and self._clock.now() > message.order.not_after:
            return await self._deny(order, UNANSWERED)
        person = self._verifier.person(message, asker)
        try:
            verified = await self._verifier.verify(message, asker, person, self._clock.now())
            standing = self.standing(order)
            if standing is not None and self._asked(order) is None:  # it came twice, and its twin was verified first
                return standing
            self._check_instance(verified)
            self._check_halted(verified)
            granted = let_in(self._book.ledger, self._site, message.proofs)
        except (Conflict, Unreachable):
            raise  # another attempt, or a moment's trouble: it is no refusal
        except ComityError as error:
            await self._refusals.write(message, asker, error)
            raise
        verified = replace(verified, case=replace(verified.case, granted=granted))
        verdict = self._judge.compute(verified.case, self._clock.now())
        consent: Consent | None = None
        if verdict.allowed and verdict.stewards:
            consent = self._asking.consent(inquiry_of(verified))
            if consent.refusal:
                verdict = verdict.denied(refused(consent))
            elif not consent.enough(verdict.stewards):
                return await self._ask(verified, verdict)
        attempt = await self._open(verified, verdict, consent)
        return verified if verdict.allowed else self._told(attempt)

    async def recover(self) -> list[str]:
        """End what was running when the node stopped; one line in plain words for each."""
        lines = []
        for attempt in list(self._book.ledger.open_attempts()):
            if attempt.access.instance in self._book.halts.delivered:
                continue  # the log was restored: its result is lost, and its receipt is with others
            await self._fail(attempt, None, "the site's node stopped while it ran")
            lines.append(f"{attempt.access.instance} was running when the node stopped: recorded as failed")
        await self._waiting.load()
        await self._owners.load(self._waiting.__contains__)
        for attempt in self._book.ledger.ended():
            self._hold(attempt)
        return lines

    async def abandon(self, order: Cid, reason: str) -> None:
        """Record that an order whose :meth:`carry` was cancelled came to nothing; if it had begun and not ended."""
        attempt = self._book.ledger.attempt(order)
        if attempt is not None and attempt.life.stage is Stage.ASKED:
            await self._deny(order, reason)
        elif attempt is not None and attempt.life.under_way:
            await self._fail(attempt, None, reason, Status.CANCELLED)

    def check_cancel(self, question: Cancel, asker: str, message: Place | None) -> None:
        """Check that the node of ``asker`` shows the word of the person whose order it is.

        ``message`` is what the order came with, if it is under way.

        Raises:
            NotFound: no such order came from there. VerificationFailed: it is not that person's word on it.
        """
        submission = message.submission if message is not None else self._submitted(question.order)
        self._verifier.check_cancel(question.word, submission, asker)

    def _submitted(self, order: Cid) -> Submission:
        attempt = self._book.ledger.attempt(order)
        if attempt is None:
            raise NotFound(UNKNOWN)
        return decode(Submission, attempt.access.submission, MAX_REQUEST)

    async def cancel(self, order: Cid) -> None:
        """End an order that is not under way any more: nothing of what waits for people, or the quorum, leaves."""
        await self.abandon(order, BY_ITS_PERSON)
        self._waiting.give_up(order, BY_ITS_PERSON)

    def _halted(self, verified: Verified) -> str:
        case = verified.case
        return self._book.halts.refusal(case.ref, (case.person.site, case.ref.site, verified.bus_site))

    def _check_halted(self, verified: Verified) -> None:
        reason = self._halted(verified)
        if reason:
            raise Denied(reason)

    def _check_instance(self, verified: Verified) -> None:
        order = verified.order
        if order.instance in self._book.halts.delivered:
            raise Conflict(f"{order.instance} was delivered here before this site was restored; its receipt stands")
        earlier = self._book.ledger.attempts(order.instance)
        if any(each.access.order == verified.order_cid and each.life.stage is not Stage.ASKED for each in earlier):
            raise Unreachable(f"the order for {order.instance} is just being written down; ask again")
        check_attempt(order.instance, order.attempt, [(each.access.attempt, each.life) for each in earlier])

    def seconds_left(self, order: Order) -> float:
        """Seconds until an order's time is over; negative once it is."""
        return (order.not_after - self._clock.now()) / 1000

    def asks(self, order: Cid) -> float | None:
        """Seconds for which stewards may answer before an order begins; none if they are not asked."""
        asked = self._asked(order)
        return None if asked is None else max(0.0, (asked.not_after - self._clock.now() + 1) / 1000)

    def answered(self) -> None:
        """A steward has answered something."""
        self._waiting.answered()

    def goes_on(self, order: Cid) -> bool:
        """Whether :meth:`carry` gets further with an order that stewards were asked about."""
        asked = self._asked(order)
        return asked is not None and self._asking.answered(asked)

    def _asked(self, order: Cid) -> InquiryFields | None:
        attempt = self._book.ledger.attempt(order)
        return attempt.asked if attempt is not None else None

    async def _ask(self, verified: Verified, verdict: Verdict) -> Receipt:
        """Ask the stewards, once; the receipt that says so."""
        if self._asked(verified.order_cid) is None:
            access = self._access(verified, verdict, None)
            line = self._asking.line(verified, access, verdict, inquiry_of(verified), verdict.stewards)
            await self._book.write([line])
        return self._told(self._book.attempt(verified.order_cid))

    async def _deny(self, order: Cid, reason: str) -> Receipt:
        await self._book.write([denial(self._book.attempt(order), reason)])
        return self._told(self._book.attempt(order))

    async def _open(self, verified: Verified, verdict: Verdict, consent: Consent | None) -> Attempt:
        """Write the intent, or the denial. Only after this may data be opened."""
        kind = "intent" if verdict.allowed else "decision"
        access = self._access(verified, verdict, consent)
        await self._book.write([Line(kind, verified.datasets, access, (verified.case.person.did,))])
        for item in verified.case.data:
            # What is brought here for the step is accounted to what it was made from.
            self._holdings.account(item.cid, verified.case.evidence.datasets(item), verified.case.ref)
        return self._book.attempt(verified.order_cid)

    def _access(self, verified: Verified, verdict: Verdict, consent: Consent | None) -> Access:
        order, case = verified.order, verified.case
        copies = tuple(sorted({item.cid for item in case.data if item.site != self._site and verdict.allowed}))

        def fields(chain: Chain, _index: int) -> AccessFields:
            return AccessFields(
                order=verified.order_cid,
                instance=order.instance,
                attempt=order.attempt,
                person=case.person.did,
                home=case.person.site,
                project=case.ref,
                purpose=case.project.purpose,
                block=order.block,
                decision=verdict.decision,
                shown=verdict.shown,
                max_cost=order.max_cost,
                submission=signed_request(verified.submission),
                chain=chain,
                copies=copies,
                granted=dict(verdict.granted) if verdict.allowed else {},
                consent=consent.inquiry if consent is not None else None,
            )

        return fields

    async def _run(self, verified: Verified) -> Finished:
        order = verified.order
        seconds = self.seconds_left(order)
        if seconds <= 0:
            return Finished({}, None, "its time was over before it began")
        try:
            return await self._steps.run(verified.case.work, seconds, verified.order_cid, verified.case.ref)
        except ComityError as error:
            # What a step fails of is told by class alone: the text may quote what the asker may not read.
            return Finished({}, None, f"it could not be run: {type(error).__name__}")

    async def _close(self, message: Place, verified: Verified, attempt: Attempt, finished: Finished) -> Attempt:
        """Decide what leaves and write releases and result in one commit."""
        if finished.failure:
            await self._fail(attempt, finished.usage, finished.failure, errors=_complaint(verified, finished))
            failed = self._book.attempt(verified.order_cid)
            self._hold(failed)
            return failed
        # What nobody gains by is not compared with what left before, so it waits for nobody else's rows.
        async with self._disclosing.turn if self._rulings.gains(verified) else nullcontext():
            over = self._over(verified, attempt, finished)
            try:
                rulings = [] if over else await self._ruled(message, verified, attempt, finished)
            except ComityError as error:
                over = finished.usage, f"what it made could not be examined: {type(error).__name__}"
            over = over or self._over(verified, attempt, finished)  # to examine takes its time
            if over:
                await self._fail(attempt, *over)
                return self._book.attempt(verified.order_cid)
            return await self._let_out(verified, attempt, rulings, finished)

    def _over(self, verified: Verified, attempt: Attempt, finished: Finished) -> tuple[Usage | None, str] | None:
        """Why nothing of a step that ended well may leave now, with the use that is told of; none if it may."""
        now = self._clock.now()
        if lacking := _shortcoming(verified.order, finished, now):
            return finished.usage, lacking
        over = self._halted(verified) or self._verifier.over(attempt.access, verified.owners, now)
        return (None, over) if over else None

    async def _ruled(self, message: Place, verified: Verified, attempt: Attempt, finished: Finished) -> list[Ruling]:
        rulings = await self._rulings.on(verified, attempt, finished.products, self._clock.now())
        return await self._owners.expect(message, verified, rulings)

    async def _let_out(
        self, verified: Verified, attempt: Attempt, rulings: Sequence[Ruling], finished: Finished
    ) -> Attempt:
        statements: dict[str, Release] = {}
        lines = self._rulings.lines(rulings, verified, attempt, statements)

        def kept() -> dict[str, Kept]:
            return {r.candidate.name: keep(r, statements.get(r.candidate.name), verified.bus_site) for r in rulings}

        status = Status.HELD if any(ruling.held for ruling in rulings) else Status.DONE
        waits = tuple(ruling.candidate.name for ruling in rulings if ruling.waits)
        # What was run for another order is charged to that alone.
        terms = verified.terms if finished.memo is None else None
        result = result_line(attempt, status, kept, finished.usage, waits=waits, memo=finished.memo, terms=terms)
        if lines or waits:
            await self._waiting.expect(verified.order_cid)
        try:
            await self._book.write([*lines, result])
        except VerificationFailed:
            await self._fail(attempt, finished.usage, "the account of its outputs and their readers is too large")
            return self._book.attempt(verified.order_cid)
        closed = self._book.attempt(verified.order_cid)
        self._hold(closed)
        return closed

    async def _fail(
        self,
        attempt: Attempt,
        usage: Usage | None,
        reason: str,
        status: Status = Status.FAILED,
        errors: Complaint | None = None,
    ) -> None:
        """Record a failure. What a command that ran failed of may carry its data, so it is told to this site alone."""
        told = reason if usage is None else RAN_AND_FAILED
        await self._book.write([result_line(attempt, status, dict, usage, told, reason, errors=errors)])

    def _waits(self, attempt: Attempt) -> bool:
        """Whether something was released that has not taken effect yet (PROTOCOL.md, Release)."""
        return attempt.access.order in self._waiting

    def _hold(self, attempt: Attempt) -> None:
        """Hold the outputs of an attempt that has ended; for nobody else, as long as their release waits.

        Nothing is held for a project that is over.
        """
        if self._verifier.ended(attempt.access.project, self._clock.now()):
            return
        waits = self._waits(attempt)
        datasets = datasets_of(attempt.access.chain)
        for cid, label in attempt.result.held if attempt.result is not None else ():
            self._holdings.hold(cid, withheld(label) if waits else label, datasets, attempt.access.project)

    def _told(self, attempt: Attempt) -> Receipt:
        if attempt.asked is not None:
            return signed(structs.replace(self._receipt(attempt), reason=ASKED_TO_RUN), self._signer)
        if not self._waits(attempt):
            return self._receipt(attempt)
        accepted = self._receipt(replace(attempt, result=None))
        return signed(structs.replace(accepted, reason=self._waiting.words(attempt)), self._signer)

    def _receipt(self, attempt: Attempt) -> Receipt:
        return receipt_of(attempt, self._site, self._book.number, self._signer)


def _complaint(verified: Verified, finished: Finished) -> Complaint | None:
    """What the command said, under the label that its outputs would have."""
    if finished.errors is None:
        return None
    label = verified.case.evidence.inputs_label(verified.order)
    return Complaint(cid=finished.errors.cid, size=finished.errors.size, label=label)


def _shortcoming(order: Order, finished: Finished, now: int) -> str:
    """Why nothing of a step that ended well may leave; empty if it may be decided.

    After an order's time another site may make the next attempt, so what comes later stays here (PROTOCOL.md).
    """
    if now > order.not_after:
        return "its time was over before it ended"
    lacking = sorted(set(order.outputs) - set(finished.products))
    return f"it delivered no «{lacking[0]}»" if lacking else ""
