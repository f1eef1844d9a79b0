"""Finding what members publish: words and facets over what counts now, cut to what the asker may ``see``.

The words lie in a file (``node/storage/search.py``), the facets in memory; both are projections of the indexes of
the members' logs. What the asker may not see is neither in the rows nor in the counts. The policy is asked once for
each class of things whose facts are the same, not for each thing.
"""

from __future__ import annotations

import logging
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, TypeVar

import trio
from msgspec import msgpack

from catalog.cid import Cid
from catalog.entry import Entry
from catalog.error import BadInput, Damaged
from catalog.grant import Grant, GrantFields
from catalog.index import Index
from catalog.project import ProjectFields
from catalog.versions import HeldVersions, Versions
from catalog.withdraw import WithdrawFields
from node.site.facets import Groups, bits_of, numbers_of
from node.site.findable import FACETS, KINDS, Nature, is_offered, page_of
from node.site.sight import Eye, Likeness, Sight
from node.storage.search import Followed, Held, Query, SearchStore, Thing

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

NEVER: Final = 1 << 63
"""Later than any time, in Unix milliseconds."""

CHUNK: Final = 1_024
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


@dataclass(frozen=True, slots=True)
class _Nature:
    """A nature as it is at hand."""

    likeness: Likeness
    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, data: bytes) -> _Nature:
        nature = msgpack.decode(data, type=Nature)
        return cls(nature.likeness, nature.values)


class Finding:
    """Searches ``index``. ``said`` is told in plain words when the file had to be made anew."""

    def __init__(self, index: Index, store: SearchStore, said: Callable[[str], None]) -> None:
        self._index = index
        self._store = store
        self._said = said
        self._turn = trio.Lock()
        self._natures: list[_Nature | None] = []
        self._nature_of = array("I")
        self._likenesses: Groups[Likeness] = Groups()
        self._facets: dict[str, Groups[str]] = {facet: Groups() for facet in FACETS}
        self._all = 0
        self._ends = 0
        self._in_line: set[str] = set()
        self._seen: OrderedDict[str, tuple[Sight, int]] = OrderedDict()
        self._matched: OrderedDict[str, int] = OrderedDict()

    # --- what can be found -------------------------------------------------------------------------------------------

    async def begin(self, site: str) -> None:
        """The index of ``site`` is fed from its first leaf again: nothing of it is found until it counts again."""
        async with self._turn:
            await self._mended(partial(self._hide, site))

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """Take in entries that newly count; one that says that its thing is withdrawn or ended takes it out."""
        async with self._turn:
            await self._mended(partial(self._take, site, entries))

    async def renew(self, root: str) -> None:
        """Bring everything of the site ``root`` in line with its index: after a start, or when that was made anew."""
        async with self._turn:
            await self._mended(partial(self._renew, root))

    async def expunge(self, root: str) -> None:
        """Leave nothing in the file of what was taken back by ``root``."""
        async with self._turn:
            if root not in self._in_line:
                await self._mended(partial(self._renew, root))
            await self._mended(self._expunge)

    async def aclose(self) -> None:
        """Close the file."""
        async with self._turn:
            await trio.to_thread.run_sync(self._store.close)

    async def _mended(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread; if the file turns out damaged, make it anew from the indexes and run it again."""
        try:
            return await trio.to_thread.run_sync(work)
        except Damaged as error:
            told = f"{error}; it was made anew from the logs"
            log.warning("%s", told)
            self._said(told)
            return await trio.to_thread.run_sync(self._anew, work)

    def _anew(self, work: Callable[[], T]) -> T:
        self._store.begin_anew()
        self._natures, self._nature_of = [], array("I")
        self._likenesses, self._all = Groups(), 0
        self._facets = {facet: Groups() for facet in FACETS}
        for root in list(self._index.sites):
            self._renew(root)
        return work()

    def _expunge(self) -> None:
        self._store.expunge()
        known = self._store.natures()
        self._natures = [nature if number in known else None for number, nature in enumerate(self._natures)]

    def _renew(self, root: str) -> None:
        site, followed = self._index.sites.get(root), self._store.followed(root)
        # One reading, also where the log is read anew meanwhile: what is told of that comes behind this.
        versions, size = (site.versions, site.size) if site is not None else (HeldVersions(), 0)
        if followed is not None and followed.reading == versions.name:
            self._load(root)
            for kind in (*KINDS, "grant", "withdraw"):
                for some in _chunks(versions.entries(kind, followed.size)):
                    self._put_in(root, some)
        else:
            self._compare(root, versions)
        self._in_line.add(root)
        self._follow(root, versions, size)

    def _load(self, root: str) -> None:
        """What an earlier run took in."""
        found = self._store.natures_of(root)
        self._know(self._store.natures())
        self._add(zip(found[::2], found[1::2], strict=True))

    def _compare(self, root: str, versions: Versions) -> None:
        """Go through all that counts of ``root``, and take out what does not."""
        stored = {(thing.kind, thing.subject): thing for thing in self._store.of_site(root)}
        self._hide(root)
        self._store.release(root)
        for some in _chunks(entry for kind in (*KINDS, "grant") for entry in versions.entries(kind)):
            self._put_in(root, some)
            for entry in some:  # whether it is offered or not: its number may be another thing's by now
                stored.pop((entry.body.kind, entry.subject), None)
        self._drop([thing.id for thing in stored.values()])

    def _take(self, root: str, entries: Sequence[Entry]) -> None:
        whole, site = root in self._in_line, self._index.sites.get(root)
        self._in_line.discard(root)  # what fails here is made good by the next start, from where it was followed to
        for some in _chunks(iter(entries)):
            self._put_in(root, some)
        if whole and site is not None:
            self._in_line.add(root)
            self._follow(root, site.versions, entries[-1].index + 1)

    def _follow(self, root: str, versions: Versions, size: int) -> None:
        if versions.name:
            self._store.follow(root, Followed(versions.name, size))

    def _put_in(self, root: str, entries: Sequence[Entry]) -> None:
        """Take in consecutive entries of ``root``."""
        self._store.hold(
            Held(entry.fields.grant.subject, root, entry.subject, entry.index)
            for entry in entries
            if isinstance(entry.fields, GrantFields)
        )
        taken_back = {place for e in entries if isinstance(e.fields, WithdrawFields) for place in e.fields.places}
        latest = {(e.body.kind, e.subject): e for e in entries if e.body.kind in KINDS}
        there = {(thing.kind, thing.subject): thing for thing in self._store.named((root, *key) for key in latest)}
        fresh: list[Entry] = []
        gone: list[int] = []
        kept: list[tuple[int, int]] = []
        for key, entry in latest.items():
            thing = there.get(key)
            if not is_offered(entry) or entry.index in taken_back:
                gone += [thing.id] if thing else []
            elif thing is None or thing.place != entry.index:
                fresh.append(entry)
            else:
                kept.append((thing.id, thing.nature))
        for entry in entries:
            if isinstance(entry.fields, WithdrawFields):
                gone += self._store.at_places(root, entry.fields.places)
                self._store.release(root, entry.fields.places)
        self._drop(gone)
        pages = [page_of(entry) for entry in fresh]
        put = self._store.put(pages)
        self._know({nature: page.nature for page, (_, nature) in zip(pages, put, strict=True)})
        self._add([*kept, *put])

    def _hide(self, root: str) -> None:
        self._in_line.discard(root)
        self._store.follow(root, None)
        self._remove(self._store.natures_of(root)[::2])

    def _drop(self, numbers: Sequence[int]) -> None:
        if numbers:
            self._store.drop(numbers)
            self._remove(numbers)

    def _know(self, natures: Mapping[int, bytes]) -> None:
        for number, value in natures.items():
            self._natures.extend([None] * (number + 1 - len(self._natures)))
            if self._natures[number] is None:
                self._natures[number] = _Nature.read(value)

    def _add(self, found: Iterable[tuple[int, int]]) -> None:
        """Take in things with their natures, each by its number."""
        natures = dict(found)
        self._remove(natures)
        self._nature_of.extend([0] * (max(natures, default=-1) + 1 - len(self._nature_of)))
        for number, nature in natures.items():
            self._nature_of[number] = nature
        for known, numbers, bits in self._alike(natures):
            if known.likeness.kind == "project":
                self._ends = 0  # whether its time is over is looked at by the next search
            self._likenesses.add(numbers, bits, (known.likeness,))
            for facet, each in known.values.items():
                self._facets[facet].add(numbers, bits, each)
        self._forget()

    def _remove(self, numbers: Iterable[int]) -> None:
        """Let go those of the things that are known."""
        for known, some, bits in self._alike(numbers):
            self._likenesses.remove(some, bits, (known.likeness,))
            for facet, each in known.values.items():
                self._facets[facet].remove(some, bits, each)
            for number in some:
                self._nature_of[number] = 0
        self._forget()

    def _alike(self, numbers: Iterable[int]) -> Iterator[tuple[_Nature, Sequence[int], int]]:
        """Those of the things that are known, by their natures, with the set of them."""
        alike: dict[int, list[int]] = {}
        for number in numbers:
            if number < len(self._nature_of) and self._nature_of[number]:
                alike.setdefault(self._nature_of[number], []).append(number)
        for nature, some in alike.items():
            yield self._nature(nature), some, bits_of(some)

    def _nature(self, number: int) -> _Nature:
        if number >= len(self._natures) or self._natures[number] is None:
            self._know(self._store.natures())
        known = self._natures[number] if number < len(self._natures) else None
        if known is None:
            raise Damaged(f"the search lacks the nature {number} of one of its things")
        return known

    def _known(self, number: int) -> _Nature | None:
        """The nature of a thing that can be found."""
        nature = self._nature_of[number] if number < len(self._nature_of) else 0
        return self._natures[nature] if nature else None

    def _forget(self) -> None:
        """What was remembered of searches is of things as they were."""
        self._all = 0
        self._seen.clear()
        self._matched.clear()

    # --- finding -----------------------------------------------------------------------------------------------------

    async def grants(self, person: str) -> Mapping[Cid, Grant]:
        """The grants to ``person`` that stand in some catalog; whether they hold is another question."""
        async with self._turn:
            held = await self._mended(partial(self._store.held_by, person))
        found: dict[Cid, Grant] = {}
        for each in held:
            site = self._index.sites.get(each.site)
            entry = site.latest("grant", each.subject) if site is not None else None
            if entry is not None and isinstance(entry.fields, GrantFields):
                found[entry.fields.cid] = entry.fields.grant
        return found

    async def search(self, sight: Sight, wanted: Wanted, now: int) -> Found:
        """Find what may be seen with ``sight`` at ``now`` (Unix milliseconds).

        Raises:
            BadInput: too many words, an unknown facet, or a page that is too far.
        """
        query = _checked(wanted)
        async with self._turn:
            if now > self._ends:
                await self._mended(partial(self._expire, now))
            total, things, counts = await self._mended(partial(self._search, query, sight, wanted))
        entries = []
        for thing in things:
            site = self._index.sites.get(thing.site)
            entry = site.latest(thing.kind, thing.subject) if site is not None else None
            # The index is the truth: what changed this moment is not shown from a file that says otherwise.
            if entry is not None and entry.index == thing.place and is_offered(entry, now):
                entries.append(entry)
        return Found(total, tuple(entries), counts)

    def _expire(self, now: int) -> None:
        """Let go the projects whose time is over at ``now``, and note when the next one's will be."""
        projects = self._facets["kind"].union({"project"}.__contains__)
        ends, over = [NEVER], []
        for thing in self._store.things(list(numbers_of(projects))):
            site = self._index.sites.get(thing.site)
            fields = site.typed(ProjectFields, thing.kind, thing.subject) if site is not None else None
            if fields is None or fields.over(now):
                over.append(thing.id)
            else:
                ends.append(fields.not_after)
        self._remove(over)
        self._ends = min(ends)

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
            known = self._known(thing.id)
            if known is not None:
                bits = bits | 1 << thing.id if eye.sees(known.likeness, thing.subject) else bits & ~(1 << thing.id)
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


def _chunks(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    left = iter(entries)
    while some := list(islice(left, CHUNK)):
        yield some


def _remember(kept: OrderedDict[K, T], key: K, value: T) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)
