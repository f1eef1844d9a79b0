"""How long state machines run: with ``COMITY_MACHINES=100`` a hundred times as many runs, as in ``make soak``."""

from __future__ import annotations

import os

from hypothesis import settings

TIMES = int(os.environ.get("COMITY_MACHINES", "1"))


def runs(count: int, steps: int) -> settings:
    """Draw ``count`` runs of at most ``steps`` steps each, and in a soak many times as many."""
    return settings(max_examples=count * TIMES, stateful_step_count=steps)
