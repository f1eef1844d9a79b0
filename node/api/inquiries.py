"""What the local interface says of what stewards are asked, and takes as their answers."""

from __future__ import annotations

from catalog.cid import Cid
from catalog.dagcbor import Value
from node.api.disclosed import FoundView
from workflow.inquiry import Inquiry

MAX_PREVIEW = 16 << 10
"""Bytes of a held value that a steward is shown."""


class InquiryView(Value, frozen=True, kw_only=True):
    """What stewards of this site are asked: ``inquiry`` is the question, whose CID is ``cid``.

    Times are Unix milliseconds. ``reason`` is why policy leaves it to them. ``granted`` names those who said yes, of
    ``stewards`` that are needed, ``refused`` why one said no. ``datasets`` are those that it is accounted to, by CID
    with their names; ``size`` the bytes of a value that would leave, of a file that is called ``name``. ``check`` and
    ``found`` are what disclosure control says of it (:class:`node.api.disclosed.ExaminationView`). ``waits`` is whether
    an order waits for the answer; else what is answered counts if the same is asked again.
    """

    cid: Cid
    inquiry: Inquiry
    person_name: str
    home_name: str
    block_name: str
    step: str
    datasets: dict[str, str]
    readers: dict[str, str]
    reason: str
    asked_at: int
    not_after: int
    stewards: int
    granted: tuple[str, ...]
    refused: str
    waits: bool
    name: str = ""
    size: int | None = None
    before: Cid | None = None
    check: str = ""
    found: tuple[FoundView, ...] = ()


class AnswerRequest(Value, frozen=True, kw_only=True):
    """A steward's signed answer (``workflow.inquiry.Answer``)."""

    statement: bytes
