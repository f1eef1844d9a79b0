"""What a site runs, and at what price: its steward's word."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from catalog.dagcbor import Value

MICRO = 1_000_000
"""Money is counted in millionths of the consortium's unit, as whole numbers."""

MOST_MICROS: Final = 1 << 53
"""The greatest amount that is written down."""

Micros = Annotated[int, msgspec.Meta(ge=0, le=MOST_MICROS)]

Seconds = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
Mebibytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]


class Most(Value, frozen=True, kw_only=True):
    """The most that one step may use: seconds of the wall, seconds of all its processors together, MiB of memory."""

    seconds: Seconds
    cpu_seconds: Seconds
    memory_mib: Mebibytes

    def within(self, other: Most) -> bool:
        """Whether a site that gives ``other`` keeps this."""
        return (
            self.seconds <= other.seconds
            and self.cpu_seconds <= other.cpu_seconds
            and self.memory_mib <= other.memory_mib
        )


class OfferFields(Value, frozen=True, kw_only=True):
    """The fields of an ``offer`` entry. All prices are in millionths.

    ``price`` is for one step instance, whatever it uses; ``step_millis`` is how long one is expected to take there. On
    top come ``cpu_hour`` for an hour of one processor, ``gb_hour`` for a GB of memory held for an hour, and
    ``gb_moved`` for each GB of other sites' datasets that it reads (:mod:`workflow.price`); a GB is 10^9 bytes. No more
    is charged of a step than ``most``, so it must be there where its use is charged at all.
    """

    runner: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,16}\Z")]
    price: Micros
    step_millis: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
    cpu_hour: Micros = 0
    gb_hour: Micros = 0
    gb_moved: Micros = 0
    most: Most | None = None
