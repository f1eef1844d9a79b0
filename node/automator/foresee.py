"""What this site would say to an order before there is one: planning asks, and nothing comes of it.

The same checks and the same policy as for an order that comes, but for signatures: a node asks for its own people, of
whom it could send orders. Nothing is opened or begun, so nothing is written down; and nothing is promised.
"""

from __future__ import annotations

from catalog.error import Denied
from node.automator.asking import Asking, inquiry_of
from node.automator.book import AuditBook
from node.automator.decide import Judge
from node.automator.release import refused
from node.automator.steady import SteadyClock
from node.automator.verify import Verified, Verifier
from node.message import Foresee, Foreseen
from node.ports import Clock


class Foreseeing:
    """Answers for one site."""

    def __init__(self, verifier: Verifier, judge: Judge, book: AuditBook, clock: Clock) -> None:
        self._clock = SteadyClock(clock, judge.recency)
        self._verifier = verifier
        self._judge = judge
        self._book = book
        self._asking = Asking(book, judge.is_steward, self._clock)

    async def answer(self, question: Foresee, asker: str) -> Foreseen:
        """What policy says to the order that the node of ``asker`` would send.

        Raises:
            VerificationFailed: the order is none that could come. Denied: somebody has no standing, or this site is
                halted. NotFound, BadInput: its block is not to be had, or its workflow not to be read.
            Conflict, Unreachable: the two sites go by different epochs, or the block cannot be fetched now.
        """
        person = self._verifier.foreseen(question.place, asker)
        verified = await self._verifier.verify(question.place, asker, person, self._clock.now())
        case = verified.case
        if halted := self._book.halts.refusal(case.ref, (case.person.site, case.ref.site, asker)):
            raise Denied(halted)
        verdict = self._judge.compute(case, self._clock.now())
        if not verdict.allowed:
            return Foreseen(allowed=False, stewards=0, reason=verdict.shown.reason[:1000])
        return self._asked(verified, verdict.stewards)

    def _asked(self, verified: Verified, stewards: int) -> Foreseen:
        """The stewards may have answered that very question before."""
        if not stewards:
            return Foreseen(allowed=True, stewards=0, reason="")
        consent = self._asking.consent(inquiry_of(verified))
        if consent.refusal:
            return Foreseen(allowed=False, stewards=0, reason=refused(consent)[:1000])
        return Foreseen(allowed=True, stewards=0 if consent.enough(stewards) else stewards, reason="")
