"""Outputs that stewards were asked about: a second result follows their answers, in which they leave or stay held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from catalog.cid import Cid
from catalog.key import Signer
from node.automator.asking import Asking
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.automator.disclosing import Disclosing
from node.automator.ledger import Attempt
from node.automator.release import OTHERS, UNANSWERED, Releasing, approved, reads, refused
from node.ports import Clock
from privacy.label import may_hold, released
from privacy.policy import Policy, answer
from privacy.replay import NotReplayable, question_of
from workflow.account import Chain, InquiryFields, Kept, ResultFields, datasets_of
from workflow.receipt import Release, Status

CHANGED = "the policy was changed while stewards were asked, and does not allow it any more"


class Releases:
    """Ends what waits for stewards at the site ``site``."""

    def __init__(
        self,
        site: str,
        signer: Signer,
        judge: Judge,
        book: AuditBook,
        asking: Asking,
        disclosing: Disclosing,
        clock: Clock,
    ) -> None:
        self._site = site
        self._signer = signer
        self._judge = judge
        self._book = book
        self._asking = asking
        self._disclosing = disclosing
        self._clock = clock

    def asked(self, attempt: Attempt) -> dict[str, InquiryFields]:
        """By output, what stewards are asked about what ``attempt`` made."""
        found = self._book.ledger.inquiries.of(attempt.access.order)
        return {each.inquiry.output: each for each in found if each.inquiry.output is not None}

    def decided(self, attempt: Attempt) -> bool:
        """Whether all that stewards were asked about ``attempt`` is."""
        return all(self._asking.answered(each) for each in self.asked(attempt).values())

    async def settle(self, attempt: Attempt, result: ResultFields) -> None:
        """Write the second result: what leaves, and what stays held.

        Raises:
            ComityError: the log cannot be written.
        """
        asked = self.asked(attempt)
        datasets = datasets_of(attempt.access.chain)
        async with self._disclosing.turn:
            outcomes = {
                name: await self._accounted(self._outcome(result.kept[name], asked.get(name)), datasets)
                for name in result.waits
            }
            statements: dict[str, Release] = {}
            lines = [
                each.line(self._signer, self._site, datasets, attempt.access.person, statements)
                for each in outcomes.values()
                if isinstance(each, Releasing)
            ]
            await self._book.write([*lines, self._result(attempt, result, outcomes, statements)])

    async def _accounted(self, outcome: Releasing | str, datasets: Sequence[Cid]) -> Releasing | str:
        """The same, unless more left meanwhile than policy lets; what leaves counts in the ledger."""
        if isinstance(outcome, str) or outcome.examined is None:
            return outcome
        now = self._clock.now()
        beyond = await self._disclosing.beyond(outcome.decision.duties, outcome.examined, now)
        if beyond:
            return beyond
        await self._disclosing.leaves(outcome.examined, datasets, now)
        return outcome

    def _outcome(self, kept: Kept, asked: InquiryFields | None) -> Releasing | str:
        """The release of an output, or why it stays held."""
        if asked is None or asked.inquiry.output is None:
            return UNANSWERED
        consent, policy = self._asking.consent(asked.inquiry), self._judge.policy()
        if consent.refusal:
            return refused(consent)
        needed = _needed(policy, asked)
        if needed is None:
            return CHANGED
        if not consent.enough(needed):
            return UNANSWERED
        return Releasing(
            order=asked.order,
            output=asked.inquiry.output,
            handle=kept.output.handle,
            value=kept.cid,
            added=tuple(sorted(asked.inquiry.outputs[asked.inquiry.output].readers)),
            decision=structs.replace(asked.decision, policy=policy.version),
            report=approved(consent),
            consent=consent.inquiry,
            examined=asked.examined,
            bus=asked.bus,
        )

    def _result(
        self,
        attempt: Attempt,
        result: ResultFields,
        outcomes: Mapping[str, Releasing | str],
        statements: Mapping[str, Release],
    ) -> Line:
        def fields(chain: Chain, _index: int) -> ResultFields:
            kept = dict(result.kept)
            for name, outcome in outcomes.items():
                kept[name] = self._kept(kept[name], outcome, statements.get(name))
            held = any(each.output.reason for each in kept.values())
            status = Status.HELD if held else Status.DONE
            return structs.replace(result, status=status, kept=kept, chain=chain, waits=())

        return Line("result", datasets_of(attempt.access.chain), fields, (attempt.access.person,))

    def _kept(self, kept: Kept, outcome: Releasing | str, statement: Release | None) -> Kept:
        """The output as it is kept from now on."""
        if isinstance(outcome, str):
            return structs.replace(kept, output=structs.replace(kept.output, reason=outcome))
        label = released(kept.label, self._site, outcome.added)
        reason = "" if reads(label, outcome.added) else OTHERS
        output = structs.replace(kept.output, reason=reason)
        if not reason and may_hold(label, outcome.bus):
            output = structs.replace(output, name=kept.name, cid=kept.cid, size=kept.size, release=statement)
        return structs.replace(kept, output=output, label=label)


def _needed(policy: Policy, asked: InquiryFields) -> int | None:
    """How many stewards policy asks for now; none if it does not allow it any more, or cannot be asked again.

    Facts that were too long for the record are not told again: then the very policy that was asked must stand, with no
    rule of the decision at its end.
    """
    decision = asked.decision
    try:
        now = answer(policy, question_of(decision.action, decision.facts))
    except NotReplayable:
        ended = any(rule.past(policy.day) for rule in policy.rules if rule.id in decision.rules)
        return None if ended or decision.policy != policy.version else asked.stewards
    kept = structs.replace(now.duties, approvals=0, endorsed=0)
    if not now.allowed or not decision.duties.covers(kept):
        return None  # what was examined was examined under milder duties
    return max(asked.stewards, now.duties.approvals)
