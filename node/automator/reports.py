"""What this site, an owner, released on other sites' reports of what they made, by its audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from catalog.dagcbor import decode
from workflow.account import MAX_REQUEST, ReleaseFields, Side
from workflow.order import Instance
from workflow.report import Report


@dataclass(frozen=True, slots=True)
class Vouched:
    """The release at ``index`` of this site's part in what another site made, on that one's signed ``report``."""

    index: int
    report: Report
    fields: ReleaseFields


class Reports(Protocol):
    """All that was released so; of each output of an instance there is one at most, whatever is reported of it."""

    def released(self, instance: Instance, output: str) -> Vouched | None:
        """What this site released of an instance's ``output``, if it did; also what is being written down just now.

        Raises:
            Conflict: its row was erased; of that nothing is released again.
        """


class MemoryReports:
    """They in memory, fed by the ledger."""

    def __init__(self) -> None:
        self._released: dict[tuple[Instance, str], Vouched] = {}

    def take(self, index: int, fields: ReleaseFields) -> None:
        """Take the release at ``index``, if it is one on a report."""
        vouched = vouched_at(index, fields)
        if vouched is not None:
            self._released[vouched.report.instance, fields.output] = vouched

    def released(self, instance: Instance, output: str) -> Vouched | None:
        """See the protocol."""
        return self._released.get((instance, output))


def vouched_at(index: int, fields: ReleaseFields) -> Vouched | None:
    """What the release at ``index`` is, if this site gave it on a report.

    Raises:
        VerificationFailed: what stands there is no report.
    """
    if fields.reported is None or fields.side is not Side.SOURCE:
        return None
    return Vouched(index, decode(Report, fields.reported, MAX_REQUEST), fields)
