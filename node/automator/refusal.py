"""Orders that are refused before policy is asked, written down: whoever is refused asked, and for what.

A row is written for an order that a member's person asked for and that is verified as theirs; of anything else
nobody knows whose it is. It begins no attempt, for the same order may be placed again and be allowed: its site may
have been a moment behind the others' catalogs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, VerificationFailed, shown
from node.automator.book import AuditBook, Line
from node.automator.verify import Verifier, signed_request
from node.message import Place
from node.quota import Bound, Quota
from privacy.decision import Decision
from workflow.account import NOT_ASKED, AccessFields, Chain

BY_PERSON: Final = Bound(
    1_000, 5_000, "more than {a_day} orders of this person are refused a day; mend them; ask again in {wait}"
)
BY_SITE: Final = Bound(
    5_000, 20_000, "more than {a_day} orders of this site's people are refused a day; mend them; ask again in {wait}"
)
"""A row has some 2 KB as a rule, and 40 KB where a submission is as large as it may be."""

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

    async def write(self, message: Place, error: ComityError) -> None:
        """Write down that an order, verified as its person's, was refused with ``error``; once for each reason.

        Raises:
            Denied: too many were refused of late; nothing was written.
        """
        order, submission = message.order, message.submission
        reason = shown(str(error), MOST_REASON)
        known = (cid_of(order), reason)
        if known in self._written:
            return
        self._quota.take(submission.person, BY_PERSON)
        self._quota.take(submission.site, BY_SITE)
        datasets = self._verifier.named(order)[:MOST_DATASETS]
        decision = Decision(allowed=False, action="compute", rules=(), reason=reason, facts={}, policy=NOT_ASKED)

        def fields(chain: Chain, _index: int) -> AccessFields:
            return AccessFields(
                order=known[0],
                instance=order.instance,
                attempt=order.attempt,
                person=submission.person,
                home=submission.site,
                project=submission.project,
                purpose=self._verifier.purpose(submission.project),
                block=order.block,
                decision=decision,
                shown=decision,
                max_cost=order.max_cost,
                submission=signed_request(submission),
                chain=chain,
            )

        with suppress(VerificationFailed):  # a submission that no row can hold; it says so itself
            await self._book.write([Line("decision", datasets, fields, (submission.person,))])
        self._written[known] = None
        while len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
