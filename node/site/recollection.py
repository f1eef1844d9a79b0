"""What this site remembers for another of that one's own doings, so that whoever lost something can ask for it.

It is asked over the bulk server, which is there before anything else of a node, and answers are checked by their own
signatures: they are the asking site's.
"""

from __future__ import annotations

from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.origin import LogName
from node.message import Proof, ReceiptsAnswer, SeenAnswer
from node.replicate.reopened import Reopened
from node.site.replicas import Replicas
from node.storage.journal import SubmissionJournal
from node.storage.witness import WitnessMemory

SEEN_PATH: Final = "/seen"
PAGE: Final = 64


class Recollection:
    """Answers from what was cosigned, what is replicated, and the receipts that the bus was given."""

    def __init__(
        self, memory: WitnessMemory, reopened: Reopened, replicas: Replicas, journal: SubmissionJournal
    ) -> None:
        self._memory = memory
        self._reopened = reopened
        self._replicas = replicas
        self._journal = journal

    async def seen(self, site: str) -> SeenAnswer:
        """The newest checkpoints of the logs of ``site`` that were cosigned or replicated here, epochs and forks."""
        notes = []
        for log in LogName:
            seen = await self._memory.seen(self._reopened.origin(site, log))
            if seen is not None:
                notes.append(seen.note)
        replica = self._replicas.known.get(site)
        if replica is not None and replica.note:
            notes.append(replica.note)
        chains = (self._reopened.chain(site, log) for log in LogName)
        origins = {self._reopened.origin(site, log) for log in LogName}
        return SeenAnswer(
            notes=tuple(notes),
            reopenings=tuple(each for chain in chains for each in chain),
            forks=tuple(fork for fork in await self._memory.forks() if fork.origin in origins),
        )

    async def receipts(self, site: str, start: int) -> ReceiptsAnswer:
        """Final receipts of ``site`` with their orders, from the ``start``-th on."""
        found: list[Proof] = []
        for record in await self._journal.records():
            orders = {cid_of(order): order for order in record.orders if order.site == site}
            known: dict[Cid, Proof] = {
                each.order: Proof(order=orders[each.order], receipt=each)
                for each in record.receipts
                if each.final and each.order in orders
            }
            found += known.values()
        return ReceiptsAnswer(proofs=tuple(found[start : start + PAGE]), more=len(found) > start + PAGE)
