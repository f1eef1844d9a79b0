"""What a command that failed wrote to standard error is named to the site that ordered it, if its label says so.

The label is joined anew, from the proofs that the order came with, of all that the command could read. Whoever may not
read that gets one answer, whether it wrote anything or not: a step could tell a bit of its data by it.

What is named is fetched like any value that is held here: by the label under which it lies, by this site's policy,
and written down before a byte leaves.
"""

from __future__ import annotations

from typing import Final

from catalog.dagcbor import cid_of
from catalog.error import Conflict, Denied, NotFound
from node.automator.book import AuditBook
from node.automator.decide import Judge
from node.automator.ledger import Attempt
from node.automator.release import may_look
from node.automator.steady import SteadyClock
from node.automator.verify import UNKNOWN, Verifier
from node.message import MAX_COMPLAINT, Complained, Complaints
from node.ports import Clock
from workflow.argument import pieces_in
from workflow.evidence import Evidence
from workflow.order import Order

NOT_YOURS: Final = "what it wrote may quote data that you may not read; a steward there may look at it"


class Complaining:
    """Answers for one site."""

    def __init__(self, verifier: Verifier, judge: Judge, book: AuditBook, clock: Clock) -> None:
        self._clock = SteadyClock(clock, judge.recency)
        self._verifier = verifier
        self._book = book

    def answer(self, question: Complained, asker: str) -> Complaints:
        """What the command of an order said that the node of ``asker`` had carried out here.

        Raises:
            NotFound: no such order came from there, or it has not ended. VerificationFailed: what it came with is not
                what it claims to be.
            Denied: what it read is not for its person there, its project is over, or this site is halted.
        """
        evidence = self._verifier.brought_again(question, asker)
        attempt = self._attempt(question.order)
        self._check(question.order, attempt, evidence, asker)
        said = attempt.result.errors if attempt.result is not None else None
        if said is None:
            return Complaints(cid=None, size=0)
        return Complaints(cid=said.cid, size=min(said.size, MAX_COMPLAINT))

    def _attempt(self, order: Order) -> Attempt:
        try:
            attempt = self._book.ledger.attempt(cid_of(order))
        except Conflict as error:  # it was erased
            raise NotFound(UNKNOWN) from error
        if attempt is None or attempt.result is None or attempt.closed >= self._book.durable:
            raise NotFound(UNKNOWN)
        return attempt

    def _check(self, order: Order, attempt: Attempt, evidence: Evidence, asker: str) -> None:
        access = attempt.access
        if not may_look(asker, access.person, evidence.inputs_label(order)):
            raise Denied(NOT_YOURS)
        if halted := self._book.halts.refusal(access.project, (access.home, access.project.site, asker)):
            raise Denied(halted)
        owners = frozenset(owner for item in pieces_in(order.inputs) for owner in evidence.label(item).owners)
        if over := self._verifier.over(access, owners, self._clock.now()):
            raise Denied(over)
