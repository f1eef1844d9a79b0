"""The bus's journal over the site's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import cid_of, decode, encode
from catalog.error import Conflict, NotFound
from node.bus.journal import Record, Refusal, State
from node.storage.database import Database
from workflow.cancellation import Cancellation
from workflow.order import Order
from workflow.plan.draft import NO_PLACES, Places
from workflow.receipt import Receipt
from workflow.submission import Submission

_RECORD = "SELECT cid, value, workflow, state, reason, began, ended FROM submission"

_FORGET = [
    f"DELETE FROM {table} WHERE submission IN (SELECT cid FROM submission WHERE person = ? AND ended > 0 AND ended < ?)"  # noqa: S608
    for table in ("orders", "receipt", "refusal", "cancellation", "placement")
]


class SubmissionJournal:
    """The ``Journal`` port: submissions, their orders, the receipts that came. ``changed`` is called after a change."""

    def __init__(self, database: Database, changed: Callable[[], None]) -> None:
        self._database = database
        self._changed = changed

    async def begin(self, submission: Submission, workflow: str, now: int, places: Places = NO_PLACES) -> None:
        """Keep a new submission, with where its plan has each instance; one that is there already stays as it is."""
        row = (bytes(cid_of(submission)), encode(submission), workflow, submission.person, State.RUNNING, "", now, 0)
        placed = msgspec.json.encode([(step, shard, site) for (step, shard), site in places.items()])

        def work(sql: sqlite3.Connection) -> None:
            sql.execute("INSERT OR IGNORE INTO submission VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            sql.execute("INSERT OR IGNORE INTO placement VALUES (?, ?)", (row[0], placed))

        await self._database.run(work)
        self._changed()

    async def ordered(self, order: Order) -> None:
        """Keep an order before it is sent."""
        row = (bytes(cid_of(order)), bytes(order.submission), encode(order))
        await self._database.run(lambda sql: sql.execute("INSERT OR IGNORE INTO orders VALUES (?, ?, ?)", row))
        self._changed()

    async def received(self, submission: Cid, receipt: Receipt) -> None:
        """Keep a final receipt; the first one for an order stays."""
        row = (bytes(receipt.order), bytes(submission), encode(receipt))
        await self._database.run(lambda sql: sql.execute("INSERT OR IGNORE INTO receipt VALUES (?, ?, ?)", row))
        self._changed()

    async def refused(self, submission: Cid, refusal: Refusal) -> None:
        """Keep why an order came to nothing; the newest reason stays."""
        row = (bytes(refusal.order), bytes(submission), refusal.kind, refusal.reason)
        await self._database.run(lambda sql: sql.execute("REPLACE INTO refusal VALUES (?, ?, ?, ?)", row))
        self._changed()

    async def pause(self, submission: Cid, *, paused: bool) -> None:
        """Keep that its person paused a submission, or lets it go on.

        Raises:
            Conflict: it does not run; or, to go on, is not paused.
        """
        before, after = (State.RUNNING, State.PAUSED) if paused else (State.PAUSED, State.RUNNING)
        row = (after, bytes(submission), before)
        found = await self._database.run(
            lambda sql: sql.execute("UPDATE submission SET state = ? WHERE cid = ? AND state = ?", row).rowcount
        )
        if not found:
            raise Conflict(f"the submission {submission} is not {before}; see «comity submission show»")
        self._changed()

    async def cancel(self, word: Cancellation) -> None:
        """Keep its person's word that a submission shall end; the first one stays.

        Raises:
            Conflict: it has ended already.
        """

        def work(sql: sqlite3.Connection) -> int:
            cid = bytes(word.submission)
            row = (State.CANCELLING, cid, State.RUNNING, State.PAUSED, State.CANCELLING)
            found = sql.execute("UPDATE submission SET state = ? WHERE cid = ? AND state IN (?, ?, ?)", row).rowcount
            if found:
                sql.execute("INSERT OR IGNORE INTO cancellation VALUES (?, ?)", (cid, encode(word)))
            return found

        if not await self._database.run(work):
            raise Conflict(f"the submission {word.submission} has ended already; see «comity submission show»")
        self._changed()

    async def end(self, submission: Cid, state: State, reason: str, now: int) -> None:
        """Say how a submission ended; one that is cancelling ends cancelled, and no other does."""
        cancelled = state is State.CANCELLED
        row = (str(state), reason, now, bytes(submission), State.CANCELLING, State.CANCELLED, cancelled)
        await self._database.run(
            lambda sql: sql.execute(
                "UPDATE submission SET state = ?, reason = ?, ended = ? WHERE cid = ? AND (state IN (?, ?)) = ?", row
            )
        )
        self._changed()

    async def record(self, submission: Cid) -> Record:
        """One submission.

        Raises:
            NotFound: none of that CID.
        """

        def work(sql: sqlite3.Connection) -> Record | None:
            row = sql.execute(f"{_RECORD} WHERE cid = ?", (bytes(submission),)).fetchone()
            return None if row is None else _record(sql, row)

        found = await self._database.run(work)
        if found is None:
            raise NotFound(f"no submission {submission} was made here; see «comity submission list»")
        return found

    async def records(self, person: str | None = None) -> Sequence[Record]:
        """All submissions, newest first; those of one person if given."""

        def work(sql: sqlite3.Connection) -> list[Record]:
            rows = sql.execute(f"{_RECORD} WHERE ?1 IS NULL OR person = ?1 ORDER BY began DESC", (person,)).fetchall()
            return [_record(sql, row) for row in rows]

        return await self._database.run(work)

    async def answered(self, most: int) -> Sequence[tuple[Order, Receipt]]:
        """The orders that got a final receipt, with it, the newest first, no more than so many."""
        query = (
            "SELECT orders.value, receipt.value FROM receipt JOIN orders ON orders.cid = receipt.orders"
            " ORDER BY receipt.rowid DESC LIMIT ?"
        )
        rows = await self._database.run(lambda sql: sql.execute(query, (most,)).fetchall())
        return [(decode(Order, order), decode(Receipt, receipt)) for order, receipt in rows]

    async def forget(self, unknown: Callable[[str], bool], before: int) -> tuple[int, int]:
        """Erase the submissions, with all about them, of every person who is ``unknown``.

        Only those are erased that ended ``before`` (Unix milliseconds). How many were, and how many are left.
        """
        people = await self._database.run(
            lambda sql: [row[0] for row in sql.execute("SELECT DISTINCT person FROM submission")]
        )
        gone = [(person, before) for person in people if unknown(person)]

        def work(sql: sqlite3.Connection) -> int:
            for statement in _FORGET:
                sql.executemany(statement, gone)
            return sql.executemany("DELETE FROM submission WHERE person = ? AND ended > 0 AND ended < ?", gone).rowcount

        if not gone:
            return 0, 0
        count = await self._database.erase(work)
        left = "SELECT count(*) FROM submission WHERE person = ?"
        rest = await self._database.run(lambda sql: sum(sql.execute(left, (who,)).fetchone()[0] for who, _ in gone))
        self._changed()
        return count, rest


def _record(sql: sqlite3.Connection, row: tuple[bytes, bytes, str, str, str, int, int]) -> Record:
    cid, value, workflow, state, reason, began, ended = row
    orders = sql.execute("SELECT value FROM orders WHERE submission = ?", (cid,)).fetchall()
    receipts = sql.execute("SELECT value FROM receipt WHERE submission = ?", (cid,)).fetchall()
    word = sql.execute("SELECT value FROM cancellation WHERE submission = ?", (cid,)).fetchone()
    placed = sql.execute("SELECT value FROM placement WHERE submission = ?", (cid,)).fetchone()
    refusals = sql.execute("SELECT orders, kind, reason FROM refusal WHERE submission = ?", (cid,)).fetchall()
    return Record(
        cid=Cid.from_bytes(cid),
        submission=decode(Submission, value),
        workflow=workflow,
        state=State(state),
        reason=reason,
        began=began,
        ended=ended,
        orders=[decode(Order, data) for (data,) in orders],
        receipts=[decode(Receipt, data) for (data,) in receipts],
        refusals=[Refusal(Cid.from_bytes(order), kind, reason) for order, kind, reason in refusals],
        word=decode(Cancellation, word[0]) if word is not None else None,
        places=_places(placed[0]) if placed is not None else NO_PLACES,
    )


def _places(value: bytes) -> Places:
    placed = msgspec.json.decode(value, type=list[tuple[str, int, str]])
    return {(step, shard): site for step, shard, site in placed}
