"""The time that authority is held against: whoever sets a clock back brings nothing back to life."""

from __future__ import annotations

from dataclasses import dataclass

from node.automator.decide import Recency
from node.ports import Clock


@dataclass(frozen=True, slots=True)
class SteadyClock:
    """The clock of a site, which stands still where it was set back, until time has passed that again.

    What is known of other sites is measured by the same time, so both go on together.
    """

    clock: Clock
    recency: Recency

    def now(self) -> int:
        """Unix milliseconds, which never go back, over restarts either."""
        return self.recency.now()

    async def sleep(self, seconds: float) -> None:
        """Come back after ``seconds``."""
        await self.clock.sleep(seconds)
