"""The rulings on all that a step made, and the rows that they become: releases, and what stewards are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from catalog.key import Signer
from node.automator.asking import Asking, inquiry_of
from node.automator.book import Line
from node.automator.decide import Judge
from node.automator.disclosing import Disclosing
from node.automator.ledger import Attempt
from node.automator.release import FURTHER, Candidate, Ruling, answered, reads, rule
from node.automator.verify import Verified
from node.ports import Random
from node.step import Product
from workflow.account import AccessFields, Chain
from workflow.argument import handle
from workflow.receipt import Release


class Rulings:
    """Rules at the site ``site``."""

    def __init__(
        self, site: str, signer: Signer, judge: Judge, asking: Asking, disclosing: Disclosing, random: Random
    ) -> None:
        self._site = site
        self._signer = signer
        self._judge = judge
        self._asking = asking
        self._disclosing = disclosing
        self._random = random

    def gains(self, verified: Verified) -> bool:
        """Whether anybody would gain an output, who does not read all that went into it."""
        label = verified.case.evidence.inputs_label(verified.order)
        return not all(reads(label, wanted.readers) for wanted in verified.order.outputs.values())

    async def on(self, verified: Verified, attempt: Attempt, products: Mapping[str, Product], now: int) -> list[Ruling]:
        """What becomes of each of ``products``: by policy, disclosure control, and what stewards said before.

        Within a turn of the latter, which lasts until the rows are written, if anybody :meth:`gains`.

        Raises:
            ComityError: what leaves cannot be stored.
        """
        case = replace(verified.case, granted=attempt.access.granted)
        rests = case.reliance
        lapses = {action: self._judge.lapse(rests, action, now) for action in FURTHER}
        ruled = [
            rule(self._judge, case, candidate, self._site, lapses, now)
            for candidate in self._candidates(verified, products)
        ]
        return [await self._examined(verified, each, now) for each in ruled]

    async def _examined(self, verified: Verified, ruling: Ruling, now: int) -> Ruling:
        ruling = await self._disclosing.rule(verified, ruling, now)
        if ruling.asks:
            ruling = self._by_consent(verified, ruling)
        if ruling.leaves and ruling.examined is not None:
            await self._disclosing.leaves(ruling.examined, verified.datasets, now)
        return ruling

    def lines(
        self, rulings: Sequence[Ruling], verified: Verified, attempt: Attempt, statements: dict[str, Release]
    ) -> list[Line]:
        """The rows for ``rulings``; writing them signs the releases into ``statements``."""
        person, bus = verified.case.person.did, verified.bus_site
        return [
            *(self._inquiry(verified, attempt, each) for each in rulings if each.asks),
            *(
                each.releasing(bus).line(self._signer, self._site, verified.datasets, person, statements)
                for each in rulings
                if each.leaves
            ),
        ]

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

    def _by_consent(self, verified: Verified, ruling: Ruling) -> Ruling:
        candidate = ruling.candidate
        inquiry = inquiry_of(verified, candidate.name, candidate.product.cid)
        return answered(ruling, self._asking.consent(inquiry), self._site)

    def _inquiry(self, verified: Verified, attempt: Attempt, ruling: Ruling) -> Line:
        """The row that asks stewards whether an output may leave."""
        verdict, candidate = ruling.verdict, ruling.candidate
        if verdict is None:
            raise ValueError("nothing is asked of what is refused")
        inquiry = inquiry_of(verified, candidate.name, candidate.product.cid)

        def access(chain: Chain, _index: int) -> AccessFields:
            return structs.replace(attempt.access, chain=chain)

        return self._asking.line(verified, access, verdict, inquiry, ruling.asks, ruling.examined)
