"""What goes wrong in a run, by hand or drawn from its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.simulation.disk import Write
from tests.simulation.liar import Habit

MINUTE = 60_000
LONG = 520
"""Leaves of a catalog that has two full bundles."""


@dataclass(frozen=True, slots=True)
class Crash:
    """A power cut: at the ``visit``-th time that anybody's node comes to ``point`` once ``after`` is over.

    ``point`` is one of those of a :class:`Write`, or empty for any await of any port.
    """

    point: str
    after: int
    visit: int


@dataclass(frozen=True, slots=True)
class Troubles:
    """What goes wrong in a run. Chances are from 0 to 1, times in milliseconds.

    ``kills`` is how many power cuts there are, most at writes whose name begins with ``danger``. ``strays`` are sites
    whose clock is wrong by days, ``jumps`` times at which some clock is set to another time, ``halves`` times at which
    the members fall into two halves, ``cancels`` how many submissions their person ends. ``events`` take something
    back while work goes on; grants end ``expiry`` after the
    beginning, if it is not 0. ``long`` gives a hospital a catalog of many entries.
    """

    hospitals: int = 2
    liar: bool = False
    trust: bool = False
    wholesome: bool = False
    lost: float = 0.0
    doubled: float = 0.0
    delay: int = 50
    skew: int = 0
    broken: float = 0.0
    kills: int = 0
    danger: str = ""
    cuts: int = 0
    once: bool = True
    patient: bool = True
    copies: int = 0
    submissions: int = 1
    deadline: int = 60 * MINUTE
    stewards: int = 2
    tight: bool = False
    mute: bool = False
    strays: int = 0
    jumps: int = 0
    halves: int = 0
    habits: tuple[Habit, ...] = (Habit.FORKS, Habit.MISDATES)
    events: tuple[str, ...] = ()
    expiry: int = 0
    restores: int = 0
    long: bool = False
    cancels: int = 0

    @classmethod
    def of(cls, seed: int) -> Troubles:
        """The troubles of a seed: each kind is absent in some runs, so that no kind hides another."""
        draw = random.Random(f"{seed}/troubles")
        eight = draw.random() < 0.7
        liar = draw.random() < (0.75 if eight else 0.4)
        hospitals = 6 - liar if eight else draw.choice([2, 2, 3, 4])
        # Five members outvote a liar that does not cosign; four do not.
        trust = eight or draw.random() < 0.4 or (liar and hospitals < 3)
        return cls(
            hospitals=hospitals,
            liar=liar,
            trust=trust,
            strays=draw.choice([0, 0, 0, 0, 0, 0, 1, 2]),
            jumps=draw.choice([0, 0, 0, 0, 1, 2]),
            halves=draw.choice([0, 0, 0, 1, 2]),
            habits=tuple(sorted(draw.sample(list(Habit), draw.choice([1, 2, 3, len(Habit)])))) if liar else (),
            events=tuple(draw.sample(["revoke", "revoke", "end", "unkey"], draw.choice([0, 0, 1, 1, 2]))),
            restores=draw.choice([0, 0, 0, 1]),
            expiry=draw.choice([0, 0, 0, 0, 0, 4 * MINUTE]),
            wholesome=draw.random() < 0.6,
            lost=draw.choice([0.0, 0.02, 0.1, 0.25]),
            doubled=draw.choice([0.0, 0.1, 0.5]),
            delay=draw.choice([20, 20, 500, 500, 5_000, 20_000]),
            skew=draw.choice([0, 1_000, 5 * MINUTE]),
            broken=draw.choice([0.0, 0.0, 0.2]),
            kills=draw.choice([0, 1, 3, 6]),
            cuts=draw.choice([0, 0, 2]),
            once=draw.random() < 0.6,
            patient=draw.random() < 0.8,
            copies=draw.choice([0, 0, 1, 2]),
            submissions=draw.choice([1, 2, 3]),
            deadline=draw.choice([60 * MINUTE, 60 * MINUTE, 60 * MINUTE, 4 * MINUTE]),
            stewards=draw.choice([0, 2, 5]),
            tight=draw.random() < 0.3,
            mute=draw.random() < 0.3,
            long=draw.random() < 0.1,
            cancels=draw.choice([0, 0, 0, 1]),
        )

    def crashes(self, draw: random.Random) -> list[Crash]:
        """The power cuts: three of four at a write, of which each is as likely as any other, and one at any await."""
        points = [point for write in Write if write.startswith(self.danger) for point in write.points]
        return [
            Crash("", 0, draw.randrange(1, 30_000))
            if number % 4 == 3
            else Crash(
                draw.choice(points), draw.choice([0, 0, draw.randrange(5 * MINUTE)]), draw.choice([1, 1, 2, 3, 5, 8])
            )
            for number in range(self.kills)
        ]
