"""Disclosure control of this site: every value that policy lets out is examined before it leaves.

What passes leaves as a value that is written anew. What does not, or cannot be checked, waits for a steward, who sees
what was found. The ledger of what left is read from the records that the audit log names; where one of them is lost,
or the log itself has lost releases, nothing leaves automatically that is about the same people.

One value is examined at a time, until its row stands (:attr:`Disclosing.turn`): two at once would pass against the
same past.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput, ComityError, VerificationFailed
from catalog.index import SiteIndex
from catalog.project import ProjectRef
from node.automator.book import AuditBook
from node.automator.release import ASKED, Candidate, Ruling
from node.automator.verify import Verified
from node.ports import Aside, Random
from privacy.disclosure.examine import Examined, Row, examine
from privacy.disclosure.ledger import Ledger, Past
from privacy.disclosure.population import Declared, Populations
from privacy.disclosure.protect import Treatment
from privacy.disclosure.reading import MAX_BYTES
from privacy.disclosure.record import Record, read_record, record_of, write_record
from privacy.disclosure.rules import Rules
from privacy.duty import DAY_MILLIS, NO_DUTIES, Duties
from workflow.account import datasets_of
from workflow.report import Report

LOST: Final[Row] = ("", "the ledger", "what was released before about the same people is lost: nobody can compare")

UNSEEN: Final[Row] = (
    "",
    "the ledger",
    "something about the same people left that another site made, and nobody here has seen it: nobody can compare",
)
"""What is found of whatever comes after that."""

UNCHECKED: Final = "it did not pass disclosure control, and belongs to others alone"
"""Why nobody is asked about an output."""


class Values(Protocol):
    """Where the outputs of steps lie (:class:`node.ports.Blobs`)."""

    async def hold(self, data: bytes, project: ProjectRef) -> Cid:
        """Store a file for ``project``; durable when it returns."""

    async def read(self, root: Cid, path: str = "", limit: int = 1 << 20) -> bytes:
        """The whole file ``root``, at most ``limit`` bytes.

        Raises:
            NotFound: not here. BadInput: a folder, or larger. VerificationFailed: damaged.
        """

    async def missing(self, root: Cid) -> Sequence[Cid]:
        """Nodes below ``root`` that are known by name and not here; empty when it is complete.

        Raises:
            VerificationFailed: damaged.
        """


class Records(Protocol):
    """Where records lie, over every restart."""

    async def keep(self, data: bytes) -> Cid:
        """Keep a record; durable when it returns."""

    async def read(self, record: Cid) -> bytes:
        """The bytes of a record.

        Raises:
            NotFound: it is lost. Damaged: it is not what its name says.
        """


@dataclass(frozen=True, slots=True)
class _Left:
    """What left at ``at`` (Unix milliseconds), by its record."""

    at: int
    record: Record


class Disclosing:
    """Disclosure control at the site whose catalog is ``here``; ``turn`` is a lock."""

    def __init__(
        self,
        here: SiteIndex,
        book: AuditBook,
        values: Values,
        records: Records,
        aside: Aside,
        turn: AbstractAsyncContextManager[object],
        random: Random,
        lasting: Callable[[], None],
    ) -> None:
        """``lasting`` is called when much was made that stays for as long as this does."""
        self.turn = turn
        self._here = here
        self._book = book
        self._values = values
        self._records = records
        self._aside = aside
        self._random = random
        self._lasting = lasting
        self._left: dict[Cid, _Left] | None = None
        self._newest: tuple[Cid, Record] | None = None
        self._lost: set[str] = set()
        self._elsewhere: set[str] = set()
        self._blind = False
        self._populations = Populations({})
        self._ledger: Ledger | None = None

    async def rule(self, verified: Verified, ruling: Ruling, now: int) -> Ruling:
        """The ruling on an output that policy lets out, now that its value was examined; within a turn.

        Raises:
            ComityError: the record of it cannot be stored.
        """
        if ruling.verdict is None:
            return await self._for_others(verified, ruling) if ruling.others else ruling
        duties, candidate = ruling.verdict.decision.duties, ruling.candidate
        found = await self._examine(candidate, self._behind(verified), duties)
        record = self._record(candidate, verified, found)
        unfulfilled = await self._unfulfilled(duties, record, found, now)
        if unfulfilled:
            return replace(ruling, label=candidate.label, held=unfulfilled, verdict=None, asks=0, others=(), report="")
        kept = await self._records.keep(write_record(record))
        self._newest = kept, record
        ruling = replace(ruling, examined=kept)
        if found.text is None:
            return replace(ruling, label=candidate.label, held=ASKED, asks=max(1, ruling.asks), report="")
        report = f"{ruling.report}; {found.line}" if ruling.report else ""
        return replace(ruling, candidate=await self._anew(verified, candidate, found.text), report=report)

    async def _for_others(self, verified: Verified, ruling: Ruling) -> Ruling:
        """The ruling on what belongs to other sites alone: checked by itself, for what left before is in their ledgers.

        What does not pass is held: no steward here has a word in it, and those who have cannot look at it.
        """
        candidate = ruling.candidate
        found = await self._examine(candidate, frozenset(), NO_DUTIES)
        if found.text is None:
            return replace(ruling, held=UNCHECKED, others=())
        return replace(ruling, candidate=await self._anew(verified, candidate, found.text), report=found.line)

    async def _anew(self, verified: Verified, candidate: Candidate, text: bytes) -> Candidate:
        """The candidate with what may leave of its value."""
        value = await self._values.hold(text, verified.case.ref)
        return replace(candidate, product=replace(candidate.product, cid=value, size=len(text)))

    async def leaves(self, record: Cid, datasets: Iterable[Cid], now: int) -> None:
        """What ``record`` says is about to leave, and counts from now on; within a turn, before the row is written."""
        left = await self._load()
        await self._take(left, record, {str(each) for each in datasets}, now)

    async def is_lost(self, value: Cid) -> bool:
        """Whether a value that was made here is here no more: a disk loses it, and no backup brings it back."""
        try:
            return bool(await self._values.missing(value))
        except VerificationFailed:
            return True

    async def left(self, datasets: Collection[str]) -> bool:
        """Whether anything about the same people left before, so that nothing unseen may follow; within a turn."""
        await self._past(datasets)
        before = {each for left in (await self._load()).values() for each in left.record.datasets}
        return self._is_lost(datasets) or self._share(before, datasets)

    async def unseen(self, report: Report, datasets: Collection[Cid], project: ProjectRef, line: str) -> Cid:
        """The record of a value that another site made and reports of, for what may be released on that.

        Raises:
            ComityError: it cannot be stored.
        """
        about, salt = map(str, datasets), self._random.token(16)
        record = record_of(report.handle, about, project, line, (), None, salt, report.site)
        return await self._records.keep(write_record(record))

    async def beyond(self, duties: Duties, record: Cid, now: int) -> str:
        """Why the value of ``record`` may not leave under these duties after all; empty if it may."""
        if not duties.quotas:
            return ""
        try:
            found = await self._read(record)
        except ComityError:
            return "the record of what it tells is lost"
        return await self._over(duties, found, now)

    # --- one value ---------------------------------------------------------------------------------------------------

    def _behind(self, verified: Verified) -> frozenset[str]:
        """The datasets of this site that the value was made from."""
        case = verified.case
        return frozenset(str(cid) for data in case.data for cid in case.evidence.owned(data, self._here.root))

    async def _examine(self, candidate: Candidate, datasets: frozenset[str], duties: Duties) -> Examined | _Unread:
        """What of a value may leave; what nobody can read is for a steward."""
        rules = Rules().with_min_cell(duties.min_cell) if duties.min_cell else Rules()
        treatment, kind = Treatment(max(1, duties.rounded), duties.whole), candidate.wanted.type
        past = await self._past(datasets)
        try:
            data = await self._values.read(candidate.product.cid, limit=MAX_BYTES)
            found = await self._aside(lambda: examine(kind, data, candidate.handle, rules, past, treatment))
        except BadInput as error:
            return _Unread("not released: it is not of a form that is checked", (("", "form", str(error)),))
        if self._is_lost(datasets):
            return replace(found, text=None, line="not released: nobody can compare", rows=(LOST, *found.rows))
        if self._share(self._elsewhere, datasets):
            return replace(found, text=None, line="not released: nobody can compare", rows=(UNSEEN, *found.rows))
        return found

    def _record(self, candidate: Candidate, verified: Verified, found: Examined | _Unread) -> Record:
        salt, datasets = self._random.token(16), self._behind(verified)
        ref = verified.case.ref
        return record_of(candidate.handle, datasets, ref, found.line, found.rows, found.release, salt)

    async def _unfulfilled(self, duties: Duties, record: Record, found: Examined | _Unread, now: int) -> str:
        """Which duty of policy the value does not keep; empty if it keeps all."""
        if duties.min_cell and found.text is None:
            return f"policy asks that no cell stands for fewer than {duties.min_cell:,}: that is not so, or not known"
        if duties.whole and found.text is None:
            return "policy lets nothing leave of what has a cell that discloses: it has one, or nobody knows"
        return await self._over(duties, record, now) if duties.quotas else ""

    async def _over(self, duties: Duties, record: Record, now: int) -> str:
        left, people = (await self._load()).values(), record.people
        for quota in duties.quotas:
            limit = f"policy lets {quota.rows:,} rows leave for a project in {quota.days} days"
            if people is None:
                return f"{limit}, and nobody can count those of this output"
            since = now - quota.days * DAY_MILLIS
            spent = _people(each.record for each in left if each.at >= since and each.record.project == record.project)
            if spent + people > quota.rows:
                return f"{limit}; {spent:,} left, and {people:,} more are too many"
        return ""

    # --- the ledger --------------------------------------------------------------------------------------------------

    async def _past(self, datasets: Collection[str]) -> Past:
        left = await self._load()
        populations = Populations.of(declared(self._here))
        if self._ledger is None or populations != self._populations:
            releases = [each.record.release for each in left.values() if each.record.release is not None]
            self._ledger = await self._aside(lambda: Ledger.of(populations, releases))
            self._lasting()
            self._populations = populations
        return self._ledger.past(datasets)

    def _is_lost(self, datasets: Collection[str]) -> bool:
        """Whether something that left about the same people is not known any more."""
        if self._blind or self._book.halts.delivered:
            return bool(datasets)
        return self._share(self._lost, datasets)

    def _share(self, some: Collection[str], others: Collection[str]) -> bool:
        """Whether datasets among ``some`` and among ``others`` are about the same people."""
        names = {self._populations.name(each) for each in others}
        return any(self._populations.name(each) in names for each in some)

    async def _load(self) -> dict[Cid, _Left]:
        """What left, by the audit log."""
        if self._left is None:
            left: dict[Cid, _Left] = {}
            for each in self._book.ledger.examinations.all():
                if each.released and each.fields is None:
                    self._blind = True
                elif each.released and each.fields is not None:
                    about = {str(cid) for cid in datasets_of(each.fields.chain)}
                    await self._take(left, each.record, about, each.at)
            self._left = left
        return self._left

    async def _take(self, left: dict[Cid, _Left], record: Cid, about: set[str], at: int) -> None:
        try:
            found = await self._read(record)
        except ComityError:
            self._lost |= about
            return
        left[record] = _Left(at, found)
        if found.holder is not None:
            self._elsewhere.update(found.datasets)
        ledger, release = self._ledger, found.release
        if ledger is not None and release is not None:
            await self._aside(lambda: ledger.record(release))

    async def _read(self, record: Cid) -> Record:
        if self._newest is not None and self._newest[0] == record:
            return self._newest[1]
        data = await self._records.read(record)
        return await self._aside(lambda: read_record(data))


@dataclass(frozen=True, slots=True)
class _Unread:
    """What was found of a value that nobody can read."""

    line: str
    rows: tuple[Row, ...]
    text: None = None
    release: None = None


def _people(records: Iterable[Record]) -> int:
    return sum(record.people or 0 for record in records)


def declared(here: SiteIndex) -> list[Declared]:
    """What a site's catalog says of the people behind its datasets: the versions of one name share them."""
    named: dict[str, list[DatasetFields]] = {}
    for entry in here.entries("dataset"):
        if isinstance(entry.fields, DatasetFields):
            named.setdefault(entry.fields.name, []).append(entry.fields)
    return [
        Declared(
            dataset=str(each.cid),
            population=each.population,
            shares=(str(versions[0].cid),),
            columns={column: frozenset(values) for column, values in each.columns.items()},
        )
        for versions in named.values()
        for each in versions
    ]
