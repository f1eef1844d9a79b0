"""Who holds what was published: its owner, and the members that volunteered to (catalog entries ``mirror``).

This site hands out what it mirrors under the label that its owner gives it now, and no more once the owner does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.index import Index
from catalog.label import Label
from catalog.mirror import MirrorFields, mirrored
from node.automator.hold import Holdings
from privacy.label import may_hold
from privacy.trust import has_left

_ABOUT = frozenset({"mirror", "dataset", "block"})


def mirrors_of(index: Index, owner: str, cid: Cid) -> list[str]:
    """The members that mirror what ``owner`` published as ``cid``, by their root keys."""
    subject = mirrored(owner, cid)
    return [
        root
        for root, site in index.sites.items()
        if (found := site.typed(MirrorFields, "mirror", subject)) is not None
        and not found.withdrawn
        and root != owner
        and not has_left(index, root)
    ]


def published_label(index: Index, owner: str, cid: Cid) -> Label | None:
    """The label under which ``owner`` publishes ``cid`` now, as bytes that may travel; none if it does not."""
    site = index.sites.get(owner)
    if site is None or has_left(index, owner):
        return None
    dataset = site.typed(DatasetFields, "dataset", str(cid))
    if dataset is not None and not dataset.withdrawn and dataset.level is not Level.RESIDENT:
        return dataset.label
    block = site.typed(BlockFields, "block", str(cid))
    return block.label if block is not None else None


class Mirrors:
    """Keeps what the site ``site`` mirrors among its holdings; a :class:`node.replication.Counting`."""

    def __init__(self, site: str, index: Index, holdings: Holdings) -> None:
        self._site = site
        self._index = index
        self._holdings = holdings

    async def begin(self, _site: str) -> None:
        """See the port."""
        self.refresh()

    async def counted(self, _site: str, entries: Sequence[Entry]) -> None:
        """See the port."""
        if any(entry.body.kind in _ABOUT for entry in entries):
            self.refresh()

    def refresh(self) -> None:
        """Hand out what is mirrored now, each under its owner's label."""
        held: dict[Cid, list[Label]] = {}
        for entry in self._index.site(self._site).entries("mirror"):
            fields = entry.fields
            if isinstance(fields, MirrorFields) and not fields.withdrawn:
                label = published_label(self._index, fields.owner, fields.cid)
                if label is not None and may_hold(label, self._site):
                    held.setdefault(fields.cid, []).append(label)
        self._holdings.mirror(held)


def owners_of(index: Index, cid: Cid, site: str) -> list[str]:
    """The other members that publish ``cid`` for ``site`` to hold, by their root keys."""
    labels = ((root, published_label(index, root, cid)) for root in index.sites if root != site)
    return [root for root, label in labels if label is not None and may_hold(label, site)]
