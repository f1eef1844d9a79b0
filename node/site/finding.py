"""Finding what members publish: words and facets over what counts now, cut to what the asker may ``see``.

The words lie in a file (``node/storage/search.py``), the facets in memory; both are projections of the indexes of
the members' logs. What the asker may not see is neither in the rows nor in the counts. The policy is asked once for
each class of things whose facts are the same, not for each thing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import trio

from catalog.cid import Cid
from catalog.entry import Entry
from catalog.error import BadInput, VerificationFailed
from catalog.grant import Grant, GrantFields
from catalog.index import Index
from node.site.facets import Groups, bits_of, numbers_of
from node.site.findable import FACETS, KINDS, is_offered, page_of, values_of
from node.site.sight import Eye, Likeness, Sight, likeness
from node.storage.search import Query, SearchStore, Thing

K = TypeVar("K")
T = TypeVar("T")

MOST_VALUES: Final = 30
"""Values of a facet in an answer: those with the most hits."""

MOST_CHOSEN: Final = 64
LAST_HIT: Final = 10_000
"""Hits that can be paged through; who has more narrows the search."""

MOST_PAGE: Final = 200
RANKED: Final = 5_000
"""Up to so many matches each is weighed (BM25); of more, those with the words in their names come first."""

CHUNK: Final = 1_000
"""Things written at once; searches wait no longer than for one such chunk."""

REMEMBERED: Final = 64
log = logging.getLogger("comity.search")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to find: words, for each facet the values of which one must hold, and which hits of the order."""

    words: str
    chosen: Mapping[str, Sequence[str]]
    offset: int = 0
    limit: int = 20


@dataclass(frozen=True, slots=True)
class Found:
    """How many things were found, those of the page that was asked for, and the counts of each facet.

    The counts of a facet are of what the words and the *other* facets leave, so that they say what choosing another
    value would give.
    """

    total: int
    entries: tuple[Entry, ...]
    counts: Mapping[str, Sequence[tuple[str, int]]]


class Finding:
    """Searches ``index``. ``said`` is told in plain words when the file had to be made anew."""

    def __init__(self, index: Index, store: SearchStore, said: Callable[[str], None]) -> None:
        self._index = index
        self._store = store
        self._said = said
        self._turn = trio.Lock()
        self._known: dict[int, tuple[Likeness, Mapping[str, tuple[str, ...]]]] = {}
        self._likenesses: Groups[Likeness] = Groups()
        self._facets: dict[str, Groups[str]] = {facet: Groups() for facet in FACETS}
        self._all = 0
        self._grants: dict[str, dict[tuple[str, Cid], Grant]] = {}
        self._seen: OrderedDict[str, tuple[Sight, int]] = OrderedDict()
        self._matched: OrderedDict[str, int] = OrderedDict()

    # --- what can be found -------------------------------------------------------------------------------------------

    async def begin(self, site: str) -> None:
        """The index of ``site`` is fed from its first leaf again: nothing of it is found until it counts again."""
        self._drop_grants(site)
        async with self._turn:
            await self._mended(partial(self._hide, site))

    async def counted(self, _site: str, entries: Sequence[Entry]) -> None:
        """Take in entries that newly count; one that says that its thing is withdrawn or ended takes it out."""
        self._take_grants(entries)
        ours = [entry for entry in entries if entry.body.kind in KINDS]
        if ours:
            async with self._turn:
                await self._mended(partial(self._take, ours))

    async def renew(self, root: str) -> None:
        """Bring everything of the site ``root`` in line with its index: after a start, or when that was made anew."""
        self._drop_grants(root)
        if root in self._index.sites:
            self._take_grants(self._index.site(root).entries("grant"))
        async with self._turn:
            await self._mended(partial(self._renew, root, self._now_of(root)))

    async def expunge(self, root: str) -> None:
        """Bring ``root`` in line after an erasure, and leave nothing in the file of what was taken out."""
        await self.renew(root)
        async with self._turn:
            await self._mended(self._store.expunge)

    async def aclose(self) -> None:
        """Close the file."""
        async with self._turn:
            await trio.to_thread.run_sync(self._store.close)

    def _take_grants(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry.fields, GrantFields):
                held = self._grants.setdefault(entry.fields.grant.subject, {})
                held[entry.site, entry.fields.cid] = entry.fields.grant

    def _drop_grants(self, site: str) -> None:
        kept = {did: {at: each for at, each in held.items() if at[0] != site} for did, held in self._grants.items()}
        self._grants = {did: held for did, held in kept.items() if held}

    def _now_of(self, root: str) -> list[Entry]:
        site = self._index.sites.get(root)
        return [] if site is None else [e for kind in KINDS for e in site.entries(kind) if is_offered(e)]

    async def _mended(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread; if the file turns out damaged, make it anew from the indexes and run it again."""
        try:
            return await trio.to_thread.run_sync(work)
        except VerificationFailed as error:
            told = f"{error}; it was made anew from the logs"
            log.warning("%s", told)
            self._said(told)
            sites = {root: self._now_of(root) for root in self._index.sites}
            return await trio.to_thread.run_sync(self._anew, sites, work)

    def _anew(self, sites: Mapping[str, Sequence[Entry]], work: Callable[[], T]) -> T:
        self._store.begin_anew()
        self._known.clear()
        self._likenesses, self._all = Groups(), 0
        self._facets = {facet: Groups() for facet in FACETS}
        for root, entries in sites.items():
            self._renew(root, entries)
        return work()

    def _renew(self, root: str, entries: Sequence[Entry]) -> None:
        stored = {(thing.kind, thing.subject): thing for thing in self._store.of_site(root)}
        fresh: list[Entry] = []
        for entry in entries:
            thing = stored.get((entry.body.kind, entry.subject))
            if thing is None or thing.place != entry.index:
                fresh.append(entry)
            else:
                self._remove(thing.id)
                self._add(thing.id, entry)
        there = {(entry.body.kind, entry.subject) for entry in entries}
        self._drop([thing.id for key, thing in stored.items() if key not in there])
        self._put(fresh)

    def _take(self, entries: Sequence[Entry]) -> None:
        latest = {(entry.site, entry.body.kind, entry.subject): entry for entry in entries}
        fresh, gone = [], []
        for key, entry in latest.items():
            thing = self._store.find(*key)
            if not is_offered(entry):
                gone += [thing.id] if thing else []
            elif thing is None or thing.place != entry.index:
                fresh.append(entry)
            else:
                self._remove(thing.id)
                self._add(thing.id, entry)
        self._drop(gone)
        self._put(fresh)

    def _hide(self, root: str) -> None:
        for thing in self._store.of_site(root):
            self._remove(thing.id)

    def _put(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), CHUNK):
            chunk = entries[start : start + CHUNK]
            for number, entry in zip(self._store.put([page_of(entry) for entry in chunk]), chunk, strict=True):
                self._remove(number)
                self._add(number, entry)

    def _drop(self, numbers: Sequence[int]) -> None:
        if numbers:
            self._store.drop(numbers)
        for number in numbers:
            self._remove(number)

    def _add(self, number: int, entry: Entry) -> None:
        like, values = likeness(entry), values_of(entry)
        self._known[number] = like, values
        self._likenesses.add(number, (like,))
        for facet, each in values.items():
            self._facets[facet].add(number, each)
        self._forget()

    def _remove(self, number: int) -> None:
        known = self._known.pop(number, None)
        if known is not None:
            self._likenesses.remove(number, (known[0],))
            for facet, each in known[1].items():
                self._facets[facet].remove(number, each)
            self._forget()

    def _forget(self) -> None:
        """What was remembered of searches is of things as they were."""
        self._all = 0
        self._seen.clear()
        self._matched.clear()

    # --- finding -----------------------------------------------------------------------------------------------------

    def grants(self, person: str) -> Mapping[Cid, Grant]:
        """The grants to ``person`` that stand in some catalog; whether they hold is another question."""
        held = self._grants.get(person, {})
        return {cid: grant for (_, cid), grant in held.items()}

    async def search(self, sight: Sight, wanted: Wanted, now: int) -> Found:
        """Find what may be seen with ``sight`` at ``now`` (Unix milliseconds).

        Raises:
            BadInput: too many words, an unknown facet, or a page that is too far.
        """
        query = _checked(wanted)
        async with self._turn:
            total, things, counts = await self._mended(partial(self._search, query, sight, wanted))
        entries = []
        for thing in things:
            site = self._index.sites.get(thing.site)
            entry = site.latest(thing.kind, thing.subject) if site is not None else None
            # The index is the truth: what changed this moment is not shown from a file that says otherwise.
            if entry is not None and entry.index == thing.place and is_offered(entry, now):
                entries.append(entry)
        return Found(total, tuple(entries), counts)

    def _search(
        self, query: Query, sight: Sight, wanted: Wanted
    ) -> tuple[int, list[Thing], dict[str, list[tuple[str, int]]]]:
        hits = self._visible(sight) & (self._matching(query) if query.words else self._everything())
        held = {facet: self._facets[facet].union(set(v).__contains__) for facet, v in wanted.chosen.items() if v}
        left = hits
        for bits in held.values():
            left &= bits
        counts: dict[str, list[tuple[str, int]]] = {}
        for facet, groups in self._facets.items():
            others = hits
            for name, bits in held.items():
                others = others & bits if name != facet else others
            ordered = sorted(groups.counts(others).items(), key=lambda each: (-each[1], each[0]))
            counts[facet] = ordered[:MOST_VALUES]
        return left.bit_count(), self._store.things(self._page(query, left, wanted)), counts

    def _page(self, query: Query, hits: int, wanted: Wanted) -> list[int]:
        """The best hits first where there are words, the newest where there are none."""
        end = wanted.offset + wanted.limit
        if query.words and self._matching(query).bit_count() <= RANKED:
            scores = self._store.scores(query)
            ordered = sorted(numbers_of(hits), key=lambda number: scores.get(number, 0.0))
            return ordered[wanted.offset : end]
        named = hits & bits_of(self._store.matching(query, name_only=True)) if query.words else 0
        page: list[int] = []
        for part in (named, hits & ~named):
            for number in numbers_of(part):
                if len(page) == end:
                    break
                page.append(number)
        return page[wanted.offset :]

    def _matching(self, query: Query) -> int:
        """Whoever refines or leafs through a search asks for the same words again."""
        known = self._matched.get(query.expression)
        bits = bits_of(self._store.matching(query)) if known is None else known
        _remember(self._matched, query.expression, bits)
        return bits

    def _everything(self) -> int:
        if not self._all:
            self._all = self._likenesses.union(lambda _: True)
        return self._all

    def _visible(self, sight: Sight) -> int:
        known = self._seen.get(sight.person)
        bits = known[1] if known is not None and known[0].like(sight) else self._decide(sight)
        _remember(self._seen, sight.person, (sight, bits))
        return bits

    def _decide(self, sight: Sight) -> int:
        """Ask the policy: once for each class, and for each thing that it or a grant of the person's names."""
        eye = Eye(sight)
        bits = self._likenesses.union(eye.sees)
        for thing in self._store.of_subjects(sight.policy.named | {subject for _, subject in sight.granted}):
            known = self._known.get(thing.id)
            if known is not None:
                bits = bits | 1 << thing.id if eye.sees(known[0], thing.subject) else bits & ~(1 << thing.id)
        return bits


def _checked(wanted: Wanted) -> Query:
    unknown = sorted(set(wanted.chosen) - set(FACETS))
    if unknown:
        raise BadInput(f"there is no facet «{unknown[0][:40]}»; there are: {', '.join(FACETS)}")
    if sum(len(values) for values in wanted.chosen.values()) > MOST_CHOSEN:
        raise BadInput(f"at most {MOST_CHOSEN} values can be chosen in one search")
    if not 0 < wanted.limit <= MOST_PAGE or not 0 <= wanted.offset <= LAST_HIT - wanted.limit:
        raise BadInput(f"a page has 1 to {MOST_PAGE} hits of the first {LAST_HIT:,}; narrow the search for others")
    return Query.of(wanted.words)


def _remember(kept: OrderedDict[K, T], key: K, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
