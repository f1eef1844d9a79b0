"""What a site publishes of a workflow building block, and a steward's endorsement of one."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.body import Name
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import Text
from catalog.label import Label

OutputName = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
OutputType = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z-]{0,31}\Z")]
"""The disclosure type that a block declares for an output: ``statistics``, ``model``, ``table``, ``row-level``…"""


class BlockFields(Value, frozen=True, kw_only=True):
    """The fields of a ``block`` entry: a UnixFS folder under ``cid`` that holds ``tool.cwl`` and its code.

    ``environment`` is the folder of programs that it runs in, if it names one: it goes where the block goes.
    """

    cid: Cid
    name: Name
    label: Label
    description: Text
    outputs: Annotated[dict[OutputName, OutputType], msgspec.Meta(max_length=256)]
    environment: Cid | None = None

    @property
    def roots(self) -> tuple[Cid, ...]:
        """What is stored of it: the block, and its environment if it has one."""
        return (self.cid,) if self.environment is None else (self.cid, self.environment)


class EndorseFields(Value, frozen=True, kw_only=True):
    """The fields of an ``endorse`` entry: a steward read ``block`` and vouches for these output types of it."""

    block: Cid
    output_types: Annotated[tuple[OutputType, ...], msgspec.Meta(min_length=1, max_length=32)]
    withdrawn: bool = False
