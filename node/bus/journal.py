"""What the bus must not forget, as a port: submissions, the orders made for them, and the receipts that came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from catalog.cid import Cid
from workflow.order import Order
from workflow.receipt import Receipt
from workflow.submission import Submission


class State(StrEnum):
    """How far a submission is."""

    RUNNING = "running"
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


WAITING: Final = "waiting"
"""The kind of an order that goes on: its site said what it waits for."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order has no final receipt: ``kind`` is ``denied``, ``unreachable``, ``failed`` or :data:`WAITING`."""

    order: Cid
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Record:
    """A submission as the journal holds it. Times are Unix milliseconds; ``ended`` is 0 while it runs."""

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

    @property
    def spent(self) -> int:
        """What final receipts charged, in millionths."""
        return sum(receipt.cost for receipt in self.receipts if receipt.final)


class Journal(Protocol):
    """Durable on return, every one."""

    async def begin(self, submission: Submission, workflow: str, now: int) -> None:
        """Keep a new submission; one that is there already stays as it is."""

    async def ordered(self, order: Order) -> None:
        """Keep an order before it is sent."""

    async def received(self, submission: Cid, receipt: Receipt) -> None:
        """Keep a final receipt; the first one for an order stays."""

    async def refused(self, submission: Cid, refusal: Refusal) -> None:
        """Keep why an order came to nothing; a later receipt for it counts all the same."""

    async def end(self, submission: Cid, state: State, reason: str, now: int) -> None:
        """Say how a submission ended."""

    async def record(self, submission: Cid) -> Record:
        """One submission.

        Raises:
            NotFound: none of that CID.
        """

    async def records(self, person: str | None = None) -> Sequence[Record]:
        """All submissions, newest first; those of one person if given."""
