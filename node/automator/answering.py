"""Answering a holder's report: whether this site, an owner of what the holder made, releases its part of it.

The holder's word is taken for nothing but which value the step made and what its own check found of it, and that only
where policy takes reports from it. All else is verified as if the order had come here, and then decided as a release.
Every question, the same one again too, is verified and decided anew, so what was taken back meanwhile is not given.

Nobody here sees the value. Where it tells of this site's people no more than what this site released, the ledger has it
all. Else nobody can compare it with what left before, or later with it: then a steward is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.error import ComityError, Conflict, Denied, Unreachable, VerificationFailed
from catalog.key import Signer
from node.automator.asking import Asking, inquiry_of
from node.automator.book import AuditBook
from node.automator.case import let_in
from node.automator.decide import Judge, Verdict
from node.automator.disclosing import Disclosing
from node.automator.refusal import Refusals
from node.automator.release import Releasing, approved, refused
from node.automator.reports import Vouched
from node.automator.verify import Verified, Verifier, signed_request
from node.message import Reported, Reporting
from node.replication import Covering
from privacy.duty import NO_DUTIES, Duties
from workflow.account import AccessFields, Chain
from workflow.receipt import Release
from workflow.report import Report

ASKED: Final = "a steward there is asked"
BLIND: Final = "its policy asks for what nobody there can see to, for the value lies elsewhere"
COMPARED: Final = "other values about the same people left before, and nobody here can compare this one with them"


@dataclass(frozen=True, slots=True)
class Answering:
    """Answers at the site ``site``; ``now`` gives Unix milliseconds."""

    site: str
    signer: Signer
    verifier: Verifier
    judge: Judge
    book: AuditBook
    asking: Asking
    disclosing: Disclosing
    covering: Covering
    refusals: Refusals
    now: Callable[[], int]

    async def answer(self, message: Reporting, holder: str) -> Reported:
        """This site's statement once it has taken effect; until then what it waits for.

        Raises:
            VerificationFailed: the report, its order or a proof is not what it claims to be. Denied: somebody has no
                standing, policy does not take the report, or does not let it out; that is written down.
            Conflict, Unreachable: it cannot be answered now.
            NotFound, BadInput: the block is not shared with this site, or its workflow cannot be read.
        """
        person, bus = self.verifier.reporter(message, holder)
        try:
            verified = await self.verifier.verify(message.place, bus, person, self.now())
            case = replace(verified.case, granted=let_in(self.book.ledger, self.site, message.place.proofs))
            verified = replace(verified, case=case)
            self._check_report(message.report, verified)
            standing = self._standing(message.report)
            verdict = self._decide(message.report, verified)
        except (Conflict, Unreachable):
            raise
        except ComityError as error:
            await self.refusals.write(message.place, bus, told(self.book.halts.name(holder), error))
            raise
        if standing is not None:
            return self._told(standing)
        async with self.disclosing.turn:
            standing = self._standing(message.report)  # it came twice, and its twin was answered first
            if standing is not None:
                return self._told(standing)
            return await self._go_on(message.report, verified, verdict)

    def _check_report(self, report: Report, verified: Verified) -> None:
        """Whether the report says of its order what the order and its proofs say."""
        order, wanted = verified.order, verified.order.outputs.get(report.output)
        if wanted is None:
            raise VerificationFailed("the report is of an output that its order has not")
        owners = tuple(sorted(verified.case.evidence.inputs_label(order).owners))
        said = (report.instance, report.type, report.readers, report.block, report.owners)
        if said != (order.instance, wanted.type, tuple(sorted(set(wanted.readers))), order.block, owners):
            raise VerificationFailed("the report says something else than its order and the proofs")
        if not report.handle.startswith(f"held:{order.site}/") or not report.value.is_keyed:
            raise VerificationFailed("the report names the value otherwise than one that is held there")
        if self.site not in owners:
            raise Denied("this site owns nothing of what the report is about")

    def _standing(self, report: Report) -> Vouched | None:
        """What was released on this very report; what was released of that output on another one stays the only one."""
        found = self.book.ledger.reports.released(report.instance, report.output)
        if found is not None and found.report != report:
            raise VerificationFailed("this site has released another value of that output, on another report")
        return found

    def _decide(self, report: Report, verified: Verified) -> Verdict:
        """The verdict on the release, which is allowed, with how many stewards must say so too.

        Raises:
            Denied: the site is not believed, or the value may not leave. Unreachable: that cannot be said now.
        """
        case, now = verified.case, self.now()
        halted = self.book.halts.refusal(case.ref, (case.person.site, case.ref.site, report.site))
        if halted:
            raise Unreachable(halted)
        lapse = self.judge.lapse(case.reliance, "release", now)
        if lapse is not None:
            raise Denied(lapse.reason) if lapse.for_good else Unreachable(lapse.reason)
        label = case.evidence.inputs_label(verified.order)
        given = (case, label, report.handle, report.type)
        taken = self.judge.report(*given, report.site, now)
        if not taken.allowed:
            raise Denied(f"no report on it is taken from there: {taken.shown.reason}")
        verdict = self.judge.release(*given, now)
        if not verdict.allowed:
            raise Denied(verdict.shown.reason)
        if structs.replace(verdict.decision.duties, approvals=0, endorsed=0) != NO_DUTIES:
            raise Denied(BLIND)
        asks = max(verdict.stewards, 0 if self.judge.endorsing.endorsed(case.block, {report.type}) else 1)
        return verdict.under(structs.replace(verdict.decision.duties, approvals=asks)) if asks else verdict

    def _told(self, standing: Vouched) -> Reported:
        """The statement, once the quorum has cosigned that it stands in the audit log."""
        if self.covering.covered() > standing.index:
            return Reported(release=standing.statement, waits="")
        names = ", ".join(self.covering.lacking(standing.index + 1))
        return Reported(release=None, waits=f"cosignatures by {names}")

    async def _go_on(self, report: Report, verified: Verified, verdict: Verdict) -> Reported:
        """Write the release down; or ask the stewards, once. Within a turn of disclosure control."""
        evidence, data = verified.case.evidence, verified.case.data
        untold = sorted({cid for each in data for cid in evidence.untold(each, self.site)})
        if untold and await self.disclosing.left([str(each) for each in untold]):
            reason = f"{verdict.decision.reason}; {COMPARED}"[:4096]
            duties = verdict.decision.duties.join(Duties(approvals=1))
            verdict = replace(verdict, decision=structs.replace(verdict.decision, duties=duties, reason=reason))
        inquiry = inquiry_of(verified, report.output, report.value)
        consent = self.asking.consent(inquiry) if verdict.stewards else None
        if consent is not None and consent.refusal:
            raise Denied(refused(consent))
        if consent is not None and not consent.enough(verdict.stewards):
            asked = self.book.ledger.inquiries.of(report.order)
            if not any(each.inquiry == inquiry for each in asked):
                await self._ask(report, verified, verdict)
            return Reported(release=None, waits=ASKED)
        endorsed = f"endorsed by this site's steward for the type «{report.type}»"
        examined = await self._unseen(report, verified, untold) if untold else None
        letting = Releasing(
            order=report.order,
            output=report.output,
            handle=report.handle,
            value=report.value,
            added=report.readers,
            decision=verdict.decision,
            report=approved(consent) if consent is not None else endorsed,
            consent=consent.inquiry if consent is not None else None,
            examined=examined,
            bus=report.site,
            reported=report,
            project=verified.case.ref,
        )
        datasets, person, into = verified.datasets, verified.case.person.did, dict[str, Release]()
        if examined is not None:
            await self.disclosing.leaves(examined, datasets, self.now())
        await self.book.write([letting.line(self.signer, self.site, datasets, person, into)])
        written = self._standing(report)
        return self._told(written) if written is not None else Reported(release=None, waits="")

    async def _unseen(self, report: Report, verified: Verified, datasets: Collection[Cid]) -> Cid:
        """The record of the value: what the holder says of it."""
        name = self.book.halts.name(report.site)
        said = f"says of it: «{report.finding}»" if report.finding else "says nothing of it"
        return await self.disclosing.unseen(report, datasets, verified.case.ref, f"made at {name}, which {said}")

    async def _ask(self, report: Report, verified: Verified, verdict: Verdict) -> None:
        """Write down what stewards are asked, who reported it, and what was found of it there."""
        order, case = verified.order, verified.case
        reason = f"{self.book.halts.name(report.site)} made it and reports of it; {verdict.decision.reason}"
        decision = structs.replace(verdict.decision, reason=reason[:4096])

        def access(chain: Chain, _index: int) -> AccessFields:
            return AccessFields(
                order=report.order,
                instance=order.instance,
                attempt=order.attempt,
                person=case.person.did,
                home=case.person.site,
                project=case.ref,
                purpose=case.project.purpose,
                block=order.block,
                decision=decision,
                shown=verdict.shown,
                max_cost=0,
                submission=signed_request(verified.submission),
                chain=chain,
                granted=dict(case.granted),
            )

        asked = replace(verdict, decision=decision)
        inquiry = inquiry_of(verified, report.output, report.value)
        owned = {cid for each in case.data for cid in case.evidence.owned(each, self.site)}
        examined = await self._unseen(report, verified, owned)
        await self.book.write([self.asking.line(verified, access, asked, inquiry, verdict.stewards, examined)])


def told(holder: str, error: ComityError) -> ComityError:
    """Why the report of ``holder`` was refused, as it is written down."""
    return ComityError(f"the report of {holder}: {error}")
