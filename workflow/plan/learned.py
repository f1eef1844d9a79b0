"""What receipts teach of durations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from catalog.capacity import CapacityFields
from catalog.index import Index
from workflow.argument import pieces_in
from workflow.order import Order
from workflow.plan.estimate import History, Seen
from workflow.price import dataset_of
from workflow.receipt import Receipt, Status


def history_of(index: Index, answered: Iterable[tuple[Order, Receipt]]) -> History:
    """How long blocks took where, by orders with their receipts, and how fast sites say that they are.

    A site's speed is that with whole numbers: no block says which of the four it depends on.
    """
    seen = list(_seen(index, answered))
    said = {site: index.site(site).typed(CapacityFields, "capacity") for site in index.sites}
    speeds = {site: each.speed.integer for site, each in said.items() if each is not None and each.speed is not None}
    return History(seen, speeds)


def _seen(index: Index, answered: Iterable[tuple[Order, Receipt]]) -> Iterator[Seen]:
    for order, receipt in answered:
        if receipt.status in (Status.DONE, Status.HELD) and receipt.spent is not None:
            sizes = (dataset_of(index, item) for item in pieces_in(order.inputs))
            size = sum(each.size for each in sizes if each is not None)
            yield Seen(order.block, order.site, size, receipt.spent.wall_millis)
