"""Whoever follows what counts hears of it, whatever another of them does with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from catalog.entry import Entry
from catalog.error import ComityError
from node.site.told import Told


class Part:
    """Hears, and may fail."""

    def __init__(self, failure: str = "") -> None:
        self.failure = failure
        self.heard = 0

    async def begin(self, site: str) -> None: ...

    async def counted(self, _site: str, _entries: Sequence[Entry]) -> None:
        self.heard += 1
        if self.failure:
            raise ComityError(self.failure)


def test_one_that_fails_keeps_nobody_from_hearing_and_the_failure_is_told() -> None:
    """Lost: a full disk under the search, and a project's end or an erasure is never heard of."""
    told = Told()
    told.parts = [Part("the search is full"), Part(), Part("another")]

    async def main() -> None:
        with pytest.raises(ComityError, match="the search is full"):
            await told.counted("a site", [])

    trio.run(main)
    assert [part.heard for part in told.parts if isinstance(part, Part)] == [1, 1, 1]


class Slow(Part):
    """Lets others run before it hears."""

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        await trio.lowlevel.checkpoint()
        await super().counted(site, entries)


def test_whoever_gives_up_meanwhile_keeps_nobody_from_hearing() -> None:
    """Lost: a member leaves while its catalog is read, comes back, and what was read then is never found or erased."""
    told = Told()
    told.parts = [Slow(), Slow()]

    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await told.counted("a site", [])

    trio.run(main)
    assert [part.heard for part in told.parts if isinstance(part, Part)] == [1, 1]
