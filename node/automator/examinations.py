"""Where the audit log names the records of what disclosure control examined: releases, and what stewards were asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from catalog.cid import Cid
from workflow.account import AccountFields, InquiryFields, ReleaseFields


@dataclass(frozen=True, slots=True)
class Examination:
    """A row at ``place``, of the time ``at`` (Unix milliseconds), that names ``record``: a release, or an inquiry.

    There are no ``fields`` if its body is gone.
    """

    place: int
    at: int
    record: Cid
    released: bool
    fields: InquiryFields | ReleaseFields | None


class Examinations(Protocol):
    """All of them."""

    def all(self) -> Iterator[Examination]:
        """Each, oldest first."""


class MemoryExaminations:
    """They in memory, fed by the ledger."""

    def __init__(self) -> None:
        self._all: list[Examination] = []

    def take(self, place: int, at: int, fields: AccountFields) -> None:
        """Take the row at ``place``, if it names a record."""
        if isinstance(fields, InquiryFields | ReleaseFields) and fields.examined is not None:
            self._all.append(Examination(place, at, fields.examined, isinstance(fields, ReleaseFields), fields))

    def all(self) -> Iterator[Examination]:
        """See the protocol."""
        return iter(tuple(self._all))
