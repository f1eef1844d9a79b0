"""The releases of this site that wait for their quorum, over the site's database."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.cid import Cid
from catalog.dagcbor import Value
from node.automator.pending import Pending
from node.storage.facts import Facts, Kept


class _Order(Value, frozen=True, kw_only=True):
    order: Cid


class WaitingReleases:
    """The ports ``ReleaseMemory`` and ``OwnersMemory``."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def waiting(self) -> list[Cid]:
        """The orders of which a release waits."""
        return [each.order for each in await self._facts.all(Kept.RELEASE, _Order)]

    async def keep_waiting(self, order: Cid) -> None:
        """Remember one; durable on return."""
        await self._facts.keep(Kept.RELEASE, str(order), _Order(order=order))

    async def drop_waiting(self, orders: Iterable[Cid]) -> None:
        """Forget some; durable on return."""
        await self._facts.drop(Kept.RELEASE, *map(str, orders))

    async def pending(self) -> list[Pending]:
        """The orders whose other owners are asked."""
        return await self._facts.all(Kept.PENDING, Pending)

    async def keep_pending(self, pending: Pending) -> None:
        """Remember one as it stands; durable on return."""
        await self._facts.keep(Kept.PENDING, str(pending.order), pending)

    async def drop_pending(self, orders: Iterable[Cid]) -> None:
        """Forget some; durable on return."""
        await self._facts.drop(Kept.PENDING, *map(str, orders))
