"""Erasing what members took back: bodies and salts of the places that a ``withdraw`` entry names, here and in replicas.

Each log goes on verifying. What this site kept beside its own log about the same things goes first, so that whatever
cuts this off, the next start finds bodies that still stand and does it again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import trio

from catalog.block import BlockFields
from catalog.body import Body, read_body
from catalog.cid import Cid
from catalog.dagcbor import convert
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.error import ComityError, VerificationFailed
from catalog.index import Index
from catalog.withdraw import WithdrawFields
from node.automator.book import AuditBook, Line
from node.automator.hold import Holdings
from node.ports import Clock
from node.storage.datakeys import DataKeys
from node.storage.journal import SubmissionJournal
from node.storage.resident import Residents
from node.storage.stored import StoredLog
from workflow.account import Chain, EraseFields

AGAIN_SECONDS = 10.0
SETTLED_MILLIS = 10_000
"""How long after its end a submission is let alone: who carried it out looks at it once more."""
log = logging.getLogger("comity.erasure")


class Erasure:
    """Erases at the site ``site``; ``logs`` gives its own catalog and the replicas, by site."""

    def __init__(
        self,
        site: str,
        index: Index,
        logs: Callable[[], Mapping[str, StoredLog]],
        holdings: Holdings,
        residents: Residents,
        datakeys: DataKeys,
        journal: SubmissionJournal,
        book: AuditBook,
        clock: Clock,
        litter: Callable[[], None],
        expunge: Callable[[str], Awaitable[None]],
    ) -> None:
        self._site = site
        self._index = index
        self._logs = logs
        self._holdings = holdings
        self._residents = residents
        self._datakeys = datakeys
        self._journal = journal
        self._book = book
        self._clock = clock
        self._litter = litter
        self._expunge = expunge
        self._done: set[tuple[str, int]] = set()
        self._woken = trio.Event()

    async def begin(self, site: str) -> None:
        """What counts of ``site`` is told again: what was erased stays so."""

    async def counted(self, _site: str, entries: Sequence[Entry]) -> None:
        """Something may have been withdrawn."""
        if any(entry.body.kind == "withdraw" for entry in entries):
            self._woken.set()

    async def run(self) -> None:
        """Erase whatever was withdrawn, whenever something is; until cancelled."""
        while True:
            self._woken = trio.Event()
            try:
                pause = AGAIN_SECONDS if await self.settle() else float("inf")
            except ComityError as error:
                log.warning("what was withdrawn is not erased yet: %s", error)
                pause = AGAIN_SECONDS
            with trio.move_on_after(pause):
                await self._woken.wait()

    async def settle(self) -> int:
        """Erase what was withdrawn so far; how many submissions are left of persons whom nothing here names any more.

        These are still under way, and end soon: nobody carries out a step for a key that is not known.

        Raises:
            ComityError: a log or the state cannot be written; what was not erased is erased when this is called again.
        """
        for root, kept in list(self._logs().items()):
            await self._settle(root, kept)
        own = self._index.site(self._site)
        before = self._clock.now() - SETTLED_MILLIS
        erased, left = await self._journal.forget(lambda person: own.latest("key", person) is None, before)
        if erased:
            self._litter()
        return left

    async def _settle(self, root: str, kept: StoredLog) -> None:
        """Erase what was withdrawn of one log, as far as all is here that every member may see.

        What lacks there may say that a withdrawal does not count, and what is erased never comes back: an owner could
        bring back what was removed, by holding an older version of it back until the removal is erased.
        """
        site = self._index.site(root)
        for entry in list(site.entries("withdraw")):
            if not isinstance(entry.fields, WithdrawFields) or (root, entry.index) in self._done:
                continue
            awaited = site.awaited(entry.index)
            if awaited is not None:
                told = "what entry %d of …%s took back is erased when the body of its entry %d has come"
                log.info(told, entry.index, root[-8:], awaited)
                return
            await self._erase(root, kept, entry.index, entry.fields.places)
            self._done.add((root, entry.index))

    async def _erase(self, root: str, kept: StoredLog, withdraw: int, places: Sequence[int]) -> None:
        standing = await kept.standing(places)
        if not standing:
            await kept.erase(
                *places
            )  # the bodies are gone; their old pages may be left, if somebody read the file then
            return
        if root == self._site:
            for place in standing:
                await self._forget(await kept.body(place))

        def account(chain: Chain, _index: int) -> EraseFields:
            return EraseFields(site=root, withdraw=withdraw, places=len(standing), chain=chain)

        await self._book.write([Line("erase", [], account)])
        await self._expunge(root)
        await kept.erase(*standing)
        self._litter()
        log.info("%d bodies that entry %d of …%s took back were erased", len(standing), withdraw, root[-8:])

    async def _forget(self, stored: tuple[bytes, bytes] | None) -> None:
        """Forget where and under which key a thing of ours lies, if that was its body and none of it stands."""
        found = _root_of(read_body(stored[1])) if stored is not None else None
        if found is not None and self._index.site(self._site).latest(found[0], str(found[1])) is None:
            self._holdings.withdraw(found[1])
            await self._residents.forget(found[1])
            await self._datakeys.destroy(found[1], self._site)


def _root_of(body: Body) -> tuple[str, Cid] | None:
    """The kind and the root of the dataset or block that a body is about."""
    try:
        if body.kind == "dataset":
            return body.kind, convert(DatasetFields, body.fields).cid
        if body.kind == "block":
            return body.kind, convert(BlockFields, body.fields).cid
    except VerificationFailed:
        return None  # it never counted
    return None
