"""Who holds what of whose catalog, as members say of themselves, and whose word was found false.

A claim is a hint. Everything that a holder sends is checked against what the log's own key signed, so a false claim
costs one question; who made it is asked last for that log during the next rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ASIDE_ROUNDS: Final = 64
"""Rounds with a log's owner for which a holder that sent what is false is asked last: two minutes or more."""

AWAY_ROUNDS: Final = 4
"""The same for one that did not answer: an owner has bodies that nobody else may give."""


class Holders:
    """The claims and the failures of all members, by the sites' root keys."""

    def __init__(self) -> None:
        self._claims: dict[str, Mapping[str, int]] = {}
        self._aside: dict[tuple[str, str], tuple[int, str]] = {}
        self._rounds: dict[str, int] = {}

    def begin(self, site: str) -> None:
        """A round with ``site`` begins."""
        now = self._rounds[site] = self._rounds.get(site, 0) + 1
        for pair in [pair for pair, (until, _) in self._aside.items() if pair[1] == site and until <= now]:
            del self._aside[pair]

    def rounds(self, site: str) -> int:
        """How many rounds with ``site`` were begun."""
        return self._rounds.get(site, 0)

    def heard(self, holder: str, sizes: Mapping[str, int]) -> None:
        """``holder`` says that it has that many leaves of the catalogs of these sites."""
        self._claims[holder] = sizes

    def of(self, site: str, size: int) -> list[str]:
        """Who says to have ``size`` leaves of the catalog of ``site`` or more, the most first; none that is aside."""
        having = {holder: sizes[site] for holder, sizes in self._claims.items() if sizes.get(site, -1) >= size}
        willing = [holder for holder in having if holder != site and (holder, site) not in self._aside]
        return sorted(willing, key=lambda holder: (-having[holder], holder))

    def senders(self, site: str, size: int) -> list[str]:
        """Whom to ask for ``size`` leaves of ``site``, in this order: its owner first, or last after it failed."""
        others = self.of(site, size)
        return [*others, site] if (site, site) in self._aside else [site, *others]

    def set_aside(self, holder: str, site: str, reason: str, rounds: int = ASIDE_ROUNDS) -> None:
        """``holder`` failed at the catalog of ``site``; it is asked last for so many rounds."""
        self._aside[holder, site] = (self._rounds.get(site, 0) + rounds, reason)

    def complaint(self, holder: str) -> str:
        """Why ``holder`` is set aside, for people; empty if it is not."""
        return "; ".join(sorted({reason for (who, _), (_, reason) in self._aside.items() if who == holder}))

    def forget(self, site: str) -> None:
        """``site`` is no member any more."""
        self._claims.pop(site, None)
        self._rounds.pop(site, None)
        for pair in [pair for pair in self._aside if site in pair]:
            del self._aside[pair]
