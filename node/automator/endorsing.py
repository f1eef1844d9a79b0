"""What this site's stewards vouch for: blocks that they endorsed for a type of output, and the node's own aggregator.

A block is endorsed as it is. Where a workflow has something around it (an expression over its inputs, requirements of
its own), that is code that nobody vouched for: then the block is as one that nobody endorsed.

The aggregator needs no endorsement for tables, if what it counts are the rows of a dataset, or rows of a block that was
endorsed for them, and it takes for a person what the owner says is one. Rows that any other block wrote are none: who
writes rows can write ten people who are one, and hide in their numbers what it likes. And who counts visits as people
makes a small group of one who came often.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from catalog.block import EndorseFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.error import BadInput
from catalog.index import Index, SiteIndex
from node.automator.case import Case
from workflow.argument import Data, Literal

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

    def endorsements(self, case: Case, types: Iterable[str]) -> int:
        """How many sites' stewards endorsed it, of those on which a decision may rely now: no former member is one."""
        wanted = set(types)
        if case.around is not None:
            return 0
        return sum(self.endorsed(case.block, wanted, site) for site in self._index.sites.values() if not site.stale)

    def aggregates(self, case: Case, types: Iterable[str]) -> bool:
        """Whether the node's own aggregator counts rows that somebody vouched for, by what their owner calls people."""
        if case.block != self._aggregator or set(types) != TABLES or not case.data:
            return False
        person = _person(case)
        return all(self._are_rows(case, each) and self._is_said(case, each, person) for each in case.data)

    def vouched(self, case: Case, types: Iterable[str]) -> bool:
        """Whether outputs of these types may leave without a steward's word."""
        wanted = frozenset(types)
        if case.around is not None:
            return False
        return self.endorsed(case.block, wanted) or self.aggregates(case, wanted)

    def _is_said(self, case: Case, data: Data, person: str) -> bool:
        """Whether this site says of each of its datasets behind ``data`` that a person is known by that column."""
        found = [
            self._here.typed(DatasetFields, "dataset", str(cid)) for cid in case.evidence.owned(data, self._here.root)
        ]
        return bool(person and found) and all(each is not None and each.person == person for each in found)

    def _are_rows(self, case: Case, data: Data) -> bool:
        """Whether ``data`` are rows as they were published, or as a block made them that was endorsed for it."""
        if case.evidence.dataset(data) is not None:
            return True
        made = case.evidence.made(data)
        return bool(made) and all(
            each.order.step not in case.altered and self.endorsed(each.order.block, {each.output.type}) for each in made
        )


def _person(case: Case) -> str:
    """The column by which the aggregator is asked to count people; empty if its question is none, or says two."""
    asked = case.inputs.get("spec")
    if not isinstance(asked, Literal):
        return ""
    try:
        spec = json.loads(str(asked.value()), object_pairs_hook=list)
    except (BadInput, ValueError, RecursionError):
        return ""
    said = [value for name, value in spec if name == "person"] if _is_object(spec) else []
    return said[0] if len(said) == 1 and isinstance(said[0], str) else ""


def _is_object(spec: object) -> bool:
    """Whether it was an object: a list of pairs now, and a list of anything else is no question."""
    return isinstance(spec, list) and all(isinstance(each, tuple) and len(each) == 2 for each in spec)
