"""Outputs that stewards here, or other owners, were asked about: a second result follows their answers, in which they
leave or stay held.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from catalog.cid import Cid
from catalog.key import Signer
from node.automator.asking import Asking
from node.automator.book import AuditBook, Line
from node.automator.decide import Judge
from node.automator.disclosing import Disclosing
from node.automator.ledger import Attempt
from node.automator.owners import Owners
from node.automator.pending import Asked
from node.automator.release import OTHERS, SILENT, UNANSWERED, Releasing, approved, reads, refused
from node.ports import Clock
from privacy.decision import Decision
from privacy.label import may_hold, released
from privacy.policy import Policy, answer
from privacy.replay import NotReplayable, question_of
from workflow.account import Chain, InquiryFields, Kept, ResultFields, datasets_of
from workflow.receipt import Release, Salt, Status

GONE = "it is lost at the site that made it; order it again in a new submission"
CHANGED = "the policy was changed while others were asked, and does not allow it any more"


@dataclass(frozen=True, slots=True)
class Letting:
    """What lets an output go to ``readers`` and the site ``bus``: this site's release, and what other owners stated."""

    own: Releasing | None
    further: tuple[Release, ...]
    salt: Salt | None
    readers: tuple[str, ...]
    bus: str


class Releases:
    """Ends what waits for stewards, or for other owners, at the site ``site``."""

    def __init__(
        self,
        site: str,
        signer: Signer,
        judge: Judge,
        book: AuditBook,
        asking: Asking,
        disclosing: Disclosing,
        owners: Owners,
        clock: Clock,
    ) -> None:
        self._site = site
        self._signer = signer
        self._judge = judge
        self._book = book
        self._asking = asking
        self._disclosing = disclosing
        self._owners = owners
        self._clock = clock

    def decided(self, attempt: Attempt) -> bool:
        """Whether all that was asked about what ``attempt`` made is answered, or its time is over."""
        return all(self._asking.answered(each) for each in self._asked(attempt).values()) and not self.silent(attempt)

    def silent(self, attempt: Attempt) -> list[str]:
        """The other owners who have not answered, and may still."""
        return sorted({owner for each in self._told(attempt).values() for owner in self._silent(attempt, each)})

    def wanted(self, attempt: Attempt) -> frozenset[str]:
        """Whom what is asked about would be released to."""
        by_stewards = (each.inquiry.outputs.values() for each in self._asked(attempt).values())
        readers = [wanted.readers for each in by_stewards for wanted in each]
        return frozenset().union(*readers, *(each.report.readers for each in self._told(attempt).values()))

    async def forget(self, attempts: Collection[Attempt]) -> None:
        """Nothing of these waits any more."""
        await self._owners.forget([attempt.access.order for attempt in attempts])

    def _asked(self, attempt: Attempt) -> dict[str, InquiryFields]:
        """By output, what stewards are asked about what ``attempt`` made."""
        found = self._book.ledger.inquiries.of(attempt.access.order)
        return {each.inquiry.output: each for each in found if each.inquiry.output is not None}

    def _told(self, attempt: Attempt) -> Mapping[str, Asked]:
        """By output, what other owners are asked."""
        pending = self._owners.of(attempt.access.order)
        return pending.outputs if pending is not None else {}

    def _silent(self, attempt: Attempt, asked: Asked) -> tuple[str, ...]:
        return () if asked.refused or self._owners.is_over(attempt.access.order) else asked.silent

    async def settle(self, attempt: Attempt, result: ResultFields) -> None:
        """Write the second result: what leaves, and what stays held.

        Raises:
            ComityError: the log cannot be written.
        """
        person, datasets = attempt.access.person, datasets_of(attempt.access.chain)
        async with self._disclosing.turn:
            outcomes = {
                name: await self._accounted(await self._given(attempt, name, result.kept[name]), datasets)
                for name in result.waits
            }
            statements: dict[str, Release] = {}
            lines = [
                each.own.line(self._signer, self._site, datasets, person, statements)
                for each in outcomes.values()
                if isinstance(each, Letting) and each.own is not None
            ]
            await self._book.write([*lines, self._result(attempt, result, outcomes, statements)])

    async def _given(self, attempt: Attempt, name: str, kept: Kept) -> Letting | str:
        """What lets an output go that is here still, or why it stays held: nobody releases what nobody can be given."""
        outcome = self._outcome(attempt, name, kept)
        return GONE if isinstance(outcome, Letting) and await self._disclosing.is_lost(kept.cid) else outcome

    async def _accounted(self, outcome: Letting | str, datasets: Sequence[Cid]) -> Letting | str:
        """The same, unless more left meanwhile than policy lets; what leaves counts in the ledger."""
        own = outcome.own if isinstance(outcome, Letting) else None
        if own is None or own.examined is None:
            return outcome
        now = self._clock.now()
        beyond = await self._disclosing.beyond(own.decision.duties, own.examined, now)
        if beyond:
            return beyond
        await self._disclosing.leaves(own.examined, datasets, now)
        return outcome

    def _outcome(self, attempt: Attempt, name: str, kept: Kept) -> Letting | str:
        """What lets an output go, or why it stays held."""
        asked, told = self._asked(attempt).get(name), self._told(attempt).get(name)
        if told is not None and told.refused:
            owner, reason = next(iter(told.refused.items()))
            return f"{self._book.halts.name(owner)} did not release it: {reason}"[:1000]
        if told is not None and told.silent:
            return SILENT
        own = self._by_stewards(kept, asked) if asked is not None else self._by_policy(attempt, kept, told)
        if isinstance(own, str):
            return own
        pending = self._owners.of(attempt.access.order)
        if told is not None and pending is not None:
            further = tuple(told.released[owner] for owner in told.owners)
            return Letting(own, further, told.salt, told.report.readers, pending.bus)
        return UNANSWERED if own is None else Letting(own, (), None, own.added, own.bus)

    def _by_stewards(self, kept: Kept, asked: InquiryFields) -> Releasing | str:
        """This site's release, which its stewards were asked about."""
        if asked.inquiry.output is None:
            return UNANSWERED
        consent, policy = self._asking.consent(asked.inquiry), self._judge.policy()
        if consent.refusal:
            return refused(consent)
        needed = _needed(policy, asked.decision, asked.stewards)
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

    def _by_policy(self, attempt: Attempt, kept: Kept, told: Asked | None) -> Releasing | str | None:
        """This site's release, which policy allowed before other owners were asked; none if it owns nothing of it."""
        pending = self._owners.of(attempt.access.order)
        if told is None or pending is None or told.decision is None:
            return None
        policy = self._judge.policy()
        needed = _needed(policy, told.decision, 0)
        if needed is None or (needed and told.consent is None):
            return CHANGED
        return Releasing(
            order=attempt.access.order,
            output=told.report.output,
            handle=kept.output.handle,
            value=kept.cid,
            added=told.report.readers,
            decision=structs.replace(told.decision, policy=policy.version),
            report=told.line,
            consent=told.consent,
            examined=told.examined,
            bus=pending.bus,
        )

    def _result(
        self,
        attempt: Attempt,
        result: ResultFields,
        outcomes: Mapping[str, Letting | str],
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

    def _kept(self, kept: Kept, outcome: Letting | str, statement: Release | None) -> Kept:
        """The output as it is kept from now on."""
        if isinstance(outcome, str):
            return structs.replace(kept, output=structs.replace(kept.output, reason=outcome))
        label = kept.label
        for each in (statement, *outcome.further):
            if each is not None and each.owner in label.owners:
                label = released(label, each.owner, each.added)
        reason = "" if reads(label, outcome.readers) else OTHERS
        output = structs.replace(kept.output, reason=reason)
        if not reason and may_hold(label, outcome.bus):
            output = structs.replace(
                output,
                name=kept.name,
                cid=kept.cid,
                size=kept.size,
                form=kept.form,
                release=statement,
                further=outcome.further,
                salt=outcome.salt,
            )
        return structs.replace(kept, output=output, label=label)


def _needed(policy: Policy, decision: Decision, stewards: int) -> int | None:
    """How many stewards policy asks for now; none if it does not allow it any more, or cannot be asked again.

    Facts that were too long for the record are not told again: then the very policy that was asked must stand, with no
    rule of the decision at its end.
    """
    try:
        now = answer(policy, question_of(decision.action, decision.facts))
    except NotReplayable:
        ended = any(rule.past(policy.day) for rule in policy.rules if rule.id in decision.rules)
        return None if ended or decision.policy != policy.version else stewards
    kept = structs.replace(now.duties, approvals=0, endorsed=0)
    if not now.allowed or not decision.duties.covers(kept):
        return None  # what was examined was examined under milder duties
    return max(stewards, now.duties.approvals)
