"""Following the consortium's epochs while the site runs: what the members signed takes effect without a restart."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

from catalog.error import ComityError, Conflict
from catalog.index import Index
from node.automator.decide import Judge
from node.automator.verify import Consortium, Verifier
from node.bus.dispatch import Dispatcher
from node.replicate.replicator import Replicator
from node.site.membership import Membership
from node.storage.log import DiskLog

LOOK_SECONDS = 0.5
"""How often it is looked whether a next epoch has its signatures: a few look-ups in the index."""
TELL_SECONDS = 2.0
"""How long a member that could not be told of this node's key is left before it is told again."""

log = logging.getLogger("comity.epoch")


class Epochs:
    """Puts each epoch into effect in the parts that go by it, and tells the members of this site's node."""

    def __init__(
        self,
        membership: Membership,
        index: Index,
        logs: Sequence[DiskLog],
        judge: Judge,
        verifier: Verifier,
        dispatcher: Dispatcher,
        replicator: Replicator,
        reindex: Callable[[], Awaitable[None]],
    ) -> None:
        self._membership = membership
        self._index = index
        self._logs = logs
        self._judge = judge
        self._verifier = verifier
        self._dispatcher = dispatcher
        self._replicator = replicator
        self._reindex = reindex
        self._root = membership.directory.root
        self.apply()

    def apply(self) -> None:
        """Go by the epoch that stands now."""
        epoch, consortium = self._membership.epoch, self._membership.consortium
        if epoch is None or consortium is None:
            return
        for each in self._logs:
            each.epoch = epoch.number
        self._judge.govern(epoch.floor)
        self._verifier.consortium = Consortium(consortium, epoch.number, self._membership.witness_only)
        self._dispatcher.epoch = epoch.number

    async def run(self) -> None:
        """Follow until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            while True:
                try:
                    await self.look()
                except ComityError as error:
                    log.warning("the epoch could not be followed: %s", error)
                await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Adopt what has its signatures, and index again what counts otherwise since then."""
        if await self._membership.advance() and self._membership.epoch is not None:
            log.info("epoch %d of «%s» begins", self._membership.epoch.number, self._membership.epoch.consortium)
            self.apply()
        for root, index in list(self._index.sites.items()):
            if index.due and root == self._root:
                await self._reindex()
            elif index.due:
                try:
                    await self._replicator.settle(root)
                except Conflict:
                    continue  # a round with that member is under way: at the next look

    async def _tell(self) -> None:
        directory = self._membership.directory
        while True:
            for root in directory.untold():
                try:
                    await directory.tell(root)
                except ComityError as error:
                    log.info("%s was not told of this node's key: %s", self._membership.names.get(root, root), error)
            await trio.sleep(TELL_SECONDS)
