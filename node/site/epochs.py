"""Following the consortium's epochs while the site runs: what the members signed takes effect without a restart.

A member that is put out is cut off by the others, maybe before it has read their signatures. So a node that reaches
nobody asks each member for the documents; it believes their signatures and nobody's word.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from catalog.dagcbor import decode
from catalog.error import ComityError, Conflict
from catalog.index import Index
from node.admission import Standing
from node.automator.decide import Judge
from node.automator.verify import Consortium, Verifier
from node.bus.dispatch import Dispatcher
from node.ports import Bulk
from node.replicate.replicator import Replicator
from node.site.membership import EPOCHS_PATH, Membership
from node.storage.log import DiskLog

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether a next epoch has its signatures: a few look-ups in the index."""
TELL_SECONDS: Final = 2.0
"""How long a member that could not be told of this node's key is left before it is told again."""
INQUIRE_SECONDS: Final = 2.0
MAX_PAUSE: Final = 60.0
"""How long a node that reaches nobody waits, at first and at most, before it asks for epochs again."""
MAX_ANSWER: Final = 1 << 20

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
        bulk: Bulk,
        alone: Callable[[], bool],
    ) -> None:
        """``alone`` says whether this node is connected with no other member's."""
        self._membership = membership
        self._index = index
        self._logs = logs
        self._judge = judge
        self._verifier = verifier
        self._dispatcher = dispatcher
        self._replicator = replicator
        self._reindex = reindex
        self._bulk = bulk
        self._alone = alone
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
        if self._membership.left is not None:
            told = "this site left «%s» in epoch %d: nothing is asked of the members any more, what lies here stays"
            log.warning(told, epoch.consortium, self._membership.left)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            nursery.start_soon(self._inquire)
            while True:
                try:
                    await self.look()
                except ComityError as error:
                    log.warning("the epoch could not be followed: %s", error)
                await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Adopt what has its signatures, and index again what counts otherwise since then."""
        if await self._membership.advance():
            self._begin()
        for root, index in list(self._index.sites.items()):
            if index.due and root == self._root:
                await self._reindex()
            elif index.due:
                try:
                    await self._replicator.settle(root)
                except Conflict:
                    continue  # a round with that member is under way: at the next look

    def _begin(self) -> None:
        epoch = self._membership.epoch
        if epoch is not None:
            log.info("epoch %d of «%s» begins", epoch.number, epoch.consortium)
            self.apply()

    async def _tell(self) -> None:
        directory = self._membership.directory
        said: dict[str, str] = {}
        while True:
            for root in directory.untold():
                try:
                    await directory.tell(root)
                except ComityError as error:
                    if said.get(root) != str(error):
                        name = self._membership.names.get(root, root)
                        log.info("%s was not told of this node's key, and will be: %s", name, error)
                    said[root] = str(error)
            await trio.sleep(TELL_SECONDS)

    async def _inquire(self) -> None:
        """Ask the members for epochs for as long as none of them is connected, until this site has left."""
        pause = INQUIRE_SECONDS
        while self._membership.left is None:
            await trio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE) if self._alone() and not await self._heard() else INQUIRE_SECONDS

    async def _heard(self) -> bool:
        """Whether some member told of an epoch that follows."""
        for root in self._membership.nodes.keys() - {self._root}:
            path = f"{EPOCHS_PATH}/{len(self._membership.chain)}"
            try:
                data = await self._bulk.get(root, path, MAX_ANSWER)
                if await self._membership.hear(decode(Standing, data, MAX_ANSWER).epochs):
                    self._begin()
                    return True
            except ComityError:
                continue  # away, no member of ours any more, or a liar: another one may know
        return False
