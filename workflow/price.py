"""What a step costs: a site's offer applied to what its receipt says that the step used (PROTOCOL.md, Price).

One function of values that both sides have: the site charges by it, and whoever ordered the step computes it again.
Usage is that of the receipt, in powers of two, so that a price tells no more of a step than the receipt does. Of each
kind no more than the offer's ``most`` is charged, so it is known before the order what it costs at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from catalog.dataset import DatasetFields
from catalog.index import Index
from catalog.offer import MOST_MICROS, OfferFields
from workflow.argument import Argument, Data, pieces_in
from workflow.receipt import Spent

HOUR_MILLIS: Final = 3_600_000
GB: Final = 10**9


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a site charges an order: the ``offer`` at the place ``entry`` of its catalog, and the bytes ``moved``."""

    offer: OfferFields
    entry: int
    moved: int

    def cost(self, spent: Spent | None) -> int:
        """The cost in millionths of a step that used ``spent``."""
        return price(self.offer, spent, self.moved)


def price(offer: OfferFields, spent: Spent | None, moved: int) -> int:
    """The cost in millionths of a step that used ``spent`` and read ``moved`` bytes of other sites' datasets.

    The parts are added exactly and their sum is rounded up once. Memory counts as its peak, held from the step's
    beginning to its end. Of a step of which nothing is known the site's price of a step is charged, and what was moved.
    """
    exact = offer.gb_moved * moved * HOUR_MILLIS
    if spent is not None and offer.most is not None:
        cpu_millis = min(spent.cpu_millis, offer.most.cpu_seconds * 1000)
        wall_millis = min(spent.wall_millis, offer.most.seconds * 1000)
        peak_bytes = min(spent.peak_bytes, offer.most.memory_mib << 20)
        exact += offer.cpu_hour * cpu_millis * GB + offer.gb_hour * peak_bytes * wall_millis
    return min(MOST_MICROS, offer.price - (-exact // (HOUR_MILLIS * GB)))


def most(offer: OfferFields, moved: int) -> int:
    """What a step costs there at most, in millionths, that reads ``moved`` bytes of other sites' datasets."""
    if offer.most is None:
        return price(offer, None, moved)
    whole = Spent(
        wall_millis=offer.most.seconds * 1000,
        cpu_millis=offer.most.cpu_seconds * 1000,
        peak_bytes=offer.most.memory_mib << 20,
    )
    return price(offer, whole, moved)


def moved_to(index: Index, site: str, inputs: Mapping[str, Argument]) -> int:
    """The bytes of other sites' datasets among ``inputs`` of a step at ``site``, by their catalogs.

    Each counts once, whether it lay there before or not, which is nobody's to know. What steps made is not charged.
    """
    datasets = (dataset_of(index, item) for item in pieces_in(dict(inputs)) if item.site != site)
    return sum(each.size for each in datasets if each is not None)


def dataset_of(index: Index, data: Data) -> DatasetFields | None:
    """The entry of ``data`` in the catalog of its site, if it is a dataset, be it withdrawn."""
    return index.site(data.site).typed(DatasetFields, "dataset", str(data.cid))
