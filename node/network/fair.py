"""Whose turn it is to be served: several sites share this one's processors and line, each as much as any other.

A site with a hundred requests gets no more than one with a single one: turns go round by site, not by request.
"""

from __future__ import annotations

import time
from threading import Event, Lock
from typing import Final

from node.roundrobin import RoundRobin

AT_ONCE: Final = 2
"""Pieces that are made ready at the same time: read and hashed."""


class Turns:
    """Turns by site, for worker threads. ``rate`` bounds what all get together, in bytes a second; 0 bounds nothing."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._free = 1 if rate else AT_ONCE
        self._lock = Lock()
        self._waiting = RoundRobin[Event]()
        self._next_at = 0.0

    def take(self, site: str) -> None:
        """Wait until it is the turn of ``site``, and have it: :meth:`give` it back."""
        granted = Event()
        with self._lock:
            if self._free:
                self._free -= 1
                granted.set()
            else:
                self._waiting.put(site, granted)
        granted.wait()
        # Only whoever has a turn sleeps here: under a rate there is one at a time.
        if (pause := self._next_at - time.monotonic()) > 0:
            time.sleep(pause)

    def give(self, size: int) -> None:
        """``size`` bytes go out for the turn; under a rate, the next one begins when they may have gone."""
        with self._lock:
            if self._rate:
                self._next_at = max(self._next_at, time.monotonic()) + size / self._rate
            granted = self._waiting.next()
            if granted is None:
                self._free += 1
            else:
                granted.set()
