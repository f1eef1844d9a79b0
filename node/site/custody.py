"""What becomes of the data keys as catalogs change: taken into keeping, and destroyed with what they open.

A key of this site goes when its dataset is withdrawn; one that it keeps for an owner, when the owner withdraws the
dataset or names it as custodian no more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence

import trio

from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.error import ComityError, Denied, Unreachable
from catalog.index import Index, SiteIndex
from catalog.leaf import decode_leaf
from node.site.keyholders import KeyHolders
from node.storage.datakeys import DataKeys
from node.storage.stored import StoredLog

AGAIN_SECONDS = 10.0
OWNER_SECONDS = 60.0
"""What one owner is given for all the keys that it has to hand over, in one round: the others' do not wait for it."""
_LEAVES = 1024
"""Leaves that are looked at together."""
log = logging.getLogger("comity.custody")


async def check_newest(replicas: Mapping[str, StoredLog], index: SiteIndex, kind: str) -> None:
    """Check that what ``index`` has of a ``kind`` with one subject is the newest that its log has.

    A newer one may be for others to see, or lack its body still: what stands here is then not its owner's word any
    more.

    Raises:
        Denied: there is a newer one, or none at all here.
    """
    entry, log = index.latest(kind, ""), replicas.get(index.root)
    if entry is None or log is None:
        raise Denied(f"the owner's {kind} is not known here")
    for start in range(entry.index + 1, log.size, _LEAVES):
        leaves = await log.read(start, min(start + _LEAVES, log.size))
        if any(decode_leaf(leaf).kind_name == kind for leaf, _ in leaves):
            raise Denied(f"the owner has a newer {kind} than is known here")


class Custody:
    """Looks after the data keys at the site ``site``."""

    def __init__(self, site: str, index: Index, keys: DataKeys, holders: KeyHolders) -> None:
        self._site = site
        self._index = index
        self._keys = keys
        self._holders = holders
        self._woken = trio.Event()

    async def begin(self, site: str) -> None:
        """What counts of ``site`` is told again: what it says of its datasets is looked at then."""

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """Datasets are withdrawn, their custodians change; a key of this site is gone when this returns."""
        for entry in entries:
            if isinstance(entry.fields, DatasetFields):
                if site == self._site and not self._stands(entry.fields.cid, site):
                    await self._keys.destroy(entry.fields.cid, site)
                self._woken.set()
            elif entry.body.kind == "withdraw":
                self._woken.set()

    async def run(self) -> None:
        """Look whenever something changes, until cancelled; again and again while a key is still awaited."""
        while True:
            self._woken = trio.Event()
            try:
                pause = AGAIN_SECONDS if await self.settle() else float("inf")
            except ComityError as error:
                log.warning("keys are not looked after: %s", error)
                pause = AGAIN_SECONDS
            with trio.move_on_after(pause):
                await self._woken.wait()

    async def settle(self) -> int:
        """Destroy what opens nothing any more, and take what is to be kept; how many keys are awaited still.

        Raises:
            ComityError: the state cannot be written.
        """
        for root, owner in await self._keys.all():
            if not self._stands(root, owner) and (owner != self._site or self._was_published(root)):
                await self._keys.destroy(root, owner)
                log.info("the key of %s was destroyed", root)
        entrusted = self._entrusted(frozenset(await self._keys.all()))  # not inside: what it raises must stay alone
        async with trio.open_nursery() as nursery:
            for owner, awaited in entrusted.items():
                nursery.start_soon(self._take, owner, awaited)
        kept = frozenset(await self._keys.all())
        return sum(map(len, self._entrusted(kept).values()))

    async def _take(self, owner: str, awaited: Sequence[DatasetFields]) -> None:
        """Ask an owner for what it has to hand over; one that does not answer is asked no more in this round."""
        with trio.move_on_after(OWNER_SECONDS):
            for fields in awaited:
                try:
                    await self._holders.for_keeping(owner, fields)
                except ComityError as error:
                    log.info("a key is not in keeping yet: %s", error)
                    if isinstance(error, Unreachable):
                        return

    def _entrusted(self, kept: Collection[tuple[Cid, str]]) -> dict[str, list[DatasetFields]]:
        """The datasets of others that name this site as custodian and whose keys are not ``kept``, by their owner."""
        awaited = dict[str, list[DatasetFields]]()
        for entry in self._index.entries("dataset"):
            fields, owner = entry.fields, entry.site
            if not isinstance(fields, DatasetFields) or owner == self._site or (fields.cid, owner) in kept:
                continue
            if self._stands(fields.cid, owner):
                awaited.setdefault(owner, []).append(fields)
        return awaited

    def _stands(self, root: Cid, owner: str) -> bool:
        """Whether the key of a dataset is this site's to have."""
        index = self._index.sites.get(owner)
        fields = index.typed(DatasetFields, "dataset", str(root)) if index is not None else None
        if fields is None or fields.withdrawn or fields.level is not Level.SHARED:
            return False
        return owner == self._site or self._site in fields.custodians

    def _was_published(self, root: Cid) -> bool:
        """A key is made before the entry of its dataset is signed, which may take a while."""
        return self._index.site(self._site).latest("dataset", str(root)) is not None
