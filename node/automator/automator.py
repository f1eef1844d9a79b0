"""One order, from its arrival to its receipt.

The line that an order takes is :meth:`Automator.carry`: nothing of the data is opened before the intent stands in
the audit log, and no receipt leaves before the result does. Placing an order again gives the receipt that stands,
so a message that comes twice, or after a crash, runs nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Conflict, Unreachable, VerificationFailed
from catalog.key import Signer
from catalog.origin import LOG_EPOCH
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge, Verdict
from node.automator.hold import Holdings
from node.automator.ledger import Attempt
from node.automator.receipt import receipt_of
from node.automator.release import Candidate, keep, rule
from node.automator.verify import Verified, Verifier
from node.message import Place
from node.ports import Clock, Finished, Product, Random, Steps, Usage
from workflow.account import AccessFields, Chain, Kept, ResultFields
from workflow.argument import handle
from workflow.order import Order
from workflow.receipt import Receipt, Release, Spent, Status, rounded_up

MAX_STEP_SECONDS = 3600.0
MAX_DETAIL = 1000
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
        clock: Clock,
        random: Random,
    ) -> None:
        self._site = site
        self._signer = signer
        self._verifier = verifier
        self._judge = judge
        self._book = book
        self._steps = steps
        self._holdings = holdings
        self._clock = clock
        self._random = random

    def standing(self, order: Cid) -> Receipt | None:
        """The receipt that stands for an order, if it has come as far as the audit log.

        What is still being written does not stand yet: a crash may undo it.
        """
        attempt = self._book.ledger.attempt(order)
        if attempt is None or attempt.index >= self._book.durable:
            return None
        if attempt.result is not None and attempt.closed >= self._book.durable:
            attempt = replace(attempt, result=None)
        return self._receipt(attempt)

    async def carry(self, message: Place, asker: str) -> Receipt:
        """Carry one order out for the bus node ``asker``; its final receipt, or the one that stands already.

        Raises:
            VerificationFailed: the order, its submission or a proof is not what it claims to be; nothing was run.
            Denied: who signed it has no standing here; nothing was run.
            Conflict: the instance was delivered before, or another attempt at it is still under way.
            Unreachable: this very order is being written down right now; its receipt stands in a moment.
        """
        standing = self.standing(cid_of(message.order))
        if standing is not None:
            return standing
        verified = await self._verifier.verify(message, asker, self._clock.now())
        standing = self.standing(verified.order_cid)
        if standing is not None:  # the same message came twice, and its twin was verified first
            return standing
        self._check_instance(verified)
        verdict = self._judge.compute(verified.case, self._clock.now())
        attempt = await self._open(verified, verdict)
        if verdict.allowed:
            finished = await self._run(verified)
            attempt = await self._close(verified, attempt, finished)
        return self._receipt(attempt)

    async def recover(self) -> list[str]:
        """End what was running when the node stopped; one line in plain words for each."""
        lines = []
        for attempt in list(self._book.ledger.open_attempts()):
            await self._fail(attempt, None, "the site's node stopped while it ran")
            lines.append(f"{attempt.access.instance} was running when the node stopped: recorded as failed")
        for result in self._book.ledger.results():
            for kept in result.kept.values():
                self._holdings.hold(kept.cid, kept.label, [Cid.parse(dataset) for dataset in result.chain])
        return lines

    def _check_instance(self, verified: Verified) -> None:
        order = verified.order
        for earlier in self._book.ledger.attempts(order.instance):
            if earlier.access.order == verified.order_cid:
                raise Unreachable(f"the order for {order.instance} is just being written down; ask again")
            status = None if earlier.result is None else earlier.result.status
            if status in (Status.DONE, Status.HELD):
                raise Conflict(f"{order.instance} was delivered here before; its receipt stands")
            if status is None and not earlier.denied:
                raise Conflict(f"an earlier attempt at {order.instance} is still under way here")
            if earlier.access.attempt >= order.attempt:
                raise Conflict(f"attempt {order.attempt} at {order.instance} was made before")

    async def _open(self, verified: Verified, verdict: Verdict) -> Attempt:
        """Write the intent, or the denial. Only after this may data be opened."""
        order, case = verified.order, verified.case

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
                chain=chain,
            )

        kind = "intent" if verdict.allowed else "decision"
        await self._book.write([Line(kind, verified.datasets, fields)])
        return self._attempt(verified.order_cid)

    async def _run(self, verified: Verified) -> Finished:
        order = verified.order
        seconds = min(MAX_STEP_SECONDS, (order.not_after - self._clock.now()) / 1000)
        if seconds <= 0:
            return Finished({}, None, "its time was over before it began")
        try:
            return await self._steps.run(order.block, order.inputs, seconds)
        except ComityError as error:
            # What a step fails of is told by class alone: the text may quote what the asker may not read.
            return Finished({}, None, f"it could not be run: {type(error).__name__}")

    async def _close(self, verified: Verified, attempt: Attempt, finished: Finished) -> Attempt:
        """Decide what leaves and write releases and result in one commit."""
        now = self._clock.now()
        failure = finished.failure or _shortcoming(verified.order, finished, now)
        if failure:
            await self._fail(attempt, finished.usage, failure)
            return self._attempt(verified.order_cid)
        rulings = [
            rule(self._judge, verified.case, candidate, self._site, now)
            for candidate in self._candidates(verified, finished.products)
        ]
        statements: dict[str, Release] = {}
        lines = [
            ruling.line(self._signer, self._site, verified.datasets, statements)
            for ruling in rulings
            if ruling.verdict is not None
        ]

        def kept() -> dict[str, Kept]:
            return {r.candidate.name: keep(r, statements.get(r.candidate.name), verified.bus_site) for r in rulings}

        status = Status.HELD if any(ruling.held for ruling in rulings) else Status.DONE
        result = _result_line(attempt, status, kept, finished.usage, verified.price)
        try:
            await self._book.write([*lines, result])
        except VerificationFailed:
            await self._fail(attempt, finished.usage, "the account of its outputs and their readers is too large")
            return self._attempt(verified.order_cid)
        for ruling in rulings:
            self._holdings.hold(ruling.candidate.product.cid, ruling.label, verified.datasets)
        return self._attempt(verified.order_cid)

    def _candidates(self, verified: Verified, products: Mapping[str, Product]) -> list[Candidate]:
        label = verified.case.evidence.inputs_label(verified.order)
        return [
            Candidate(
                order=verified.order_cid,
                name=name,
                product=products[name],
                wanted=wanted,
                label=label,
                handle=handle(self._site, self._random.token(16)),
            )
            for name, wanted in sorted(verified.order.outputs.items())
        ]

    async def _fail(self, attempt: Attempt, usage: Usage | None, reason: str) -> None:
        """Record a failure. What a command that ran failed of may carry its data, so it is told to this site alone."""
        told = reason if usage is None else RAN_AND_FAILED
        await self._book.write([_result_line(attempt, Status.FAILED, dict, usage, 0, told, reason)])

    def _attempt(self, order: Cid) -> Attempt:
        attempt = self._book.ledger.attempt(order)
        if attempt is None:
            raise ComityError("the audit log lost an order that it had; restart the node")
        return attempt

    def _receipt(self, attempt: Attempt) -> Receipt:
        return receipt_of(attempt, self._site, LOG_EPOCH, self._signer)


def _shortcoming(order: Order, finished: Finished, now: int) -> str:
    """Why nothing of a step that ended well may leave; empty if it may be decided.

    After an order's time another site may make the next attempt, so what comes later stays here (PROTOCOL.md).
    """
    if now > order.not_after:
        return "its time was over before it ended"
    lacking = sorted(set(order.outputs) - set(finished.products))
    return f"it delivered no «{lacking[0]}»" if lacking else ""


def _result_line(
    attempt: Attempt,
    status: Status,
    kept: Callable[[], dict[str, Kept]],
    usage: Usage | None,
    cost: int,
    reason: str = "",
    detail: str = "",
) -> Line:
    """The result's line. ``kept`` is asked when it is written, after the releases before it have their places."""
    access = attempt.access

    def fields(chain: Chain, _index: int) -> ResultFields:
        return ResultFields(
            order=access.order,
            instance=access.instance,
            intent=attempt.index,
            status=status,
            kept=kept(),
            spent=_spent(usage),
            cost=cost,
            reason=reason,
            detail=detail[:MAX_DETAIL],
            chain=chain,
        )

    return Line("result", [Cid.parse(dataset) for dataset in access.chain], fields)


def _spent(usage: Usage | None) -> Spent | None:
    if usage is None:
        return None
    return Spent(
        wall_millis=rounded_up(usage.wall_seconds * 1000),
        cpu_millis=rounded_up(usage.cpu_seconds * 1000),
        peak_bytes=rounded_up(usage.peak_bytes),
    )
