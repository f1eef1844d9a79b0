"""How busy a node is, in three classes that others are told of: they change late, and change back later."""

from __future__ import annotations

from typing import Final

from catalog.capacity import Load

LOOK_SECONDS: Final = 15.0
"""How often the queue is looked at."""

_WEIGHT: Final = 0.25
"""Of a new look: what is asked for counts about a minute."""
_MOST: Final = 4.0
"""What one look counts at most, so that a thousand steps that came and went are soon forgotten."""

_RISE: Final = {Load.IDLE: 0.75, Load.BUSY: 2.0}
_FALL: Final = {Load.BUSY: 0.25, Load.FULL: 1.0}
_ORDER: Final = (Load.IDLE, Load.BUSY, Load.FULL)


class Demand:
    """Of the places for steps, how many are asked for: a mean of the last looks, and the :attr:`load` that it makes.

    A node is busy from three quarters of its places on and idle again below one; it is full where as many wait as
    run, and busy again where none has to wait.
    """

    def __init__(self) -> None:
        self.load = Load.IDLE
        self._level = 0.0

    def look(self, asked: int, at_once: int) -> Load:
        """Take how many steps run or wait now, of which ``at_once`` can run."""
        self._level += (min(_MOST, asked / at_once) - self._level) * _WEIGHT
        place = _ORDER.index(self.load)
        if self._level >= _RISE.get(self.load, _MOST + 1):
            self.load = _ORDER[place + 1]
        elif self._level < _FALL.get(self.load, 0.0):
            self.load = _ORDER[place - 1]
        return self.load
