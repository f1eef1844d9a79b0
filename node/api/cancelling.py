"""Ending what one submitted."""

from __future__ import annotations

from catalog.dagcbor import Value


class CancelRequest(Value, frozen=True, kw_only=True):
    """A person's signed word that a submission of theirs shall end (``workflow.cancellation.Cancellation``)."""

    statement: bytes
