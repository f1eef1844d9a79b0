"""What was released on reports, by this site's audit log: by itself, an owner, on others', and by others on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from catalog.cid import Cid
from catalog.dagcbor import decode
from catalog.error import VerificationFailed
from catalog.key import Did
from workflow.account import MAX_REQUEST, ReleaseFields, Side
from workflow.order import Instance
from workflow.receipt import Release
from workflow.report import Report


@dataclass(frozen=True, slots=True)
class Vouched:
    """The release at ``index`` of an owner's part in what another site made, on that one's signed ``report``.

    ``statement`` is what the owner signed as it wrote its row: by another key, of later, it would count for nothing at
    that place. ``by`` is that owner if this site made the value, and none if this site is the owner.
    """

    index: int
    report: Report
    statement: Release
    by: Did | None


class Reports(Protocol):
    """All that was released so. An owner releases one of each output of an instance, whatever is reported of it."""

    def released(self, instance: Instance, output: str) -> Vouched | None:
        """What this site released of an instance's ``output``, if it did; also what is being written down just now.

        Raises:
            Conflict: its row was erased; of that nothing is released again.
        """

    def stated(self, order: Cid, output: str, owner: str) -> bool:
        """Whether ``owner`` stated here that it releases its part of what ``order`` made; also if that was erased."""


class MemoryReports:
    """They in memory, fed by the ledger."""

    def __init__(self) -> None:
        self._released: dict[tuple[Instance, str], Vouched] = {}
        self._stated: set[tuple[Cid, str, Did]] = set()

    def take(self, index: int, fields: ReleaseFields) -> None:
        """Take the release at ``index``, if it is one on a report."""
        vouched = vouched_at(index, fields)
        if vouched is not None and vouched.by is not None:
            self._stated.add((fields.order, fields.output, vouched.by))
        elif vouched is not None:
            self._released[vouched.report.instance, fields.output] = vouched

    def released(self, instance: Instance, output: str) -> Vouched | None:
        """See the protocol."""
        return self._released.get((instance, output))

    def stated(self, order: Cid, output: str, owner: str) -> bool:
        """See the protocol."""
        return (order, output, owner) in self._stated


def vouched_at(index: int, fields: ReleaseFields) -> Vouched | None:
    """What the release at ``index`` is, if it was given on a report.

    Raises:
        VerificationFailed: what stands there is no report, or lacks the statement.
    """
    if fields.reported is None:
        return None
    if fields.statement is None:
        raise VerificationFailed("a release on a report was written down without its statement")
    by = fields.site if fields.side is Side.RECIPIENT else None
    return Vouched(index, decode(Report, fields.reported, MAX_REQUEST), fields.statement, by)
