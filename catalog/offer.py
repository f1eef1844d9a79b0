"""What a site runs, and at what price."""

from __future__ import annotations

from typing import Annotated

import msgspec

from catalog.dagcbor import Value

MICRO = 1_000_000
"""Money is counted in millionths of the consortium's unit, as whole numbers."""

Micros = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class OfferFields(Value, frozen=True, kw_only=True):
    """The fields of an ``offer`` entry.

    ``price`` is for one step instance, in millionths; ``step_millis`` is how long one is expected to take there.
    """

    runner: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{1,16}\Z")]
    price: Micros
    step_millis: Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
