"""Asking stewards: the inquiry of an order or of an output, the row that asks it, and how it stands."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from node.automator.book import AuditBook, Line
from node.automator.decide import Verdict
from node.automator.inquiries import Consent, consent
from node.automator.ledger import Attempt
from node.automator.verify import Verified
from node.ports import Clock
from workflow.account import AccessFields, Chain, InquiryFields, datasets_of
from workflow.inquiry import MOST_STEWARDS, Inquiry
from workflow.order import Wanted

UNANSWERED = "no steward of this site said in time that it may run"

Access = Callable[[Chain, int], AccessFields]
"""Makes the fields of an access."""


class Asking:
    """Asks the stewards of this site; ``is_steward`` knows their keys."""

    def __init__(self, book: AuditBook, is_steward: Callable[[str], bool], clock: Clock) -> None:
        self._book = book
        self._is_steward = is_steward
        self._clock = clock

    def consent(self, inquiry: Inquiry) -> Consent:
        """How an inquiry stands now."""
        now = self._clock.now()
        return consent(self._book.ledger.inquiries, cid_of(inquiry), self._is_steward, inquiry.person, now)

    def answered(self, fields: InquiryFields) -> bool:
        """Whether what ``fields`` ask is decided: by the stewards, or by the clock."""
        stands = self.consent(fields.inquiry)
        return bool(stands.refusal) or stands.enough(fields.stewards) or self._clock.now() > fields.not_after

    def line(
        self,
        verified: Verified,
        access: Access,
        verdict: Verdict,
        inquiry: Inquiry,
        stewards: int,
        examined: Cid | None = None,
    ) -> Line:
        """The row that asks: the access that waits, with what is asked of how many, and what was ``examined`` of it."""

        def fields(chain: Chain, index: int) -> InquiryFields:
            opened = structs.asdict(access(chain, index)) | {"decision": verdict.decision, "shown": verdict.shown}
            return InquiryFields(
                **opened,
                inquiry=inquiry,
                stewards=min(stewards, MOST_STEWARDS),
                not_after=verified.order.not_after,
                bus=verified.bus_site,
                examined=examined,
            )

        return Line("inquiry", verified.datasets, fields, (verified.case.person.did,))


def inquiry_of(verified: Verified, output: str | None = None, value: Cid | None = None) -> Inquiry:
    """What is asked before the order runs; or, of what it made, before ``output`` leaves with that ``value``."""
    order, case = verified.order, verified.case
    wanted: dict[str, Wanted] = dict(order.outputs) if output is None else {output: order.outputs[output]}
    return Inquiry(
        person=case.person.did,
        home=case.person.site,
        project=case.ref,
        purpose=case.project.purpose,
        block=order.block,
        inputs=dict(order.inputs),
        outputs=wanted,
        value=value,
        around=case.around.text if case.around is not None else None,
    )


def denial(attempt: Attempt, reason: str) -> Line:
    """The row that ends an order which stewards were asked about and did not let run."""
    asked = attempt.access
    decision = structs.replace(asked.decision, allowed=False, reason=reason)
    shown = structs.replace(asked.shown, allowed=False, reason=reason)

    def fields(chain: Chain, _index: int) -> AccessFields:
        kept = {name: getattr(asked, name) for name in AccessFields.__struct_fields__}
        return AccessFields(
            **(kept | {"chain": chain, "decision": decision, "shown": shown, "copies": (), "granted": {}})
        )

    return Line("decision", datasets_of(asked.chain), fields, (asked.person,))
