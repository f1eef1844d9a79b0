"""What happened to submissions, in order and by number, as the database noted it (:mod:`node.storage.eventschema`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import NotFound
from node.storage.database import Database
from workflow.order import Order
from workflow.receipt import Receipt

_PAGE: Final = """
SELECT event.number, event.kind, event.told, event.reason, event.at, orders.value, receipt.value
FROM event LEFT JOIN orders ON orders.cid = event.orders
LEFT JOIN receipt ON receipt.orders = event.orders AND event.kind = 'answered'
WHERE event.submission = ? AND event.number > ? ORDER BY event.number LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened as number ``number``, known here ``at`` (Unix milliseconds).

    ``kind`` is ``state``, ``ordered``, ``answered`` or ``refused``; ``told`` the new state, or the kind of the refusal.
    """

    number: int
    kind: str
    told: str
    reason: str
    at: int
    order: Order | None
    receipt: Receipt | None


@dataclass(frozen=True, slots=True)
class Told:
    """Some events of the submission of ``person``, which was in ``state`` then."""

    person: str
    state: str
    events: Sequence[Event]


class Events:
    """Reads what happened."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def after(self, submission: Cid, number: int, most: int) -> Told:
        """At most ``most`` events of a submission behind ``number``, and its state at the same moment.

        Raises:
            NotFound: none of that CID.
        """

        def work(sql: sqlite3.Connection) -> Told | None:
            row = sql.execute("SELECT person, state FROM submission WHERE cid = ?", (bytes(submission),)).fetchone()
            found = sql.execute(_PAGE, (bytes(submission), number, most)).fetchall()
            return None if row is None else Told(row[0], row[1], [_event(*each) for each in found])

        told = await self._database.run(work)
        if told is None:
            raise NotFound(f"no submission {submission} was made here; see «comity submission list»")
        return told


def _event(
    number: int, kind: str, told: str, reason: str, at: int, order: bytes | None, receipt: bytes | None
) -> Event:
    return Event(
        number=number,
        kind=kind,
        told=told,
        reason=reason,
        at=at,
        order=None if order is None else decode(Order, order),
        receipt=None if receipt is None else decode(Receipt, receipt),
    )
