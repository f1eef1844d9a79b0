"""What this site's stewards vouch for: blocks that they endorsed for a type of output, and the node's own aggregator.

The aggregator needs no endorsement for tables, if what it counts are the rows of a dataset, or rows of a block that was
endorsed for them. Rows that any other block wrote are none: who writes rows can write ten people who are one, and hide
in their numbers what it likes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from catalog.block import EndorseFields
from catalog.cid import Cid
from catalog.index import Index, SiteIndex
from node.automator.case import Case
from workflow.argument import Data

TABLES: Final = frozenset({"table"})


class Endorsing:
    """Who endorsed what, at the site whose catalog is ``here``; ``aggregator`` is the node's own block, if any."""

    def __init__(self, here: SiteIndex, index: Index, aggregator: Cid | None) -> None:
        self._here = here
        self._index = index
        self._aggregator = aggregator

    def endorsed(self, block: Cid, types: Iterable[str], by: SiteIndex | None = None) -> bool:
        """Whether a steward of this site (or of ``by``) endorsed ``block`` for all of these output types."""
        endorsement = (by or self._here).typed(EndorseFields, "endorse", str(block))
        return endorsement is not None and not endorsement.withdrawn and set(types) <= set(endorsement.output_types)

    def endorsements(self, block: Cid, types: Iterable[str]) -> int:
        """How many sites' stewards endorsed it, of those on which a decision may rely now: no former member is one."""
        wanted = set(types)
        return sum(self.endorsed(block, wanted, site) for site in self._index.sites.values() if not site.stale)

    def aggregates(self, case: Case, types: Iterable[str]) -> bool:
        """Whether the node's own aggregator counts tables of rows that somebody vouched for."""
        counted = case.block == self._aggregator and set(types) == TABLES
        return counted and bool(case.data) and all(self._are_rows(case, data) for data in case.data)

    def vouched(self, case: Case, types: Iterable[str]) -> bool:
        """Whether outputs of these types may leave without a steward's word."""
        wanted = frozenset(types)
        return self.endorsed(case.block, wanted) or self.aggregates(case, wanted)

    def _are_rows(self, case: Case, data: Data) -> bool:
        """Whether ``data`` are rows as they were published, or as a block made them that was endorsed for it."""
        if case.evidence.dataset(data) is not None:
            return True
        made = case.evidence.made(data)
        return bool(made) and all(self.endorsed(each.order.block, {each.output.type}) for each in made)
