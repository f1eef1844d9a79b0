"""Orders that are refused before policy is asked, written down: whoever is refused asked, and for what.

A row is written for an order that a member's person asked for and that is verified as theirs; of anything else
nobody knows whose it is. The order is a bus node's, so the row says of the person what they signed for themselves,
and which node brought the rest. It begins no attempt, for the same order may be placed again and be allowed: its site
may have been a moment behind the others' catalogs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Denied, shown
from node.automator.book import AuditBook, Line
from node.automator.verify import Verifier, signed_request
from node.message import Place
from node.quota import Bound, Quota
from workflow.account import Chain, RefusalFields, UnwrittenFields

BY_PERSON: Final = Bound(
    1_000,
    5_000,
    "more than {a_day} orders that this site brings for this person are refused a day; mend them; ask again in {wait}",
)
BY_SITE: Final = Bound(
    5_000, 20_000, "more than {a_day} orders that this site brings are refused a day; mend them; ask again in {wait}"
)
"""A row has some 2 KB as a rule, and 60 KB where a submission is as large as it may be."""

NOTICE: Final = Bound(1, 1, "it was said today that more were refused than are written down; again in {wait}")

MOST_DATASETS: Final = 256
MOST_REASON: Final = 1000
REMEMBERED: Final = 4096


class Refusals:
    """Writes refusals into ``book``; ``now`` gives Unix milliseconds."""

    def __init__(self, book: AuditBook, verifier: Verifier, now: Callable[[], int]) -> None:
        self._book = book
        self._verifier = verifier
        self._quota = Quota(now)
        self._written: OrderedDict[tuple[Cid, str], None] = OrderedDict()

    async def write(self, message: Place, asker: str, error: ComityError) -> None:
        """Write down that an order, verified as its person's and brought by the node of the site ``asker``, was refused
        with ``error``; once for each reason.

        Raises:
            Denied: too many that this site brought were refused of late. That is written down, once a day; not the
                order.
        """
        reason = shown(str(error), MOST_REASON)
        known = (cid_of(message.order), reason)
        if known in self._written:
            return
        try:
            self._count(asker, message.submission.person)
        except Denied:
            await self._write_notice(asker)
            raise
        await self._book.write([await self._line(message, asker, reason)])
        self._written[known] = None
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)

    def _count(self, asker: str, person: str) -> None:
        """Charge whoever brings the orders: a person cannot help what is done with what they signed."""
        self._quota.check(asker, BY_SITE)
        self._quota.take(f"{asker} for {person}", BY_PERSON)
        self._quota.take(asker, BY_SITE)

    async def _line(self, message: Place, asker: str, reason: str) -> Line:
        order, submission = message.order, message.submission
        is_theirs = await self._verifier.is_of_workflow(message)

        def fields(chain: Chain, _index: int) -> RefusalFields:
            return RefusalFields(
                order=cid_of(order),
                site=asker,
                bus=order.bus,
                person=submission.person,
                home=submission.site,
                project=submission.project,
                purpose=self._verifier.purpose(submission.project),
                instance=order.instance if is_theirs else None,
                block=order.block if is_theirs else None,
                reason=reason,
                submission=signed_request(submission),
                chain=chain,
            )

        datasets = self._verifier.named(order, submission)[:MOST_DATASETS]
        return Line("refusal", datasets, fields, (submission.person,))

    async def _write_notice(self, asker: str) -> None:
        """Say that from now on there are refusals without a row, in the chain of all that this site publishes."""
        try:
            self._quota.take(asker, NOTICE)
        except Denied:
            return
        datasets = self._verifier.published()

        def fields(chain: Chain, _index: int) -> UnwrittenFields:
            return UnwrittenFields(site=asker, chain=chain)

        parts = [datasets[at : at + MOST_DATASETS] for at in range(0, len(datasets), MOST_DATASETS)] or [[]]
        await self._book.write([Line("unwritten", part, fields, (asker,)) for part in parts])
