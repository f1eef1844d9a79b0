"""What a steward is asked before a step runs or an output leaves, and the steward's signed answer.

The same question, asked again by another submission, has the same CID: an answer stands for it until it expires.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from catalog.block import OutputName
from catalog.body import Millis
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DuoTerm
from catalog.key import Did, Signed
from catalog.project import ProjectRef
from workflow.alone import MOST_TEXT
from workflow.argument import Argument
from workflow.order import Wanted

MOST_STEWARDS = 9


class Inquiry(Value, frozen=True, kw_only=True):
    """May ``person`` run ``block`` on these ``inputs`` here, for outputs that shall have these readers?

    ``around`` is what the workflow has around the block (:mod:`workflow.alone`). With ``value`` it has run: may that
    value, the only one of the ``outputs``, gain its readers?
    """

    person: Did
    home: Did
    project: ProjectRef
    purpose: DuoTerm
    block: Cid
    inputs: Annotated[dict[str, Argument], msgspec.Meta(max_length=256)]
    outputs: Annotated[dict[OutputName, Wanted], msgspec.Meta(max_length=256)]
    value: Cid | None = None
    around: Annotated[str, msgspec.Meta(max_length=MOST_TEXT)] | None = None

    @property
    def output(self) -> str | None:
        """The output that shall leave; none if the step shall run."""
        return next(iter(self.outputs)) if self.value is not None else None


class Answer(Signed, frozen=True, kw_only=True):
    """A steward's word on the ``inquiry`` of that CID, at ``site``: it counts from ``at`` to ``until``."""

    DOMAIN: ClassVar[str] = "answer"

    site: Did
    person: Did
    inquiry: Cid
    granted: bool
    reason: Annotated[str, msgspec.Meta(max_length=1000)]
    until: Millis
    at: Millis
    nonce: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
