"""Audit rows written to files: FHIR AuditEvents, each validated before it is written, or a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from catalog.error import BadInput, Infeasible, VerificationFailed

if TYPE_CHECKING:
    from cli.answer import Missing
    from node.api.audit import Account
    from node.api.trail import Told
    from node.api.view import AuditRow

_COLUMNS = (
    "at", "site", "index", "kind", "person", "who", "home", "datasets", "data", "project", "project_site", "purpose",
    "block", "grant", "allowed", "rules", "reason", "leaves", "cosigned_by", "quorum",
)  # fmt: skip


class Sink(Protocol):
    """Where rows go."""

    def put(self, row: AuditRow, account: Account) -> None:
        """Write one row."""

    def close(self) -> None:
        """No further row comes."""


def export(told: Iterable[tuple[Told, Account | None]], sink: Sink, missing: Missing) -> int:
    """Write the verified rows, and say how many; ``missing`` takes what could not be written.

    Raises:
        VerificationFailed: a row is false, or its event is no valid AuditEvent; what was written before stays.
    """
    from node.api.view import Answered, AuditRow

    rows = 0
    try:
        for each, account in told:
            match each:
                case AuditRow():
                    if account is not None:
                        sink.put(each, account)
                        rows += 1
                case Answered():
                    pass
                case _:
                    missing.take(each)
    finally:
        sink.close()
    return rows


class FhirFiles:
    """FHIR R4 AuditEvents: a file each, ``ID.json``, in a folder, or lines of JSON in a file.

    Raises:
        Infeasible: the extra «fhir» is not installed. BadInput: the place cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            from fhir.resources.R4B.auditevent import AuditEvent
        except ImportError as error:
            raise Infeasible("this needs the extra «fhir»; install it with: pip install 'comity[fhir]'") from error
        self._validate = AuditEvent.model_validate
        self._folder = path if path.is_dir() or not path.suffix else None
        try:
            if self._folder is not None:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lines = None if self._folder is not None else path.open("w", encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}; choose another place") from error

    def put(self, row: AuditRow, account: Account) -> None:
        """Validate the event and write it.

        Raises:
            VerificationFailed: it is not valid, which is a fault of this program.
        """
        from node.api.fhir import audit_event

        event = audit_event(row, account)
        try:
            self._validate(event)
        except ValueError as error:
            raise VerificationFailed(
                f"row {row.index} of {row.site_name} makes no valid AuditEvent: {error}"
            ) from error
        text = json.dumps(event, ensure_ascii=False)
        if self._folder is not None:
            (self._folder / f"{event['id']}.json").write_text(text + "\n", encoding="utf-8")
        elif self._lines is not None:
            self._lines.write(text + "\n")

    def close(self) -> None:
        """No further row comes."""
        if self._lines is not None:
            self._lines.close()


class Csv:
    """A table for people. Text that a spreadsheet would take for a formula gets a quotation mark in front."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror}; choose another place") from error
        self._table = csv.writer(self._file)
        self._table.writerow(_COLUMNS)

    def put(self, row: AuditRow, account: Account) -> None:  # noqa: ARG002 - a table shows no proof
        """Write one line."""
        from node.api.quantity import clock_text

        cells = (
            clock_text(row.at), row.site_name, row.index, row.kind, row.person or "", row.who, row.home_name,
            " ".join(map(str, row.datasets)), ", ".join(row.data), row.project, row.project_site, row.purpose,
            row.block or "", row.grant or "", "" if row.allowed is None else row.allowed, " ".join(row.rules),
            row.reason, row.size, len(row.cosigners), row.quorum,
        )  # fmt: skip
        self._table.writerow([_plain(str(cell)) for cell in cells])

    def close(self) -> None:
        """No further row comes."""
        self._file.close()


def _plain(cell: str) -> str:
    return "'" + cell if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
