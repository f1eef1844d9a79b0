"""Deciding what leaves: for each output, who may read it already, who should gain it, and whether this owner lets it.

What a grant let in goes on only while one stands, whatever policy says. A release is automatic only for a block that
this owner's steward endorsed for the output's type; policy may refuse it still. Everything else is held, with the
reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from catalog.cid import Cid
from catalog.key import UNSIGNED, Signer, signed
from catalog.label import Label
from node.automator.book import Line
from node.automator.case import Case
from node.automator.decide import Judge, Lapse, Verdict
from node.automator.verify import Verified
from node.step import Product
from privacy.decision import Action
from privacy.label import effective_readers, may_hold, released, withheld
from workflow.account import Chain, Kept, ReleaseFields, Side
from workflow.order import Wanted
from workflow.receipt import Output, Release


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
    """What becomes of a candidate: its label now, why it stays held if it does, and the verdict on its release."""

    candidate: Candidate
    label: Label
    held: str
    verdict: Verdict | None

    def line(self, signer: Signer, site: str, verified: Verified, into: dict[str, Release]) -> Line:
        """The audit line of a release; writing it signs the statement, which names its own place, into ``into``."""
        candidate = self.candidate
        verdict = self.verdict
        if verdict is None:
            raise ValueError("nothing is released here")
        version = int(verdict.decision.policy)

        def fields(chain: Chain, index: int) -> ReleaseFields:
            added = tuple(sorted(candidate.wanted.readers))
            report = f"endorsed by this site's steward for the type «{candidate.wanted.type}»"
            into[candidate.name] = signed(
                Release(
                    order=candidate.order,
                    output=candidate.name,
                    handle=candidate.handle,
                    value=candidate.product.cid,
                    owner=site,
                    added=added,
                    policy=version,
                    report=report,
                    ledger=index,
                    sig=UNSIGNED,
                ),
                signer,
            )
            return ReleaseFields(
                order=candidate.order,
                output=candidate.name,
                handle=candidate.handle,
                value=candidate.product.cid,
                added=added,
                policy=version,
                decision=verdict.decision,
                report=report,
                chain=chain,
                side=Side.SOURCE,
                site=verified.bus_site,
            )

        return Line("release", verified.datasets, fields, (verified.case.person.did,))


FURTHER: Final[tuple[Action, ...]] = ("compute", "release")
"""What an output goes on to: those who read its label already go on computing, others need its release."""


def rule(
    judge: Judge, case: Case, candidate: Candidate, site: str, lapses: Mapping[Action, Lapse | None], now: int
) -> Ruling:
    """Decide whether ``candidate`` gains the readers that its order wants.

    ``lapses`` say why the grants that let its data in do not stand, for each of the actions :data:`FURTHER`.
    """
    wanted = candidate.wanted.readers
    read = _reads(candidate.label, wanted)
    lapse = lapses["compute" if read else "release"]
    if lapse is not None:
        return Ruling(candidate, candidate.label, lapse.reason, None)
    if read:
        return Ruling(candidate, candidate.label, "", None)
    if site not in candidate.label.owners:
        return Ruling(candidate, candidate.label, "only the owners of what went into it can release it", None)
    if not judge.endorsed(case.block, {candidate.wanted.type}):
        reason = f"no steward here has endorsed this block for outputs of the type «{candidate.wanted.type}»"
        return Ruling(candidate, candidate.label, reason, None)
    verdict = judge.release(case, candidate.label, candidate.handle, candidate.wanted.type, now)
    if not verdict.allowed:
        return Ruling(candidate, candidate.label, verdict.shown.reason, None)
    label = released(candidate.label, site, wanted)
    held = "" if _reads(label, wanted) else "other owners of what went into it have not released it"
    return Ruling(candidate, label, held, verdict)


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
        release=release if shown else None,
        reason=ruling.held,
    )
    return Kept(output=output, cid=product.cid, size=product.size, name=product.name, label=ruling.label)


def withhold(kept: Mapping[str, Kept], reason: str) -> dict[str, Kept]:
    """Outputs as this site keeps them when it lets none of them out after all, because of ``reason``."""
    return {
        name: structs.replace(
            each,
            output=structs.replace(each.output, name="", cid=None, size=None, release=None, reason=reason),
            label=withheld(each.label),
        )
        for name, each in kept.items()
    }


def _reads(label: Label, readers: Sequence[str]) -> bool:
    effective = effective_readers(label)
    return effective is None or set(readers) <= effective
