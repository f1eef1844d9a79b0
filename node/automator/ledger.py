"""What the audit log says so far: attempts, results, held outputs, chains. A projection, rebuilt from the log alone.

Nothing that safety needs lives only here: feed it the log again and it is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from catalog.body import Body, fields_of
from catalog.cid import Cid
from catalog.headmap import Head, HeadMap, subject_hash
from catalog.project import ProjectRef
from node.automator.examinations import Examinations, MemoryExaminations
from node.automator.inquiries import Inquiries, MemoryInquiries
from node.automator.life import Life, Stage, life_of
from node.automator.reports import MemoryReports, Reports
from node.automator.trace import Trace, Traces
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One order as the log knows it: its inquiry, intent or denial at ``index``, and its result if it has ended.

    ``began`` and ``ended`` are the times in these bodies, Unix milliseconds; ``closed`` is the result's index.
    """

    index: int
    began: int
    access: AccessFields
    result: ResultFields | None = None
    ended: int = 0
    closed: int = 0

    @property
    def life(self) -> Life:
        """How far it has come."""
        return life_of(self.access, self.result)

    @property
    def denied(self) -> bool:
        """Whether it was refused before anything ran."""
        return self.life.stage is Stage.DENIED

    @property
    def asked(self) -> InquiryFields | None:
        """What stewards are asked before it begins; none if it has begun, or was denied."""
        return self.access if isinstance(self.access, InquiryFields) else None

    @property
    def waits_for_stewards(self) -> bool:
        """Whether it waits for people before it begins, or with what it made."""
        return self.life.stage in (Stage.ASKED, Stage.WAITING)


class Left(Protocol):
    """What the projects have left at this site (:class:`node.automator.trace.Traces`)."""

    def of(self, project: ProjectRef) -> Trace:
        """What there is of ``project``; empty if no step of it came here."""

    def projects(self) -> Iterator[ProjectRef]:
        """Every project of which a step came here."""


class Projection(Protocol):
    """What the automator, the book and the audit desk ask of the audit log; a place may still be on its way to disk.

    Every method answers at once: a line gets its place and its links in one go, with no other line in between.
    """

    def take(self, index: int, body: Body) -> None:
        """Take the body at ``index``.

        Raises:
            VerificationFailed: it is not of its kind's shape.
        """

    def attempt(self, order: Cid) -> Attempt | None:
        """What became of an order."""

    def attempts(self, instance: Instance) -> list[Attempt]:
        """Every attempt at an instance, in the order in which they came."""

    def submitted(self, submission: Cid) -> list[Attempt]:
        """Every attempt at an instance of a submission, in the order in which they came."""

    def open_attempts(self) -> Iterator[Attempt]:
        """Attempts with an intent and no result: those that were running when the log ended."""

    def ended(self) -> Iterator[Attempt]:
        """Every attempt with its result."""

    def chain(self, subjects: Sequence[str]) -> dict[str, Link]:
        """The links of a new body about these subjects."""

    def rows(self, subject: str, start: int, stop: int, most: int) -> list[int]:
        """The indexes from ``start`` up to ``stop`` of the leaves about a subject, oldest first, at most ``most``."""

    def older(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are older than ``at``, newest first."""

    def newer(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are newer than ``at``, oldest first."""

    def heads(self) -> HeadMap:
        """The last row of every chain."""

    def asked(self, question: Cid) -> bool:
        """Whether a signed question was written down here before."""

    def received(self, order: Cid) -> bool:
        """Whether the releases of another site's receipt for ``order`` were written down here before."""

    @property
    def noted(self) -> int:
        """Up to which place the entries of this site's catalog were noted here, that place included; -1 for none."""

    @property
    def newest(self) -> int:
        """The time of the newest row, Unix milliseconds; 0 for none, or if its body is gone."""

    @property
    def traces(self) -> Left:
        """What the projects have left at this site."""

    @property
    def inquiries(self) -> Inquiries:
        """What stewards of this site were asked."""

    @property
    def reports(self) -> Reports:
        """What this site released on other sites' reports."""

    @property
    def examinations(self) -> Examinations:
        """What disclosure control found in what left, or waited for stewards."""


class Ledger:
    """The state of all orders at this site in memory, fed with the audit log's bodies in order."""

    def __init__(self) -> None:
        self._orders: dict[Cid, Attempt] = {}
        self._instances: dict[Instance, list[Cid]] = {}
        self._rows: dict[str, list[tuple[int, int]]] = {}
        self._counts: dict[str, int] = {}
        self._questions: set[Cid] = set()
        self._received: set[Cid] = set()
        self._noted = -1
        self._newest = 0
        self._traces = Traces()
        self._inquiries = MemoryInquiries()
        self._reports = MemoryReports()
        self._examinations = MemoryExaminations()

    def take(self, index: int, body: Body) -> None:
        """Take the body at ``index``.

        Raises:
            VerificationFailed: it is not of its kind's shape.
        """
        self._newest = max(self._newest, body.at)
        kind = ACCOUNTS.get(body.kind)
        if kind is None:
            return
        fields: AccountFields = fields_of(body, kind)
        self._examinations.take(index, body.at, fields)
        for subject, link in fields.chain.items():
            self._rows.setdefault(subject, []).append((index, body.at))
            self._counts[subject] = link.count
        match fields:
            case InquiryFields() if fields.inquiry.value is not None:
                self._inquiries.ask(body.at, fields)  # its order has run
            case AccessFields():
                self._open(index, body.at, fields)
            case ResultFields():
                self._close(index, body.at, fields)
            case ReleaseFields():
                self._release(index, fields)
            case ReadFields():
                self._questions.add(Cid.of(fields.question))
            case ApprovalFields():
                self._inquiries.answer(fields)
            case EntryFields() if body.kind in NOTED:
                self._noted = max(self._noted, fields.entry)
            case _:
                pass

    def _open(self, index: int, at: int, fields: AccessFields) -> None:
        if isinstance(fields, InquiryFields):
            self._inquiries.ask(at, fields)
        if fields.order not in self._orders:  # else stewards were asked before
            self._instances.setdefault(fields.instance, []).append(fields.order)
        self._orders[fields.order] = Attempt(index, at, fields)
        self._traces.add(fields.project, fields.copies, map(str, datasets_of(fields.chain)))

    def _release(self, index: int, fields: ReleaseFields) -> None:
        if fields.reported is not None:
            self._reports.take(index, fields)
        elif fields.side is Side.RECIPIENT:
            self._received.add(fields.order)

    def _close(self, index: int, at: int, fields: ResultFields) -> None:
        attempt = self._orders.get(fields.order)
        if attempt is not None:  # its intent may have been erased
            self._orders[fields.order] = replace(attempt, result=fields, ended=at, closed=index)
            made = (cid for cid, _ in fields.held)
            self._traces.add(attempt.access.project, made, map(str, datasets_of(fields.chain)))

    def attempt(self, order: Cid) -> Attempt | None:
        """What became of an order."""
        return self._orders.get(order)

    def attempts(self, instance: Instance) -> list[Attempt]:
        """Every attempt at an instance, in the order in which they came."""
        return [self._orders[order] for order in self._instances.get(instance, ())]

    def submitted(self, submission: Cid) -> list[Attempt]:
        """Every attempt at an instance of a submission, in the order in which they came."""
        return [each for each in self._orders.values() if each.access.instance.submission == submission]

    def open_attempts(self) -> Iterator[Attempt]:
        """Attempts with an intent and no result: those that were running when the log ended."""
        return (attempt for attempt in self._orders.values() if attempt.life.under_way)

    def ended(self) -> Iterator[Attempt]:
        """Every attempt with its result."""
        return (attempt for attempt in self._orders.values() if attempt.result is not None)

    def chain(self, subjects: Sequence[str]) -> dict[str, Link]:
        """The links of a new body about these subjects."""
        return {
            subject: Link(
                before=rows[-1][0] if (rows := self._rows.get(subject)) else None, count=self._count(subject) + 1
            )
            for subject in subjects
        }

    def rows(self, subject: str, start: int, stop: int, most: int) -> list[int]:
        """The indexes from ``start`` up to ``stop`` of the leaves about a subject, oldest first, at most ``most``."""
        rows = (index for index, _ in self._rows.get(subject, ()) if start <= index < stop)
        return list(islice(rows, most))

    def older(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are older than ``at``, newest first."""
        return (index for index, then in reversed(self._rows.get(subject, [])) if index < stop and then < at)

    def newer(self, subject: str, at: int, stop: int) -> Iterator[int]:
        """The indexes below ``stop`` of leaves about a subject that are newer than ``at``, oldest first."""
        return (index for index, then in self._rows.get(subject, ()) if index < stop and then > at)

    def heads(self) -> HeadMap:
        """The last row of every chain."""
        return HeadMap.of(
            Head(subject=subject_hash(subject), index=rows[-1][0], count=self._count(subject))
            for subject, rows in self._rows.items()
        )

    def asked(self, question: Cid) -> bool:
        """Whether a signed question was written down here before."""
        return question in self._questions

    def received(self, order: Cid) -> bool:
        """Whether the releases of another site's receipt for ``order`` were written down here before."""
        return order in self._received

    @property
    def noted(self) -> int:
        """Up to which place the entries of this site's catalog were noted here, that place included; -1 for none."""
        return self._noted

    @property
    def newest(self) -> int:
        """The time of the newest row, Unix milliseconds; 0 for none, or if its body is gone."""
        return self._newest

    @property
    def traces(self) -> Left:
        """What the projects have left at this site."""
        return self._traces

    @property
    def inquiries(self) -> Inquiries:
        """What stewards of this site were asked."""
        return self._inquiries

    @property
    def reports(self) -> Reports:
        """What this site released on other sites' reports."""
        return self._reports

    @property
    def examinations(self) -> Examinations:
        """What disclosure control found in what left, or waited for stewards."""
        return self._examinations

    def _count(self, subject: str) -> int:
        return self._counts.get(subject, 0)
