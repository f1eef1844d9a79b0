"""The ledger of a large audit log: the projection of ``node/automator/ledger.py`` in a SQLite file beside the log.

It holds places alone, under hashes of what they are about: bodies are read from the log, so that what is erased there
is gone here. Deleted or damaged it is rebuilt from the log; after a crash it is fed what it lacks.

Its methods answer at once, in the event loop: each is a few indexed reads of a local file, tens of microseconds, and
nothing may come between a line's links and its place. Writes are not flushed one by one, for the log is the truth.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import trio

from catalog.body import Body, fields_of, read_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import ComityError, Conflict, Damaged
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.project import ProjectRef
from node.automator.ledger import Attempt
from node.storage.examinations import SCHEMA as EXAMINATIONS
from node.storage.examinations import DiskExaminations
from node.storage.inquiries import SCHEMA as INQUIRIES
from node.storage.inquiries import DiskInquiries
from node.storage.places import Places
from node.storage.reports import SCHEMA as REPORTS
from node.storage.reports import DiskReports
from node.storage.stored import StoredLog
from node.storage.traces import DiskTraces
from workflow.account import (
    ACCOUNTS,
    NOTED,
    AccessFields,
    AccountFields,
    ApprovalFields,
    EntryFields,
    InquiryFields,
    Link,
    ReadFields,
    ReleaseFields,
    ResultFields,
    Side,
    datasets_of,
)
from workflow.order import Instance

_VERSION: Final = 5
_COMMIT_EVERY: Final = 1000
_RECENT: Final = 1024
_FEED: Final = 4096
_LOOKED_THROUGH: Final = 1000
_ASKED: Final = 2
"""In the place of «denied»: stewards are asked before it begins."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (subject BLOB, leaf INTEGER, at INTEGER NOT NULL, PRIMARY KEY (subject, leaf))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS head (subject BLOB PRIMARY KEY, leaf INTEGER NOT NULL, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (orders BLOB PRIMARY KEY, instance BLOB NOT NULL, submission BLOB NOT NULL,
  leaf INTEGER NOT NULL, denied INTEGER NOT NULL, closed INTEGER) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS attempts_at ON attempt (instance, leaf);
CREATE INDEX IF NOT EXISTS attempts_of ON attempt (submission, leaf);
CREATE INDEX IF NOT EXISTS attempts_open ON attempt (leaf) WHERE closed IS NULL AND denied = 0;
CREATE TABLE IF NOT EXISTS question (cid BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trace (project BLOB, cid BLOB, dataset INTEGER, PRIMARY KEY (project, cid, dataset))
  WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS received (orders BLOB PRIMARY KEY) WITHOUT ROWID;
"""


_ONE_MORE: Final = """
INSERT INTO head VALUES (?, ?, 1) ON CONFLICT (subject) DO UPDATE SET leaf = excluded.leaf, count = count + 1
"""


class DiskLedger:
    """The ledger of ``log`` in the file ``path``. Made by :meth:`open`."""

    def __init__(self, path: Path, log: StoredLog, connection: sqlite3.Connection) -> None:
        self._log = log
        self._sql = connection
        self._recent: OrderedDict[Cid, Attempt] = OrderedDict()
        places = Places(self._all, self._write, log.peek)
        self.inquiries = DiskInquiries(places)
        self.reports = DiskReports(places)
        self.examinations = DiskExaminations(places)
        self._pending = 0
        self._upto = 0
        self._newest = 0
        self._last = b""
        self.path = path
        self.recovered = ""

    @classmethod
    async def open(cls, path: Path, log: StoredLog) -> Self:
        """The ledger of ``log``, brought up to it; ``recovered`` says so if it had to be made anew.

        Raises:
            Damaged: a body of the log is damaged.
        """
        ledger = await cls._fitting(path, log)
        if ledger is None:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            ledger = cls(path, log, await trio.to_thread.run_sync(connect, path))
            ledger.recovered = f"{path.name} was damaged or of another log, and was made anew from the audit log"
        await ledger._feed()
        return ledger

    @classmethod
    async def _fitting(cls, path: Path, log: StoredLog) -> Self | None:
        """The ledger that is there, unless it is damaged or was fed with another log."""
        try:
            ledger = cls(path, log, await trio.to_thread.run_sync(connect, path))
        except sqlite3.DatabaseError:
            return None
        with suppress(Damaged):
            if await ledger._fits():
                return ledger
        ledger._sql.close()
        return None

    def close(self) -> None:
        """Keep what was taken, and close the file."""
        self._commit()
        self._sql.close()

    async def _fits(self) -> bool:
        """Whether the file was fed with this log: the same name, no longer, and its last body the same."""
        upto = self._number("upto", 0)
        if upto == 0:
            return True
        if self._state("origin") != self._log.origin.encode() or self._number("version", 0) != _VERSION:
            return False
        if upto > self._log.size:
            return False
        stored = await self._log.body(upto - 1)
        return stored is None or hashlib.sha256(stored[1]).digest() == self._state("last")

    async def _feed(self) -> None:
        start, self._newest = self._number("upto", 0), self._number("newest", 0)
        for first in range(start, self._log.size, _FEED):
            stop = min(first + _FEED, self._log.size)
            bodies = [None if each is None else each[1] for _, each in await self._log.read(first, stop)]
            pruned = await self._log.pruned(first, stop)
            await trio.to_thread.run_sync(self._take_all, first, bodies, pruned)
        self._commit()

    def _take_all(self, first: int, bodies: Sequence[bytes | None], pruned: Mapping[int, Sequence[bytes]]) -> None:
        for index, body in enumerate(bodies, first):
            if body is not None:
                self._take(index, read_body(body), body)
            elif index in pruned:
                self._take_pruned(index, pruned[index])
        self._commit(first + len(bodies))

    def _take_pruned(self, index: int, subjects: Sequence[bytes]) -> None:
        """Of what was pruned there is nothing to know but that it stands in these chains."""
        if not self._pending:
            self._write("BEGIN")
        self._pending += 1
        keys = [(subject, index) for subject in subjects]
        self._write_all("INSERT OR IGNORE INTO row VALUES (?, ?, 0)", keys)
        self._write_all(_ONE_MORE, keys)

    def take(self, index: int, body: Body) -> None:
        """Take the body at ``index``; see :class:`node.automator.ledger.Projection` for this and what follows."""
        self._take(index, body, encode(body))
        if self._pending >= _COMMIT_EVERY:
            self._commit()

    def _take(self, index: int, body: Body, data: bytes) -> None:
        kind = ACCOUNTS.get(body.kind)
        if not self._pending:
            self._write("BEGIN")
        self._pending += 1
        self._newest = max(self._newest, body.at)
        if kind is not None:
            fields: AccountFields = fields_of(body, kind)
            self._link(index, body.at, fields)
            self._remember(index, body, fields)
        self._upto, self._last = index + 1, data

    def _link(self, index: int, at: int, fields: AccountFields) -> None:
        keys = [(subject_hash(subject), index, link.count) for subject, link in fields.chain.items()]
        self._write_all("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", keys)
        self._write_all("INSERT OR IGNORE INTO row VALUES (?, ?, ?)", ((key, leaf, at) for key, leaf, _ in keys))

    def _remember(self, index: int, body: Body, fields: AccountFields) -> None:
        if isinstance(fields, InquiryFields):
            self.inquiries.ask(index, fields)
        self.examinations.take(index, fields)
        match fields:
            case InquiryFields(inquiry=inquiry) if inquiry.value is not None:
                pass  # its order has run
            case AccessFields():
                denied = _ASKED if isinstance(fields, InquiryFields) else int(not fields.decision.allowed)
                self._trace(fields.project, fields.copies, datasets_of(fields.chain))
                values = (bytes(fields.order), _key(fields.instance), bytes(fields.instance.submission), index, denied)
                self._write("INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?, ?, NULL)", values)
                self._keep(Attempt(index, body.at, fields))
            case ResultFields():
                self._write("UPDATE attempt SET closed = ? WHERE orders = ?", (index, bytes(fields.order)))
                opened = self._opened(fields)
                if opened is not None:
                    made = [cid for cid, _ in fields.held]
                    self._trace(opened.access.project, made, datasets_of(fields.chain))
                    self._keep(replace(opened, result=fields, ended=body.at, closed=index))
            case ReleaseFields():
                self._release(index, fields)
            case ReadFields():
                self._write("INSERT OR IGNORE INTO question VALUES (?)", (bytes(Cid.of(fields.question)),))
            case ApprovalFields():
                self.inquiries.answer(index, fields)
            case EntryFields() if body.kind in NOTED:
                self._set("noted", max(self.noted, fields.entry))
            case _:
                pass

    def _release(self, index: int, fields: ReleaseFields) -> None:
        if fields.reported is not None:
            self.reports.take(index, fields)
        elif fields.side is Side.RECIPIENT:
            self._write("INSERT OR IGNORE INTO received VALUES (?)", (bytes(fields.order),))

    def _opened(self, result: ResultFields) -> Attempt | None:
        """The attempt that a result ends, unless its intent was erased."""
        with suppress(Conflict):
            return self._recent.get(result.order) or self._read(result.intent, None)
        return None

    def _trace(self, project: ProjectRef, values: Iterable[Cid], datasets: Iterable[Cid]) -> None:
        name = encode(project)
        rows = [*((name, bytes(cid), 0) for cid in values), *((name, bytes(cid), 1) for cid in datasets)]
        self._write_all("INSERT OR IGNORE INTO trace VALUES (?, ?, ?)", rows)

    def _keep(self, attempt: Attempt) -> None:
        """What was written just now may not be in the log yet; what is there is read from there."""
        self._recent[attempt.access.order] = attempt
        self._recent.move_to_end(attempt.access.order)
        while len(self._recent) > _RECENT:
            oldest = next(iter(self._recent.values()))
            if max(oldest.index, oldest.closed) >= self._log.size:
                break
            self._recent.popitem(last=False)

    def attempt(self, order: Cid) -> Attempt | None:
        """What became of an order.

        Raises:
            Conflict: its rows were erased; an order of that age is not carried out again.
        """
        recent = self._recent.get(order)
        if recent is not None:
            return recent
        row = self._one("SELECT leaf, closed FROM attempt WHERE orders = ?", bytes(order))
        return None if row is None else self._read(row[0], row[1])

    def attempts(self, instance: Instance) -> list[Attempt]:
        """Every attempt at an instance, in the order in which they came."""
        query = "SELECT orders FROM attempt WHERE instance = ? ORDER BY leaf"
        orders = [Cid.from_bytes(row[0]) for row in self._all(query, _key(instance))]
        return [attempt for order in orders if (attempt := self.attempt(order)) is not None]

    def submitted(self, submission: Cid) -> list[Attempt]:
        """Every attempt at an instance of a submission, as far as their bodies are still in the log."""
        return list(self._standing("submission = ?", bytes(submission)))

    def open_attempts(self) -> Iterator[Attempt]:
        """Attempts with an intent and no result."""
        return self._standing("closed IS NULL AND denied = 0")  # an intent that was erased ends nothing any more

    def _standing(self, which: str, *values: object) -> Iterator[Attempt]:
        query = f"SELECT orders FROM attempt WHERE {which} ORDER BY leaf"  # noqa: S608  # this file's words alone
        for order in [Cid.from_bytes(row[0]) for row in self._all(query, *values)]:
            with suppress(Conflict):
                if (attempt := self.attempt(order)) is not None:
                    yield attempt

    def ended(self) -> Iterator[Attempt]:
        """Every attempt with its result, as far as their bodies are still in the log."""
        query = "SELECT leaf, closed FROM attempt WHERE closed IS NOT NULL ORDER BY closed"
        for leaf, closed in self._all(query):
            with suppress(Conflict):
                yield self._read(leaf, closed)

    def chain(self, subjects: Sequence[str]) -> dict[str, Link]:
        """The links of a new body about these subjects."""
        links = {}
        for subject in subjects:
            query = "SELECT leaf, count FROM head WHERE subject = ?"
            row = self._one(query, subject_hash(subject))
            links[subject] = Link(before=row[0], count=row[1] + 1) if row else Link(before=None, count=1)
        return links

    def rows(self, subject: str, start: int, stop: int, most: int) -> list[int]:
        """The indexes from ``start`` up to ``stop`` of the leaves about a subject, oldest first, at most ``most``."""
        query = "SELECT leaf FROM row WHERE subject = ? AND leaf >= ? AND leaf < ? ORDER BY leaf LIMIT ?"
        return [row[0] for row in self._all(query, subject_hash(subject), start, stop, most)]

    def older(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are older than ``at``, newest first."""
        query = "SELECT leaf FROM row WHERE subject = ? AND leaf < ? AND at < ? ORDER BY leaf DESC LIMIT ?"
        return (row[0] for row in self._all(query, subject_hash(subject), stop, at, _LOOKED_THROUGH))

    def newer(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are newer than ``at``, oldest first."""
        query = "SELECT leaf FROM row WHERE subject = ? AND leaf < ? AND at > ? ORDER BY leaf LIMIT ?"
        return (row[0] for row in self._all(query, subject_hash(subject), stop, at, _LOOKED_THROUGH))

    def heads(self) -> HeadMap:
        """The last row of every chain."""
        rows = self._all("SELECT subject, leaf, count FROM head ORDER BY subject")
        return HeadMap.of(Head(subject=subject, index=leaf, count=count) for subject, leaf, count in rows)

    def asked(self, question: Cid) -> bool:
        """Whether a signed question was written down here before."""
        return self._has("SELECT 1 FROM question WHERE cid = ?", question)

    def received(self, order: Cid) -> bool:
        """Whether the releases of another site's receipt for ``order`` were written down here before."""
        return self._has("SELECT 1 FROM received WHERE orders = ?", order)

    @property
    def noted(self) -> int:
        """Up to which place the entries of this site's catalog were noted here, that place included; -1 for none."""
        return self._number("noted", -1)

    @property
    def newest(self) -> int:
        """The time of the newest row, Unix milliseconds; 0 for none, or if its body is gone."""
        return self._newest

    @property
    def traces(self) -> DiskTraces:
        """What the projects have left at this site."""
        return DiskTraces(self._all)

    def adopt(self, rows: Sequence[tuple[bytes, int, int]], upto: int, last: tuple[bytes, bytes] | None) -> None:
        """Take (subject's hash, leaf, time) of all rows up to ``upto``, as if the log had been fed, its orders apart.

        For logs that are made to measure. ``last`` are the salt and body of the last leaf.
        """
        self._sql.execute("BEGIN")
        self._write_all("INSERT OR IGNORE INTO row VALUES (?, ?, ?)", rows)
        self._write("INSERT OR REPLACE INTO head SELECT subject, max(leaf), count(*) FROM row GROUP BY subject")
        self._pending, self._upto, self._last = 1, upto, last[1] if last is not None else b""
        self._commit()

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return next(iter(self._all(query, *values)), None)

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._whole():
            return self._sql.execute(query, values).fetchall()

    def _write(self, query: str, values: Sequence[object] = ()) -> None:
        with self._whole():
            self._sql.execute(query, values)

    def _write_all(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        with self._whole():
            self._sql.executemany(query, rows)

    @contextmanager
    def _whole(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ComityError(f"{self.path} could not be used ({error}); free space or check the disk") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(
                f"{self.path} is damaged ({error}); delete it and restart the node, which makes it anew from its log"
            ) from error

    def _has(self, query: str, cid: Cid) -> bool:
        return self._one(query, bytes(cid)) is not None

    def _read(self, leaf: int, closed: int | None) -> Attempt:
        opened = self._body(leaf)
        kind = InquiryFields if opened.kind == "inquiry" else AccessFields
        attempt = Attempt(leaf, opened.at, fields_of(opened, kind))
        if closed is None:
            return attempt
        ended = self._body(closed)
        return replace(attempt, result=fields_of(ended, ResultFields), ended=ended.at, closed=closed)

    def _body(self, leaf: int) -> Body:
        data = self._log.peek(leaf)
        if data is None:
            raise Conflict(f"what became of that order stood in leaf {leaf} of the audit log, which was erased")
        return read_body(data)

    def _commit(self, upto: int | None = None) -> None:
        if not self._pending and upto is None:
            return
        if not self._pending:
            self._write("BEGIN")
        self._set("version", _VERSION)
        self._set("upto", self._upto if upto is None else upto)
        self._set("newest", self._newest)
        self._write("INSERT OR REPLACE INTO state VALUES ('origin', ?)", (self._log.origin.encode(),))
        last = hashlib.sha256(self._last).digest()
        self._write("INSERT OR REPLACE INTO state VALUES ('last', ?)", (last,))
        self._write("COMMIT")
        self._pending = 0

    def _set(self, name: str, value: int) -> None:
        self._write("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value.to_bytes(8, "big")))

    def _number(self, name: str, default: int) -> int:
        value = self._state(name)
        return default if value is None else int.from_bytes(value, "big")

    def _state(self, name: str) -> bytes | None:
        row = self._one("SELECT value FROM state WHERE name = ?", name)
        if row is None:
            return None
        if not isinstance(row[0], bytes):
            raise Damaged(f"{self.path} is damaged; delete it, it is made anew from the audit log")
        return row[0]


def _key(instance: Instance) -> bytes:
    return hashlib.sha256(encode(instance)).digest()


def connect(path: Path) -> sqlite3.Connection:
    """The file of a ledger, made if there is none."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Without a flush at each commit, a crash of the machine loses the last ones and never damages the file.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
        connection.executescript(_SCHEMA + INQUIRIES + REPORTS + EXAMINATIONS)
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
