"""Where records of disclosure control are named, in the ledger's file: places alone, whose bodies are in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from catalog.body import fields_of
from catalog.cid import Cid
from node.automator.examinations import Examination
from node.storage.places import Places
from workflow.account import AccountFields, InquiryFields, ReleaseFields

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS examined (leaf INTEGER PRIMARY KEY, record BLOB NOT NULL, released INTEGER NOT NULL);
"""


class DiskExaminations:
    """The :class:`node.automator.examinations.Examinations` of a site."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def take(self, leaf: int, fields: AccountFields) -> None:
        """Take the row at ``leaf``, if it names a record."""
        if isinstance(fields, InquiryFields | ReleaseFields) and fields.examined is not None:
            released = int(isinstance(fields, ReleaseFields))
            self._places.write(
                "INSERT OR IGNORE INTO examined VALUES (?, ?, ?)", (leaf, bytes(fields.examined), released)
            )

    def all(self) -> Iterator[Examination]:
        """Each, oldest first."""
        for leaf, record, released in self._places.read("SELECT leaf, record, released FROM examined ORDER BY leaf"):
            yield self._examination(leaf, Cid.from_bytes(record), bool(released))

    def _examination(self, leaf: int, record: Cid, released: bool) -> Examination:
        body = self._places.body(leaf)
        if body is None:
            return Examination(leaf, 0, record, released, None)
        kind: type[InquiryFields | ReleaseFields] = ReleaseFields if released else InquiryFields
        return Examination(leaf, body.at, record, released, fields_of(body, kind))
