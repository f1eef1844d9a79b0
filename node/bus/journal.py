"""What the bus must not forget, as a port: submissions, the orders made for them, and the receipts that came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from catalog.cid import Cid
from workflow.cancellation import Cancellation
from workflow.order import Order
from workflow.plan.draft import NO_PLACES, Places
from workflow.receipt import Receipt
from workflow.submission import Submission


class State(StrEnum):
    """How far a submission is. One that is ``cancelling`` waits for the sites that were not told yet."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more is done for it."""
        return self not in (State.RUNNING, State.PAUSED, State.CANCELLING)


WAITING: Final = "waiting"
"""The kind of an order that goes on: its site said what it waits for."""

CANCELLED: Final = "cancelled"
"""The kind of an order that is cancelled, and of which its site has nothing to account for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order has no final receipt.

    ``kind`` is ``denied``, ``unreachable``, ``failed``, :data:`WAITING` or :data:`CANCELLED`.
    """

    order: Cid
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A submission as the journal holds it. Times are Unix milliseconds; ``ended`` is 0 while it runs.

    ``word`` is its person's, that it shall end; ``places`` are the sites that it was planned for.
    """

    cid: Cid
    submission: Submission
    workflow: str
    state: State
    reason: str
    began: int
    ended: int
    orders: Sequence[Order]
    receipts: Sequence[Receipt]
    refusals: Sequence[Refusal]
    word: Cancellation | None = None
    places: Places = field(default_factory=dict)

    @property
    def spent(self) -> int:
        """What final receipts charged, in millionths."""
        return sum(receipt.cost for receipt in self.receipts if receipt.final)


class Journal(Protocol):
    """Durable on return, every one."""

    async def begin(self, submission: Submission, workflow: str, now: int, places: Places = NO_PLACES) -> None:
        """Keep a new submission, with where its plan has each instance; one that is there already stays as it is."""

    async def ordered(self, order: Order) -> None:
        """Keep an order before it is sent."""

    async def received(self, submission: Cid, receipt: Receipt) -> None:
        """Keep a final receipt; the first one for an order stays."""

    async def refused(self, submission: Cid, refusal: Refusal) -> None:
        """Keep why an order came to nothing; a later receipt for it counts all the same."""

    async def pause(self, submission: Cid, *, paused: bool) -> None:
        """Keep that its person paused a submission, or lets it go on.

        Raises:
            Conflict: it does not run; or, to go on, is not paused.
        """

    async def cancel(self, word: Cancellation) -> None:
        """Keep its person's word that a submission shall end; the first one stays.

        Raises:
            Conflict: it has ended already.
        """

    async def end(self, submission: Cid, state: State, reason: str, now: int) -> None:
        """Say how a submission ended; one that is cancelling ends cancelled, and no other does."""

    async def record(self, submission: Cid) -> Record:
        """One submission.

        Raises:
            NotFound: none of that CID.
        """

    async def records(self, person: str | None = None) -> Sequence[Record]:
        """All submissions, newest first; those of one person if given."""

    async def answered(self, most: int) -> Sequence[tuple[Order, Receipt]]:
        """The orders that got a final receipt, with it, the newest first, no more than so many."""
