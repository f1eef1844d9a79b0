"""What stewards of this site are asked, and what they answered, by its audit log; and what of it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from catalog.cid import Cid
from catalog.dagcbor import decode
from workflow.account import MAX_REQUEST, ApprovalFields, InquiryFields
from workflow.inquiry import Answer


@dataclass(frozen=True, slots=True)
class Inquired:
    """What stewards were asked, at ``at`` (Unix milliseconds)."""

    at: int
    fields: InquiryFields


class Inquiries(Protocol):
    """All that stewards of this site were asked; a row that is not durable yet does not count."""

    def open(self, since: int) -> Iterator[Inquired]:
        """What was asked and may be answered still at ``since`` (Unix milliseconds), oldest first."""

    def of(self, order: Cid) -> list[InquiryFields]:
        """What was asked about an order, oldest first."""

    def answers(self, inquiry: Cid) -> list[ApprovalFields]:
        """What stewards answered to it, in the order in which they did."""


class MemoryInquiries:
    """They in memory, fed by the ledger."""

    def __init__(self) -> None:
        self._asked: list[Inquired] = []
        self._answers: dict[Cid, list[ApprovalFields]] = {}

    def ask(self, at: int, fields: InquiryFields) -> None:
        """Stewards are asked."""
        self._asked.append(Inquired(at, fields))

    def answer(self, fields: ApprovalFields) -> None:
        """A steward answered."""
        self._answers.setdefault(fields.inquiry, []).append(fields)

    def open(self, since: int) -> Iterator[Inquired]:
        """See the protocol."""
        return (each for each in tuple(self._asked) if each.fields.not_after >= since)

    def of(self, order: Cid) -> list[InquiryFields]:
        """See the protocol."""
        return [each.fields for each in self._asked if each.fields.order == order]

    def answers(self, inquiry: Cid) -> list[ApprovalFields]:
        """See the protocol."""
        return list(self._answers.get(inquiry, ()))


@dataclass(frozen=True, slots=True)
class Consent:
    """How an inquiry stands: the stewards who granted it, or why one refused."""

    inquiry: Cid
    granted: frozenset[str]
    refusal: str

    def enough(self, needed: int) -> bool:
        """Whether so many stewards granted it, and none refused."""
        return not self.refusal and len(self.granted) >= needed


def consent(inquiries: Inquiries, inquiry: Cid, is_steward: Callable[[str], bool], asker: str, now: int) -> Consent:
    """How ``inquiry`` stands at ``now``, by the last word of each who is a steward still.

    The person who asks answers nothing for themselves.
    """
    last: dict[str, Answer] = {}
    for fields in inquiries.answers(inquiry):
        last[fields.person] = decode(Answer, fields.statement, MAX_REQUEST)
    standing = [each for did, each in last.items() if did != asker and is_steward(did) and each.at <= now <= each.until]
    refusal = next((each.reason or "without a reason" for each in standing if not each.granted), "")
    return Consent(inquiry, frozenset(each.person for each in standing if each.granted), refusal)
