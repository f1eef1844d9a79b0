"""A person's search through their own node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from catalog.error import NotFound
from node.api import schema
from node.site.finding import Wanted
from node.site.publishing import member_of
from node.site.sight import sight_of
from node.site.site import Site
from node.site.submitting import consorting
from node.site.views import entry_view


async def search(site: Site, did: str, request: schema.SearchRequest) -> schema.FoundView:
    """Find what the person ``did`` may see, by words and facets.

    Raises:
        Denied: not enrolled here. BadInput: too many words, an unknown facet, or a page that is too far.
        NotFound: this site is in no consortium yet.
    """
    person = member_of(site, did)
    judge = consorting(site).judge
    now = site.clock.now()
    consortium = site.membership.consortium
    if consortium is None:
        raise NotFound("this site is in no consortium yet; begin one, or join with an invitation")
    grants = await site.finding.grants(person.did)
    sight = sight_of(person, judge.policy(), site.index, judge.recency, consortium, grants, now, judge.faults.decide)
    wanted = Wanted(request.words, request.chosen, request.offset, request.limit)
    found = await site.finding.search(sight, wanted, now)
    names = site.membership.names | {site.root: site.config.name}
    return schema.FoundView(
        total=found.total,
        entries=tuple(entry_view(entry, names) for entry in found.entries),
        facets={facet: _counted(facet, values, names) for facet, values in found.counts.items()},
    )


def _counted(facet: str, values: Sequence[tuple[str, int]], names: Mapping[str, str]) -> tuple[schema.FacetView, ...]:
    called = names if facet == "site" else {}
    return tuple(schema.FacetView(value=value, name=called.get(value, value), count=count) for value, count in values)
