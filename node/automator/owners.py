"""The other owners of what a step here made: each is told of it in a signed report, and asked for its own release.

Who is away is asked again until the order's time is over. What is asked, and what was answered, is kept beside the log
before anybody hears of it: after a restart the same report goes on, never a second one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import ComityError, Conflict, Unreachable, VerificationFailed, shown
from catalog.index import Index
from catalog.key import UNSIGNED, Signer, signed
from node.automator.book import AuditBook, Line
from node.automator.pending import Asked, Pending
from node.automator.release import Ruling
from node.automator.verify import Verified
from node.message import Place, Reported, Reporting, question_bytes, read_reply
from node.ports import Clock, Control, Random, Together
from workflow.account import Chain, ReleaseFields, Side, datasets_of
from workflow.evidence import check_released
from workflow.receipt import MOST_FURTHER, Release
from workflow.report import Report

ASK_SECONDS: Final = 20.0
TRIES: Final = 3
"""How often an owner is asked that refuses: it may be a moment behind the others' catalogs."""

FIRST_PAUSE: Final = 1_000
LONGEST_PAUSE: Final = 30_000
"""Milliseconds until an owner is asked again."""

MOST_BYTES: Final = 768 << 10
"""Of an order with its proofs, so that it can be shown to its owners in one message."""

TOO_MANY: Final = "it has too many owners, or too many proofs, for these to be told of it"
_MOST_REASON: Final = 1000


class OwnersMemory(Protocol):
    """The orders whose other owners are asked, over every restart."""

    async def pending(self) -> Collection[Pending]:
        """All of them."""

    async def keep_pending(self, pending: Pending) -> None:
        """Remember one as it stands; durable on return."""

    async def drop_pending(self, orders: Iterable[Cid]) -> None:
        """Forget some; durable on return."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """When an owner is asked next (Unix milliseconds), after how many milliseconds, and how often it has refused."""

    due: int
    pause: int
    refused: int


class Owners:
    """Asks the owners of what the site ``site`` made, and remembers how they answered."""

    def __init__(
        self,
        site: str,
        signer: Signer,
        index: Index,
        book: AuditBook,
        control: Control,
        together: Together,
        memory: OwnersMemory,
        clock: Clock,
        random: Random,
    ) -> None:
        self._site = site
        self._signer = signer
        self._index = index
        self._book = book
        self._control = control
        self._together = together
        self._memory = memory
        self._clock = clock
        self._random = random
        self._pending: dict[Cid, Pending] = {}
        self._turns: dict[tuple[Cid, str, str], _Turn] = {}

    async def load(self, waits: Callable[[Cid], bool]) -> None:
        """Read whom an earlier run asked; of what does not wait any more nobody is asked."""
        kept = {each.order: each for each in await self._memory.pending()}
        over = [order for order in kept if not waits(order)]
        if over:
            await self._memory.drop_pending(over)
        self._pending = {order: each for order, each in kept.items() if order not in over}

    def of(self, order: Cid) -> Pending | None:
        """What is asked about an order; none if nothing is."""
        return self._pending.get(order)

    def is_over(self, order: Cid) -> bool:
        """Whether nobody may answer any more about an order: its time is over."""
        pending = self._pending.get(order)
        return pending is not None and self._clock.now() > pending.place.order.not_after

    async def expect(self, message: Place, verified: Verified, rulings: Sequence[Ruling]) -> list[Ruling]:
        """Have the other owners asked about what ``rulings`` leave to them, from the moment that its result stands.

        What cannot be told them is held.
        """
        asked = [ruling for ruling in rulings if ruling.others]
        if not asked:
            return list(rulings)
        pending = Pending(
            place=message,
            order=verified.order_cid,
            bus=verified.bus_site,
            outputs={ruling.candidate.name: self._asked(verified, ruling) for ruling in asked}
            if sum(len(ruling.others) for ruling in asked) <= MOST_FURTHER
            else {},
        )
        if not pending.outputs or len(encode(pending)) > MOST_BYTES:
            return [
                replace(ruling, held=TOO_MANY, verdict=None, asks=0, others=()) if ruling.others else ruling
                for ruling in rulings
            ]
        await self._memory.keep_pending(pending)
        self._pending[pending.order] = pending
        return list(rulings)

    def _asked(self, verified: Verified, ruling: Ruling) -> Asked:
        candidate, salt = ruling.candidate, self._random.token(32)
        decided = ruling.verdict.decision if ruling.verdict is not None and not ruling.asks else None
        report = Report(
            order=candidate.order,
            instance=verified.order.instance,
            output=candidate.name,
            handle=candidate.handle,
            value=candidate.product.cid.keyed(salt),
            type=candidate.wanted.type,
            owners=tuple(sorted(candidate.label.owners)),
            readers=tuple(sorted(set(candidate.wanted.readers))),
            block=verified.order.block,
            finding=ruling.report,
            site=self._site,
            node=self._signer.did,
            sig=UNSIGNED,
        )
        return Asked(
            report=signed(report, self._signer),
            salt=salt,
            owners=ruling.others,
            decision=decided,
            line=ruling.report,
            consent=ruling.consent,
            examined=ruling.examined,
            released={},
            refused={},
        )

    async def forget(self, orders: Collection[Cid]) -> None:
        """Ask about these no more: what they made has left, or is held for good."""
        known = [order for order in orders if order in self._pending]
        if known:
            await self._memory.drop_pending(known)
        for order in known:
            del self._pending[order]
            for key in [key for key in self._turns if key[0] == order]:
                del self._turns[key]

    async def ask(self) -> bool:
        """Ask all owners whose turn it is; whether one has answered for good.

        Raises:
            ComityError: the audit log or the memory cannot be written.
        """
        now = self._clock.now()
        due = [
            (order, name, owner)
            for order, pending in self._pending.items()
            if self._stands(order) and now <= pending.place.order.not_after
            for name, asked in pending.outputs.items()
            for owner in asked.silent
            if self._turn(order, name, owner).due <= now
        ]
        jobs: list[Callable[[], Awaitable[Release | ComityError | None]]] = [partial(self._ask, *each) for each in due]
        answers = await self._together(jobs) if jobs else []
        settled = [await self._hear(*each, answer) for each, answer in zip(due, answers, strict=True)]
        return any(settled)

    def _stands(self, order: Cid) -> bool:
        """Whether the result of an order is durable: before that nobody is told of what it made."""
        attempt = self._book.ledger.attempt(order)
        return attempt is not None and attempt.result is not None and attempt.closed < self._book.durable

    def _turn(self, order: Cid, name: str, owner: str) -> _Turn:
        return self._turns.get((order, name, owner), _Turn(0, FIRST_PAUSE, 0))

    async def _ask(self, order: Cid, name: str, owner: str) -> Release | ComityError | None:
        """The statement of an owner, why there is none, or nothing while it thinks."""
        pending = self._pending[order]
        report = pending.outputs[name].report
        question = question_bytes(Reporting(report=report, place=pending.place))
        try:
            release = read_reply(Reported, await self._control.ask(owner, question, ASK_SECONDS)).release
            if release is not None:
                self._check(owner, report, release)
        except ComityError as error:
            return error
        return release

    async def _hear(self, order: Cid, name: str, owner: str, answer: Release | ComityError | None) -> bool:
        """Take what an owner answered; whether that is its last word."""
        if answer is None or isinstance(answer, (Conflict, Unreachable)):
            return self._later(order, name, owner, refused=False)
        if isinstance(answer, Release):
            return await self._settle(order, name, owner, answer, "")
        if self._turn(order, name, owner).refused + 1 < TRIES:
            return self._later(order, name, owner, refused=True)
        return await self._settle(order, name, owner, None, shown(str(answer), _MOST_REASON))

    def _later(self, order: Cid, name: str, owner: str, *, refused: bool) -> bool:
        turn = self._turn(order, name, owner)
        again = _Turn(
            due=self._clock.now() + turn.pause,
            pause=min(2 * turn.pause, LONGEST_PAUSE),
            refused=turn.refused + 1 if refused else 0,
        )
        self._turns[order, name, owner] = again
        return False

    def _check(self, owner: str, report: Report, release: Release) -> None:
        """Whether a statement is by ``owner``, about what was reported, for everybody who is wanted."""
        said = (release.owner, release.order, release.output, release.handle, release.value)
        if said != (owner, report.order, report.output, report.handle, report.value):
            raise VerificationFailed("its release is of something else than was reported to it")
        if not set(report.readers) <= set(release.added):
            raise VerificationFailed("its release lets fewer read it than was reported to it")
        check_released(self._index, release)

    async def _settle(self, order: Cid, name: str, owner: str, release: Release | None, refusal: str) -> bool:
        """Write down what an owner released, and remember its answer."""
        stated = self._book.ledger.reports.stated(order, name, owner)  # then the node stopped before it remembered
        if release is not None and order in self._pending and not stated:
            await self._book.write([self._line(order, self._pending[order].outputs[name].report, release)])
        pending = self._pending.get(order)
        if pending is None:  # it was taken back meanwhile
            return False
        asked = pending.outputs[name]
        answered = (
            structs.replace(asked, released=asked.released | {owner: release})
            if release is not None
            else structs.replace(asked, refused=asked.refused | {owner: refusal})
        )
        after = structs.replace(pending, outputs=pending.outputs | {name: answered})
        self._pending[order] = after
        await self._memory.keep_pending(after)
        return True

    def _line(self, order: Cid, report: Report, release: Release) -> Line:
        access = self._book.attempt(order).access

        def fields(chain: Chain, _index: int) -> ReleaseFields:
            return ReleaseFields(
                order=order,
                output=report.output,
                handle=report.handle,
                value=report.value,
                added=release.added,
                policy=release.policy,
                decision=None,
                report=release.report,
                chain=chain,
                side=Side.RECIPIENT,
                site=release.owner,
                statement=release,
                project=access.project,
                reported=encode(report),
            )

        return Line("release", datasets_of(access.chain), fields, (access.person,))
