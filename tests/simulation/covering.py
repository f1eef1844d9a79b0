"""Few seeds that meet each kind of trouble beside each other kind: what many seeds meet, in a sixth of the time.

Most failures need one or two conditions together (Kuhn, Wallace, Gallo, «Software Fault Interactions and Implications
for Software Testing», IEEE Transactions on Software Engineering 30, 2004). What needs three is left to ``make soak``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import combinations

from tests.simulation.troubles import Troubles


def covering(seeds: Sequence[int]) -> list[int]:
    """Those of ``seeds`` that together have each pair of troubles, and each place of a power cut, which any has."""
    meets = {seed: set(_meetings(seed)) for seed in seeds}
    left = set().union(*meets.values())
    chosen = []
    while left:
        best = max(meets, key=lambda seed: len(meets[seed] & left))
        left -= meets.pop(best)
        chosen.append(best)
    return sorted(chosen)


def _meetings(seed: int) -> Iterator[object]:
    troubles = Troubles.of(seed)
    yield from combinations(_kinds(troubles), 2)
    yield from (crash.point for crash in troubles.crashes(random.Random(f"{seed}/crashes")))


def _kinds(troubles: Troubles) -> Iterator[tuple[str, object]]:
    """What goes wrong, by name and how much of it; of several together each alone, in one order."""
    for field in fields(troubles):
        value = getattr(troubles, field.name)
        if isinstance(value, tuple):
            yield from ((field.name, each) for each in sorted(set(value)))
        else:
            yield field.name, value
