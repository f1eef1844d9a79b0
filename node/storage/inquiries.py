"""What stewards were asked and answered, in the ledger's file: places alone, whose bodies are read from the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from catalog.body import Body, fields_of
from catalog.cid import Cid
from node.automator.inquiries import Inquired
from node.storage.places import Places
from workflow.account import ApprovalFields, InquiryFields

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS inquiry (leaf INTEGER PRIMARY KEY, until INTEGER NOT NULL, orders BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS inquiries_of ON inquiry (orders);
CREATE INDEX IF NOT EXISTS inquiries_until ON inquiry (until);
CREATE TABLE IF NOT EXISTS answer (inquiry BLOB, leaf INTEGER, PRIMARY KEY (inquiry, leaf)) WITHOUT ROWID;
"""


class DiskInquiries:
    """The :class:`node.automator.inquiries.Inquiries` of a site."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def ask(self, leaf: int, fields: InquiryFields) -> None:
        """Stewards are asked in the row at ``leaf``."""
        self._places.write(
            "INSERT OR IGNORE INTO inquiry VALUES (?, ?, ?)", (leaf, fields.not_after, bytes(fields.order))
        )

    def answer(self, leaf: int, fields: ApprovalFields) -> None:
        """A steward answered in the row at ``leaf``."""
        self._places.write("INSERT OR IGNORE INTO answer VALUES (?, ?)", (bytes(fields.inquiry), leaf))

    def open(self, since: int) -> Iterator[Inquired]:
        """What was asked and may be answered still at ``since``, oldest first."""
        for body in self._bodies("SELECT leaf FROM inquiry WHERE until >= ? ORDER BY leaf", since):
            yield Inquired(body.at, fields_of(body, InquiryFields))

    def of(self, order: Cid) -> list[InquiryFields]:
        """What was asked about an order, oldest first."""
        query = "SELECT leaf FROM inquiry WHERE orders = ? ORDER BY leaf"
        return [fields_of(body, InquiryFields) for body in self._bodies(query, bytes(order))]

    def answers(self, inquiry: Cid) -> list[ApprovalFields]:
        """What stewards answered to it, in the order in which they did."""
        query = "SELECT leaf FROM answer WHERE inquiry = ? ORDER BY leaf"
        return [fields_of(body, ApprovalFields) for body in self._bodies(query, bytes(inquiry))]

    def _bodies(self, query: str, value: object) -> Iterator[Body]:
        """The bodies of the rows found that are durable."""
        for (leaf,) in self._places.read(query, value):
            body = self._places.body(leaf)
            if body is not None:
                yield body
