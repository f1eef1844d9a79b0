"""The row that ends an order: how it ended, what it used, what it made."""

from __future__ import annotations

from collections.abc import Callable

from catalog.cid import Cid
from node.automator.book import Line
from node.automator.ledger import Attempt
from node.step import Usage
from workflow.account import Chain, Complaint, Kept, ResultFields, datasets_of
from workflow.price import Terms
from workflow.receipt import Spent, Status, rounded_up

MAX_DETAIL = 1000


def result_line(
    attempt: Attempt,
    status: Status,
    kept: Callable[[], dict[str, Kept]],
    usage: Usage | None,
    reason: str = "",
    detail: str = "",
    waits: tuple[str, ...] = (),
    memo: Cid | None = None,
    errors: Complaint | None = None,
    terms: Terms | None = None,
) -> Line:
    """The result's line. ``kept`` is asked when it is written, after the releases before it have their places.

    It is charged by ``terms``; without, it costs nothing.
    """
    access, spent = attempt.access, _spent(usage)

    def fields(chain: Chain, _index: int) -> ResultFields:
        return ResultFields(
            order=access.order,
            instance=access.instance,
            intent=attempt.index,
            status=status,
            kept=kept(),
            spent=spent,
            cost=terms.cost(spent) if terms is not None else 0,
            reason=reason,
            detail=detail[:MAX_DETAIL],
            chain=chain,
            waits=waits,
            memo=memo,
            errors=errors,
            offer=terms.entry if terms is not None else None,
        )

    return Line("result", datasets_of(access.chain), fields, (access.person,))


def _spent(usage: Usage | None) -> Spent | None:
    if usage is None:
        return None
    return Spent(
        wall_millis=rounded_up(usage.wall_seconds * 1000),
        cpu_millis=rounded_up(usage.cpu_seconds * 1000),
        peak_bytes=rounded_up(usage.peak_bytes),
    )
