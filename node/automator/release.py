"""Deciding what leaves: for each output, who may read it already, who should gain it, and whether this owner lets it.

What a grant let in goes on only while one stands, whatever policy says. A release is automatic only for a block that
this owner's steward endorsed for the output's type; policy may refuse it still, and disclosure control looks at it
(:mod:`node.automator.disclosing`). What policy allows beyond that waits for the answer of a steward. Everything else
is held, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.key import UNSIGNED, Signer, signed
from catalog.label import Label
from catalog.project import ProjectRef
from node.automator.book import Line
from node.automator.case import Case
from node.automator.decide import Judge, Lapse, Verdict
from node.automator.inquiries import Consent
from node.step import Product
from privacy.decision import Action, Decision
from privacy.label import effective_readers, may_hold, person_at, released, withheld
from workflow.account import Chain, Kept, ReleaseFields, Side
from workflow.order import Wanted
from workflow.receipt import Output, Release
from workflow.report import Report


@dataclass(frozen=True, slots=True)
class Candidate:
    """An output that a step made: what was wanted of it, and the label that it has so far."""

    order: Cid
    name: str
    product: Product
    wanted: Wanted
    label: Label
    handle: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a candidate: its label now, why it stays held if it does, and the verdict on its release.

    So many stewards are asked first (``asks``), and so are the ``others``, owners whose word is needed too; ``report``
    says what a release rests on, ``consent`` on whose answer. ``examined`` is the record of what disclosure control
    found in it.
    """

    candidate: Candidate
    label: Label
    held: str
    verdict: Verdict | None
    asks: int = 0
    others: tuple[str, ...] = ()
    report: str = ""
    consent: Cid | None = None
    examined: Cid | None = None

    @property
    def leaves(self) -> bool:
        """Whether it is released here and now."""
        return self.verdict is not None and not self.waits

    @property
    def waits(self) -> bool:
        """Whether somebody is asked before."""
        return bool(self.asks or self.others)

    def releasing(self, bus: str) -> Releasing:
        """The release that this ruling is, to the bus at the site ``bus``."""
        if self.verdict is None:
            raise ValueError("nothing is released here")
        candidate = self.candidate
        return Releasing(
            order=candidate.order,
            output=candidate.name,
            handle=candidate.handle,
            value=candidate.product.cid,
            added=tuple(sorted(candidate.wanted.readers)),
            decision=self.verdict.decision,
            report=self.report,
            consent=self.consent,
            examined=self.examined,
            bus=bus,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Releasing:
    """An output that leaves: what of which order, for whom, by which decision.

    Of what another site made, that is for a ``project`` and was ``reported`` by the node of ``bus``.
    """

    order: Cid
    output: str
    handle: str
    value: Cid
    added: tuple[str, ...]
    decision: Decision
    report: str
    consent: Cid | None
    examined: Cid | None
    bus: str
    reported: Report | None = None
    project: ProjectRef | None = None

    def line(self, signer: Signer, site: str, datasets: Sequence[Cid], person: str, into: dict[str, Release]) -> Line:
        """The audit line of it; writing it signs the statement, which names its own place, into ``into``."""
        version = int(self.decision.policy)

        def fields(chain: Chain, index: int) -> ReleaseFields:
            into[self.output] = signed(
                Release(
                    order=self.order,
                    output=self.output,
                    handle=self.handle,
                    value=self.value,
                    owner=site,
                    added=self.added,
                    policy=version,
                    report=self.report,
                    ledger=index,
                    sig=UNSIGNED,
                ),
                signer,
            )
            return ReleaseFields(
                order=self.order,
                output=self.output,
                handle=self.handle,
                value=self.value,
                added=self.added,
                policy=version,
                decision=self.decision,
                report=self.report,
                chain=chain,
                side=Side.SOURCE,
                site=self.bus,
                project=self.project,
                consent=self.consent,
                statement=into[self.output] if self.reported is not None else None,
                reported=encode(self.reported) if self.reported is not None else None,
                examined=self.examined,
            )

        return Line("release", datasets, fields, (person,))


ASKED: Final = "a steward is asked whether it may leave"
TOLD: Final = "its other owners are asked whether it may leave"
UNANSWERED: Final = "no steward said in time that it may leave"
OTHERS: Final = "other owners of what went into it have not released it"
SILENT: Final = "not all of its other owners said in time that it may leave"
FURTHER: Final[tuple[Action, ...]] = ("compute", "release")
"""What an output goes on to: those who read its label already go on computing, others need its release."""


def rule(
    judge: Judge, case: Case, candidate: Candidate, site: str, lapses: Mapping[Action, Lapse | None], now: int
) -> Ruling:
    """Decide whether ``candidate`` gains the readers that its order wants.

    ``lapses`` say why the grants that let its data in do not stand, for each of the actions :data:`FURTHER`.
    """
    wanted = candidate.wanted.readers
    read = reads(candidate.label, wanted)
    lapse = lapses["compute" if read else "release"]
    if lapse is not None:
        return Ruling(candidate, candidate.label, lapse.reason, None)
    if read:
        return Ruling(candidate, candidate.label, "", None)
    if site not in candidate.label.owners:
        return Ruling(candidate, candidate.label, TOLD, None, others=lacking(candidate.label, wanted))
    endorsed = judge.endorsing.vouched(case, {candidate.wanted.type})
    verdict = judge.release(case, candidate.label, candidate.handle, candidate.wanted.type, now)
    if not verdict.allowed and not endorsed:
        reason = f"no steward here has endorsed this block for outputs of the type «{candidate.wanted.type}»"
        return Ruling(candidate, candidate.label, reason, None)
    if not verdict.allowed:
        return Ruling(candidate, candidate.label, verdict.shown.reason, None)
    asks = max(verdict.stewards, 0 if endorsed else 1)
    if asks:
        others = lacking(released(candidate.label, site, wanted), wanted)
        return Ruling(candidate, candidate.label, ASKED, verdict, asks, others)
    report = f"endorsed by this site's steward for the type «{candidate.wanted.type}»"
    if judge.endorsing.aggregates(case, {candidate.wanted.type}):
        report = "counted by this node's own aggregator"
    return let_out(Ruling(candidate, candidate.label, "", verdict, report=report), site)


def let_out(ruling: Ruling, site: str) -> Ruling:
    """The ruling on an output that ``site`` lets go: held still while other owners have a word in it."""
    wanted = ruling.candidate.wanted.readers
    label = released(ruling.label, site, wanted)
    if others := lacking(label, wanted):
        return replace(ruling, held=TOLD, asks=0, others=others)
    return replace(ruling, label=label, held="", asks=0)


def answered(ruling: Ruling, consent: Consent, site: str) -> Ruling:
    """The ruling on an output that stewards are asked about, by what they answered before to the very same."""
    if consent.refusal:
        return replace(ruling, held=refused(consent), verdict=None, asks=0, others=())
    if not consent.enough(ruling.asks):
        return ruling
    return let_out(replace(ruling, report=approved(consent), consent=consent.inquiry), site)


def approved(consent: Consent) -> str:
    """What a release rests on that stewards granted."""
    count = len(consent.granted)
    return "approved by a steward of this site" if count == 1 else f"approved by {count} stewards of this site"


def refused(consent: Consent) -> str:
    """Why nothing leaves that a steward refused."""
    return f"a steward refused it: {consent.refusal}"


def keep(ruling: Ruling, release: Release | None, bus_site: str) -> Kept:
    """The output as this site keeps it, and as the receipt to the bus at ``bus_site`` shows it."""
    candidate, product = ruling.candidate, ruling.candidate.product
    shown = not ruling.held and may_hold(ruling.label, bus_site)
    output = Output(
        handle=candidate.handle,
        type=candidate.wanted.type,
        name=product.name if shown else "",
        cid=product.cid if shown else None,
        size=product.size if shown else None,
        form=product.form if shown else None,
        release=release if shown else None,
        reason=ruling.held,
    )
    return Kept(
        output=output,
        cid=product.cid,
        size=product.size,
        name=product.name,
        form=product.form,
        label=ruling.label,
    )


def withhold(kept: Mapping[str, Kept], reason: str) -> dict[str, Kept]:
    """Outputs as this site keeps them when it lets none of them out after all, because of ``reason``."""
    return {
        name: structs.replace(
            each,
            output=structs.replace(
                each.output, name="", cid=None, size=None, form=None, release=None, reason=reason, further=(), salt=None
            ),
            label=withheld(each.label),
        )
        for name, each in kept.items()
    }


def lacking(label: Label, readers: Sequence[str]) -> tuple[str, ...]:
    """The owners who do not allow all ``readers``, sorted."""
    return tuple(sorted(owner for owner, allowed in label.owners.items() if not set(readers) <= set(allowed)))


def reads(label: Label, readers: Sequence[str]) -> bool:
    """Whether all ``readers`` read what is labelled ``label``."""
    effective = effective_readers(label)
    return effective is None or set(readers) <= effective


def may_look(root: str, did: str, label: Label) -> bool:
    """Whether ``label`` lets the person ``did`` of the site ``root`` read: by name, or as all of its people.

    That a site may hold a value, since somebody else at it reads it, is not enough.
    """
    return reads(label, (root,)) or reads(label, (person_at(did, root),))
