"""What the other owners of a step's outputs are asked, and what they answered: kept over restarts."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.block import OutputName
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import Text
from catalog.key import Did
from node.message import Place
from privacy.decision import Decision
from workflow.receipt import MOST_FURTHER, Release, Salt
from workflow.report import Report


class Asked(Value, frozen=True, kw_only=True):
    """What the owners are told of one output, and what each of them answered.

    ``salt`` is the key of the report's name of the value. What this site, an owner too, lets go of it is in
    ``decision``, for the reason ``line``; none where its stewards are asked besides, or it owns nothing of it.
    """

    report: Report
    salt: Salt
    owners: Annotated[tuple[Did, ...], msgspec.Meta(min_length=1, max_length=MOST_FURTHER)]
    decision: Decision | None
    line: Text
    consent: Cid | None
    examined: Cid | None
    released: dict[Did, Release]
    refused: dict[Did, Text]

    @property
    def silent(self) -> tuple[str, ...]:
        """The owners who have not answered."""
        return tuple(each for each in self.owners if each not in self.released and each not in self.refused)


class Pending(Value, frozen=True, kw_only=True):
    """An order whose other owners are asked, as the node of the site ``bus`` brought it."""

    place: Place
    order: Cid
    bus: Did
    outputs: dict[OutputName, Asked]
