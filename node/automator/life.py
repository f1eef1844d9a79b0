"""The life of an order as the audit log tells it: its stages, and what may follow what. Pure.

```text
new ──▶ asked ──▶ running ──▶ waiting ──▶ ended ──▶ ended (taken back)
 └────────┴──▶ denied    └──────────────────▲
```

Of what is not durable there is no stage: an order that is verified and decided is new until its row stands, and one
that is staged, run or collected is running; a crash leaves it there, and recovery ends it as failed. There is one
transition function, :func:`after`, and the book asks it before it writes a row: whatever else goes wrong, no second
charge and no second release of an instance is ever written down, and what is not written down is not told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from catalog.error import Conflict
from workflow.account import AccessFields, AccountFields, InquiryFields, ResultFields
from workflow.order import Instance
from workflow.receipt import Status


class Stage(StrEnum):
    """How far an order has come."""

    NEW = "new"
    ASKED = "asked"
    DENIED = "denied"
    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"


DELIVERED: Final = frozenset({Status.DONE, Status.HELD})
"""How an order ends that made something; it is charged, and its instance never attempted again."""
_UNBEGUN: Final = frozenset({Stage.NEW, Stage.ASKED})
_CLOSED: Final = frozenset({Status.DONE, Status.HELD, Status.FAILED, Status.CANCELLED})


@dataclass(frozen=True, slots=True)
class Asked:
    """Stewards are asked whether it may run."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Its intent is written: from now on data may be opened."""


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy, or a steward, said no."""


@dataclass(frozen=True, slots=True)
class Closed:
    """A result: its status, what is charged, the outputs that are let out, and those that stewards are asked about."""

    status: Status
    cost: int = 0
    let_out: frozenset[str] = frozenset()
    waits: frozenset[str] = frozenset()


Event = Asked | Begun | Denied | Closed


@dataclass(frozen=True, slots=True)
class Life:
    """Where an order stands; ``closed`` is its last result."""

    stage: Stage = Stage.NEW
    closed: Closed | None = None

    @property
    def under_way(self) -> bool:
        """Whether it has begun and delivered nothing yet."""
        return self.stage is Stage.RUNNING

    @property
    def delivered(self) -> bool:
        """Whether it made something, which is charged and may be released."""
        return self.closed is not None and self.closed.status in DELIVERED


def event_of(fields: AccountFields) -> Event | None:
    """What a row says of the life of its order; none if it says nothing of it."""
    match fields:
        case InquiryFields():
            return Asked() if fields.inquiry.value is None else None
        case AccessFields():
            return Begun() if fields.decision.allowed else Denied()
        case ResultFields():
            let_out = frozenset(name for name, kept in fields.kept.items() if kept.output.releases)
            return Closed(fields.status, fields.cost, let_out, frozenset(fields.waits))
        case _:
            return None


def life_of(access: AccessFields, result: ResultFields | None) -> Life:
    """The life of an order whose rows these are: the one that opened it, and its last result."""
    opened, closed = event_of(access), None if result is None else event_of(result)
    life = Life() if opened is None else after(Life(), opened)
    if not isinstance(closed, Closed):
        return life
    return replace(life, stage=Stage.WAITING if closed.waits else Stage.ENDED, closed=closed)


def after(life: Life, event: Event) -> Life:
    """The life once ``event`` is written down.

    Raises:
        Conflict: it may not follow; nothing of it may be written.
    """
    match event:
        case Asked() if life.stage is Stage.NEW:
            return Life(Stage.ASKED)
        case Begun() if life.stage in _UNBEGUN:
            return Life(Stage.RUNNING)
        case Denied() if life.stage in _UNBEGUN:
            return Life(Stage.DENIED)
        case Closed() if _may_close(life, event):
            return Life(Stage.WAITING if event.waits else Stage.ENDED, event)
        case _:
            raise Conflict(f"an order that is {life.stage} cannot be {_said(event)} now")


def _may_close(life: Life, event: Closed) -> bool:
    """Whether a result may follow: the first of a step that runs, or another one of what it made.

    A second result charges the same, and lets out what stewards were asked about, or takes back all that was let out.
    """
    nothing_made = not (event.cost or event.let_out or event.waits)
    if life.stage is Stage.RUNNING:
        return event.status in DELIVERED or (event.status in _CLOSED and nothing_made)
    earlier = life.closed
    if earlier is None or not life.delivered or event.status not in DELIVERED or event.cost != earlier.cost:
        return False
    taken_back = event.status is Status.HELD and not event.let_out and bool(earlier.let_out or earlier.waits)
    settled = life.stage is Stage.WAITING and earlier.let_out <= event.let_out <= earlier.let_out | earlier.waits
    return not event.waits and (taken_back or settled)


def check_attempt(instance: Instance, number: int, earlier: Iterable[tuple[int, Life]]) -> None:
    """Check that attempt ``number`` at ``instance`` may begin, after ``earlier`` ones (their numbers and lives).

    Where nothing has run yet, for stewards are asked, the same attempt may come again, signed anew.

    Raises:
        Conflict: one is under way or has delivered, or has this number or a later one.
    """
    for made, life in earlier:
        if life.delivered:
            raise Conflict(f"{instance} was delivered here before; its receipt stands")
        if life.under_way:
            raise Conflict(f"an earlier attempt at {instance} is still under way here")
        if life.stage is not Stage.ASKED and made >= number:
            raise Conflict(f"attempt {number} at {instance} was made before")


def _said(event: Event) -> str:
    match event:
        case Closed(status=status):
            return str(status)
        case _:
            return type(event).__name__.lower()
