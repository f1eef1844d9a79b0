"""What a node gives of a submission that ended, so that others can check it: the files of a crate, page by page."""

from __future__ import annotations

from catalog.body import Index
from catalog.dagcbor import Value


class EvidenceFile(Value, frozen=True, kw_only=True):
    """A file of a crate: its path there and its bytes (:mod:`workflow.crate.layout`)."""

    path: str
    data: bytes


class EvidencePage(Value, frozen=True, kw_only=True):
    """Some files of a crate. ``after`` is what the next page is asked for with; none behind the last."""

    files: tuple[EvidenceFile, ...]
    after: Index | None
