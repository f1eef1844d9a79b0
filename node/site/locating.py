"""Who holds what was published: its owner, and the members that volunteered to (catalog entries ``mirror``).

This site hands out what it mirrors under the label that its owner gives it now, and no more once the owner does not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import NotFound
from catalog.index import Index
from catalog.label import Label
from catalog.mirror import MirrorFields, mirrored
from privacy.label import may_hold
from privacy.trust import has_left


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


def refused(holders: Sequence[str], title: str) -> NotFound:
    """What is said when holders, by their names, answered and gave nothing of what is called ``title``.

    They say the same whether they have it not or give it not.
    """
    who, verb = " and ".join(holders), "do" if len(holders) > 1 else "does"
    whose = "their" if len(holders) > 1 else "its"
    return NotFound(
        f"{who} {verb} not let this site have «{title}»: {whose} policy or the data's label forbids it, or the bytes"
        f" are not there any more; ask {whose} steward"
    )


def title_of(index: Index, owner: str, cid: Cid) -> str:
    """What ``owner`` calls what it published as ``cid``; the CID itself where it says nothing."""
    there = index.sites.get(owner)
    dataset = there.typed(DatasetFields, "dataset", str(cid)) if there is not None else None
    block = there.typed(BlockFields, "block", str(cid)) if there is not None else None
    found = dataset or block
    return found.name if found is not None else str(cid)


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


def whole_of(index: Index, owner: str, cid: Cid) -> tuple[Cid, ...]:
    """The roots of what ``owner`` published as ``cid``: itself, and a block's environment."""
    site = index.sites.get(owner)
    block = site.typed(BlockFields, "block", str(cid)) if site is not None else None
    return block.roots if block is not None else (cid,)


def environments_for(index: Index, sites: Collection[str]) -> set[Cid]:
    """The environments of blocks that all of ``sites`` may hold."""
    return {
        block.environment
        for entry in index.entries("block")
        if isinstance(block := entry.fields, BlockFields)
        and block.environment is not None
        and all(each == entry.site or may_hold(block.label, each) for each in sites)
    }


class Mirrors:
    """What the site ``site`` mirrors: the port ``Mirrored`` of its holdings; a :class:`node.replication.Counting`.

    Under which label that is now is looked up whenever somebody asks, so nothing stays given that is not any more.
    """

    def __init__(self, site: str, index: Index) -> None:
        self._site = site
        self._index = index
        self._owners: dict[Cid, list[tuple[str, Cid]]] = {}  # the owner, and what it publishes: a block's environment
        self.refresh()

    async def begin(self, _site: str) -> None:
        """See the port."""
        self.refresh()

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """See the port."""
        if site == self._site and any(entry.body.kind in ("mirror", "withdraw") for entry in entries):
            self.refresh()

    def refresh(self) -> None:
        """Read anew for whom what is mirrored."""
        self._owners = {}
        for entry in self._index.site(self._site).entries("mirror"):
            fields = entry.fields
            if isinstance(fields, MirrorFields) and not fields.withdrawn:
                for root in whole_of(self._index, fields.owner, fields.cid):
                    self._owners.setdefault(root, []).append((fields.owner, fields.cid))

    def roots(self) -> list[Cid]:
        """Every root that somebody publishes now and that is mirrored for it."""
        return [root for root in self._owners if self.labels(root)]

    def labels(self, root: Cid) -> list[tuple[str, Label]]:
        """Each owner that publishes ``root`` now, and under which label."""
        found = ((owner, published_label(self._index, owner, named)) for owner, named in self._owners.get(root, ()))
        return [(owner, label) for owner, label in found if label is not None and may_hold(label, self._site)]


def owners_of(index: Index, cid: Cid, site: str) -> list[str]:
    """The other members that publish ``cid`` for ``site`` to hold, by their root keys."""
    labels = ((root, published_label(index, root, cid)) for root in index.sites if root != site)
    return [root for root, label in labels if label is not None and may_hold(label, site)]
