"""Releases that wait for stewards, or were decided and wait for the quorum; none is told before (PROTOCOL.md, Release).

What they rest on is asked for again while they wait, and once more when the quorum has cosigned them, for that may be
days later. What stands still takes effect. What was taken back, has ended or is halted is held for good, and that is
written down before it is told. Where too little was heard of who speaks for it, the release waits on.

Which ones wait is remembered beside the log, before they stand in it: what is not among them may have been told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from msgspec import structs

from catalog.cid import Cid
from catalog.error import Conflict
from node.automator.book import AuditBook, Line
from node.automator.case import Reliance
from node.automator.decide import Judge, Lapse
from node.automator.late import Releases
from node.automator.ledger import Attempt
from node.automator.release import withhold
from node.automator.verify import Verifier
from node.ports import Clock
from node.replication import Covering
from workflow.account import Chain, ResultFields, datasets_of
from workflow.receipt import ASKED_TO_LET_OUT, WAITS_FOR_OWNERS, Status

PATIENT_MILLIS: Final = 30_000
"""How often it is asked whether what stewards have not answered still stands, and whether its time is over."""


class ReleaseMemory(Protocol):
    """Of which orders a release waits, over every restart."""

    async def waiting(self) -> Collection[Cid]:
        """All of them."""

    async def keep_waiting(self, order: Cid) -> None:
        """Remember one; durable on return."""

    async def drop_waiting(self, orders: Iterable[Cid]) -> None:
        """Forget some: they wait no longer; durable on return."""


class Waiting:
    """The attempts of this site whose release waits. ``ended`` is called for each that waits no longer."""

    def __init__(
        self,
        verifier: Verifier,
        judge: Judge,
        book: AuditBook,
        covering: Covering,
        memory: ReleaseMemory,
        releases: Releases,
        clock: Clock,
        ended: Callable[[Attempt], None],
    ) -> None:
        self._verifier = verifier
        self._judge = judge
        self._book = book
        self._covering = covering
        self._memory = memory
        self._releases = releases
        self._clock = clock
        self._ended = ended
        self._waiting: dict[Cid, Lapse | None] = {}
        self._patient: dict[Cid, int] = {}
        self._given_up: dict[Cid, str] = {}

    async def load(self) -> None:
        """Read which ones waited when the node stopped; what the log does not have was never decided, or is lost."""
        kept = await self._memory.waiting()
        known = [order for order in kept if self._known(order)]
        await self._memory.drop_waiting(set(kept) - set(known))
        self._waiting = dict.fromkeys(known)

    def _known(self, order: Cid) -> bool:
        with suppress(Conflict):  # its rows were erased
            return self._book.ledger.attempt(order) is not None
        return False

    async def expect(self, order: Cid) -> None:
        """A release of ``order`` is about to be written down: from now on it waits."""
        await self._memory.keep_waiting(order)
        self._waiting[order] = None

    def __contains__(self, order: Cid) -> bool:
        return order in self._waiting

    def words(self, attempt: Attempt) -> str:
        """What the release of ``attempt`` waits for, for people."""
        if attempt.result is not None and attempt.result.waits:
            names = ", ".join(self._book.halts.name(owner) for owner in self._releases.silent(attempt))
            return f"{WAITS_FOR_OWNERS}{names}" if names else ASKED_TO_LET_OUT
        names = ", ".join(self._covering.lacking(attempt.closed + 1))
        lapse = self._waiting.get(attempt.access.order)
        return (
            f"done; its release waits: {lapse.reason}"
            if lapse is not None and not names
            else f"done; its release waits for cosignatures by {names}"
        )

    async def look(self) -> None:
        """Ask again of all that wait; let take effect what may, and hold what is over.

        Raises:
            ComityError: the log or the memory cannot be written; what waits waits on.
        """
        ended = []
        for order in list(self._waiting):
            if self._patient.get(order, 0) > self._clock.now():
                continue
            attempt = self._book.ledger.attempt(order)
            if attempt is None or attempt.result is None or attempt.closed >= self._book.durable:
                continue  # it is just being written
            readers = self._readers(attempt, attempt.result)
            lapse = self._waiting[order] = self._lapse(attempt, readers) if readers else None
            if lapse is not None and lapse.for_good:
                ended.append(await self._take_back(attempt, attempt.result, lapse.reason))
            elif attempt.result.waits:
                await self._settle(attempt, attempt.result)
            elif lapse is None and (not readers or self._covering.covered() > attempt.closed):
                ended.append(attempt)
        await self._end(ended)

    def answered(self) -> None:
        """A steward, or another owner, has answered something."""
        self._patient.clear()

    def give_up(self, order: Cid, reason: str) -> None:
        """What ``order`` released, if it waits still, is held for good at the next look, for ``reason``.

        It is forgotten in a crash before that: whoever asked for it hears no end of it then, and asks again.
        """
        if order in self._waiting:
            self._given_up[order] = reason
            self._patient.pop(order, None)

    async def _settle(self, attempt: Attempt, result: ResultFields) -> None:
        """End what stewards were asked, if they answered all; what they let out waits for the quorum then."""
        if self._releases.decided(attempt):
            await self._releases.settle(attempt, result)
        else:
            self._patient[attempt.access.order] = self._clock.now() + PATIENT_MILLIS

    def _readers(self, attempt: Attempt, result: ResultFields) -> frozenset[str]:
        """Whom outputs were released to, or would be if stewards said so."""
        released = [each for kept in result.kept.values() for each in kept.output.releases]
        wanted = self._releases.wanted(attempt) if result.waits else ()
        return frozenset().union(*(each.added for each in released), wanted)

    def _lapse(self, attempt: Attempt, readers: frozenset[str]) -> Lapse | None:
        """Why what was released may take effect no more, or not yet; none if all that it rests on stands."""
        access, now = attempt.access, self._clock.now()
        over = (
            self._given_up.get(access.order)
            or self._book.halts.refusal(access.project, (access.home, access.project.site))
            or self._verifier.over(access, self._verifier.owners(access), now)
        )
        if over:
            return Lapse(over, for_good=True)
        return self._judge.lapse(Reliance.of(access, readers), "release", now)

    async def _take_back(self, attempt: Attempt, result: ResultFields, reason: str) -> Attempt:
        """Write a second result over the one that released: nothing that the step made leaves."""

        def fields(chain: Chain, _index: int) -> ResultFields:
            kept = withhold(result.kept, reason)
            return structs.replace(result, status=Status.HELD, kept=kept, chain=chain, waits=())

        await self._book.write([Line("result", datasets_of(result.chain), fields, (attempt.access.person,))])
        return self._book.attempt(attempt.access.order)

    async def _end(self, attempts: Sequence[Attempt]) -> None:
        if attempts:
            await self._memory.drop_waiting([attempt.access.order for attempt in attempts])
            await self._releases.forget(attempts)
        for attempt in attempts:
            del self._waiting[attempt.access.order]
            self._patient.pop(attempt.access.order, None)
            self._given_up.pop(attempt.access.order, None)
            self._ended(attempt)
