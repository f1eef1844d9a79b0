"""Whoever wants to hear what newly counts in the catalogs, this site's own included, hears it from here."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from catalog.entry import Entry
from catalog.error import ComityError
from node.replication import Counting


class Told:
    """Hands on to each of its ``parts``, in their order; itself a :class:`node.replication.Counting`."""

    def __init__(self) -> None:
        self.parts: list[Counting] = []

    async def begin(self, site: str) -> None:
        """The index of ``site`` is fed from its first leaf again."""
        for part in self.parts:
            await part.begin(site)

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """These entries of ``site`` count from now on; every part hears of them, also where another fails.

        Raises:
            ComityError: what the first part that failed raised.
        """
        failures: list[ComityError] = []
        # Whatever ends what is read meanwhile: nobody would be told again.
        with trio.CancelScope(shield=True):
            for part in self.parts:
                try:
                    await part.counted(site, entries)
                except ComityError as error:
                    failures.append(error)
        if failures:
            raise failures[0]
