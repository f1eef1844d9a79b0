"""A figure: what was measured, what it is held against, and what the product promises of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Series:
    """Repeated measurements of one thing: milliseconds, if its figure does not say another unit."""

    what: str
    values: tuple[float, ...]

    @classmethod
    def of_seconds(cls, what: str, seconds: Sequence[float]) -> Series:
        """A series of measurements that were taken in seconds."""
        return cls(what, tuple(round(each * 1000, 3) for each in seconds))

    @property
    def median(self) -> float:
        """The median: one slow run on a shared machine does not move it."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Floor:
    """The promise: ours, or ours less its reference (``beyond``), is at most ``most``."""

    most: float
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. Without a ``floor`` it explains another row and promises nothing."""

    what: str
    ours: Series
    reference: Series
    floor: Floor | None = None
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """How many times its reference ours takes."""
        return self.ours.median / self.reference.median

    @property
    def held(self) -> bool | None:
        """Whether the promise was kept in this run; ``None`` where there is none."""
        if self.floor is None:
            return None
        return self.ours.median - (self.reference.median if self.floor.beyond else 0.0) <= self.floor.most

    @property
    def floor_text(self) -> str:
        """The promise in words."""
        if self.floor is None:
            return "–"
        return f"≤ {self.floor.most:,.6g} {self.unit}" + (" beyond it" if self.floor.beyond else "")


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found: its figures, and lines that say where the time goes."""

    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
