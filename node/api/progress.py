"""How far a submission is by what happened to it: every attempt at a step with its times, kept up as events come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.api.watched import EventView

GOING: Final = frozenset({"running", "waiting"})
"""How an attempt stands that has not ended."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at an instance; ``ended`` is None while it goes on. Times in Unix milliseconds."""

    step: str
    shard: int
    attempt: int
    site_name: str
    began: int
    ended: int | None
    status: str
    reason: str
    cost: int


class Progress:
    """What is known by the events so far. ``began`` and ``ended`` are the submission's, in Unix milliseconds."""

    def __init__(self, events: Iterable[EventView] = ()) -> None:
        self.began = 0
        self.ended: int | None = None
        self._attempts: dict[tuple[str, int, int], Attempt] = {}
        for each in events:
            self.take(each)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt at every instance: by step, in the order in which they began, then by shard and attempt."""
        steps = {step: place for place, step in enumerate(dict.fromkeys(step for step, _, _ in self._attempts))}
        return tuple(sorted(self._attempts.values(), key=lambda each: (steps[each.step], each.shard, each.attempt)))

    def newest(self) -> dict[tuple[str, int], Attempt]:
        """By step and shard, the last attempt at it."""
        return {(each.step, each.shard): each for each in self._attempts.values()}

    def take(self, event: EventView) -> None:
        """Take one event, behind all that were taken."""
        self.began = self.began or event.at
        if event.kind == "state":
            self.ended = None if event.status in ("running", "paused", "cancelling") else event.at
            return
        key = event.step, event.shard, event.attempt
        before = self._attempts.get(key)
        self._attempts[key] = Attempt(
            step=event.step,
            shard=event.shard,
            attempt=event.attempt,
            site_name=event.site_name,
            began=before.began if before is not None else event.at,
            ended=None if event.status in GOING else event.at,
            status=event.status,
            reason=event.reason,
            cost=event.cost,
        )
