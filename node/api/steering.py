"""What its person says of a submission on its way: that it shall end, pause, go on, or be asked for once more."""

from __future__ import annotations

import msgspec

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.project import ProjectRef


class CancelRequest(Value, frozen=True, kw_only=True):
    """A person's signed word that a submission of theirs shall end (``workflow.cancellation.Cancellation``)."""

    statement: bytes


class PauseRequest(Value, frozen=True, kw_only=True):
    """Make no further order for ``submission``; or, if not ``paused``, go on with it."""

    submission: Cid
    paused: bool


class Requested(Value, frozen=True, kw_only=True):
    """What a submission asked for: CWL text, the job as JSON (Files as ``comity:CID``), and its limits.

    ``span`` is how long before its deadline it began, in milliseconds, ``budget`` millionths.
    """

    workflow: str
    job: msgspec.Raw
    project: ProjectRef
    span: int
    budget: int
    min_sites: int
