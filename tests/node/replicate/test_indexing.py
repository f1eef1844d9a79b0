"""Feeding an index and whoever hears of what counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from catalog.entry import Entry
from catalog.error import ComityError
from catalog.index import SiteIndex
from catalog.origin import LogName
from catalog.reading import Reading
from node.replicate.indexing import Feeding, index_log
from tests.node.replicate.peer import ROOT, Peer, play
from tests.simulation.disk import SimulatedReplica


class Heard:
    """Hears of what counts."""

    def __init__(self) -> None:
        self.places: list[int] = []

    async def begin(self, site: str) -> None:
        self.places.clear()

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        self.places += [entry.index for entry in entries]


class Hasty:
    """Turns that are over after each leaf."""

    over = True

    async def next(self) -> None:
        pass


class Failing(SiteIndex):
    """Its disk is full at leaf 4."""

    full = True

    def take(self, reading: Reading) -> Entry | None:
        if self.full and reading.index == 4:
            raise ComityError("the disk is full")
        return super().take(reading)


def test_what_counted_before_a_failure_is_told_once_and_the_rest_later() -> None:
    """Lost: what counts is not found, or a project not ended, since the disk was full for a moment meanwhile."""
    peer = Peer()
    peer.grow(5)
    log, heard = SimulatedReplica(peer.logs[LogName.CATALOG]), Heard()
    index, feeding = Failing(ROOT.did), Feeding(told=heard, turns=Hasty())
    with pytest.raises(ComityError):
        play(index_log(log, index, feeding))
    assert (index.size, heard.places) == (4, [0, 1, 2, 3])
    index.full = False
    play(index_log(log, index, feeding))
    assert (index.size, heard.places) == (7, [0, 1, 2, 3, 4, 5, 6])
