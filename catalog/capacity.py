"""What a node says of its machine and of its load, unasked: the node's own word, as an offer is its steward's.

None of it decides anything at another site but where a requester would rather have a step run. It is bounded, so that
a boast is a number like any other; whoever plans learns from receipts how long steps really take there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from catalog.body import Millis
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.offer import Mebibytes, Most

MOST_ENVIRONMENTS: Final = 64
REFERENCE: Final = 1000
"""The speed of the reference machine, in each respect (:mod:`node.execute.speed` has its figures)."""

Pace = Annotated[int, msgspec.Meta(ge=1, le=100 * REFERENCE)]
"""A speed in thousandths of the reference machine's; nothing that runs steps is a hundred times as fast."""


class Load(StrEnum):
    """How busy a node is: steps begin at once, or soon, or have to wait for others."""

    IDLE = "idle"
    BUSY = "busy"
    FULL = "full"


class Speed(Value, frozen=True, kw_only=True):
    """How fast a step was, alone here, ``at`` some time: with whole numbers, with floats, at hashing, on the disk."""

    integer: Pace
    floating: Pace
    hashing: Pace
    writing: Pace
    at: Millis


class CapacityFields(Value, frozen=True, kw_only=True):
    """The fields of a ``capacity`` entry.

    ``runner`` executes steps on ``platform`` (``linux/amd64``), whose ``processor`` is a name for people. At most
    ``at_once`` steps run together on so many ``processors`` and MiB of memory, each within ``most``. ``environments``
    are at hand: their CIDs, ascending, not all if there are many. ``speed`` is none until it was measured.
    """

    runner: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,16}\Z")]
    platform: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]{1,16}/[a-z0-9_]{1,16}\Z")]
    processor: Annotated[str, msgspec.Meta(pattern=r"^[ -~]{0,80}\Z")]
    processors: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    memory_mib: Mebibytes
    at_once: Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
    most: Most
    environments: Annotated[tuple[Cid, ...], msgspec.Meta(max_length=MOST_ENVIRONMENTS)] = ()
    speed: Speed | None = None
    load: Load
