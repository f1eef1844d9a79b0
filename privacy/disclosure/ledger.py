"""The ledger of what was released about each population, for all requesters together, and what follows from it.

It is a projection of the owner's audit log: fed the same releases in any order it refuses the same. What it finds in
a new table is a finding like any other, so that the cell is suppressed like others.

Three questions are asked of a table without its suppressed cells. Does it group the values of a column otherwise than
was released before (then sums of unlike groups could be solved for a small one)? Does a count, or a sum of counts of
one release, lie in another and differ by a small group (:mod:`privacy.disclosure.differencing`)? Does anything small
follow along a column from all that is known (:mod:`privacy.disclosure.closure`)?

Releases of other datasets of the population are compared by the second question alone; and so are tables of which
nobody knows what rows they are of: such a table is taken to be of the same rows as any other, of more, or of fewer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from privacy.disclosure.closure import Closure
from privacy.disclosure.differencing import Columns, Published, inside
from privacy.disclosure.population import Populations
from privacy.disclosure.predicate import Box, Domains, ValueSet
from privacy.disclosure.release import Frame, Release
from privacy.disclosure.rules import Finding, Reason, Rules
from privacy.disclosure.table import Key, Table, in_words

Universe = frozenset[str]
"""The datasets that were counted together."""


@dataclass(slots=True)
class _Known:
    """What is known of one population, whose columns have the values in ``domains``."""

    domains: Domains = field(default_factory=dict)
    releases: dict[str, Release] = field(default_factory=dict)
    bared: dict[str, Release] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    published: Published = field(default_factory=Published)
    bare: Published = field(default_factory=Published)
    vague: Published = field(default_factory=Published)
    closures: dict[Universe, Closure] = field(default_factory=dict)


class Ledger:
    """What was released about each of ``populations``. :meth:`record` feeds it, :meth:`past` asks it."""

    def __init__(self, populations: Populations) -> None:
        self._populations = populations
        self._known: dict[str, _Known] = {}

    @classmethod
    def of(cls, populations: Populations, releases: Iterable[Release]) -> Ledger:
        """The ledger of ``releases``. Blocking: about 5 ms for each."""
        ledger = cls(populations)
        for release in releases:
            ledger.record(release)
        return ledger

    def record(self, release: Release, threshold: int = Rules().threshold) -> None:
        """Take in a release that was decided. The same one again changes nothing."""
        for name in self._names(release.datasets):
            known = self._known.setdefault(name, _Known(self._populations.columns.get(name, {})))
            _record(known, release, threshold)

    def releases(self, dataset: str) -> tuple[Release, ...]:
        """What was released about the population of ``dataset``, in the order of recording."""
        known = self._known.get(self._populations.name(dataset))
        return tuple(known.releases.values()) if known else ()

    def past(self, datasets: Collection[str]) -> Past:
        """What is known about the populations of ``datasets``, for a table that was counted in them."""
        names = self._names(datasets)
        unknown = (_Known(self._populations.columns.get(name, {})) for name in names)
        known = tuple(self._known.get(name, new) for name, new in zip(names, unknown, strict=True))
        return Past(frozenset(datasets), known)

    def _names(self, datasets: Iterable[str]) -> list[str]:
        return sorted({self._populations.name(each) for each in datasets})


@dataclass(frozen=True, slots=True)
class Past:
    """What is known already where a table of ``datasets`` is to be released; see :meth:`Ledger.past`."""

    datasets: Universe
    _known: tuple[_Known, ...]

    def public(self, table: Table) -> frozenset[Key]:
        """The cells of ``table`` whose count left before, or follows from what left: to withhold them hides nothing."""
        if table.where is None:
            return frozenset()
        finest = Release.of("", self.datasets, table, ()).frames[0]
        return frozenset(
            key for box, key, _ in finest.boxes if any(_is_public(known, box, self.datasets) for known in self._known)
        )

    def check(self, table: Table, withheld: Collection[Key], rules: Rules) -> tuple[Finding, ...]:
        """What a release of ``table`` without its ``withheld`` cells would tell beside what left before.

        A finding names the cell that should be suppressed too, or none where nothing but refusing helps. There may be
        more to find once those are suppressed.
        """
        release = Release.of("", self.datasets, table, withheld)
        found: dict[tuple[Reason, Key | None], Finding] = {}
        for known in self._known:
            for finding in _found(known, _written_alike(release, known.domains), rules.threshold):
                found.setdefault((finding.reason, finding.key), finding)
        return tuple(found.values())


def _is_public(known: _Known, box: Box, universe: Universe) -> bool:
    closure = known.closures.get(universe)
    return known.published.get(box, universe) or (closure is not None and closure.get(box) is not None)


def _record(known: _Known, release: Release, threshold: int) -> None:
    if release.id in known.releases:
        return
    release = _written_alike(release, known.domains)
    known.releases[release.id] = release
    known.bared[release.id] = replace(release, where=None)
    for column, values in _sets(release):
        known.columns.add(column, values)
    universe = release.datasets
    if release.where is None:
        for frame in release.frames:
            known.vague.add(frame, universe)
            known.bare.add(frame, universe)
        return
    closure = known.closures.setdefault(universe, Closure(known.domains))
    for frame in release.frames:
        known.published.add(frame, universe)
        known.bare.add(_bare(frame), universe)
    closure.add(_facts(release.frames), threshold)


def _found(known: _Known, release: Release, threshold: int) -> Iterator[Finding]:
    crossing = _crossing(known.columns, release)
    if crossing is not None:
        yield crossing
        return
    vague = release.where is None
    for frame in release.frames:
        bare = _bare(frame)
        nearby = [(known.bare, bare)] if vague else [(known.published, frame), (known.vague, bare)]
        for published, asked in nearby:
            for key, _, difference in published.around(asked, known.columns, threshold):
                yield _differs(release, frame, key, difference)
        for earlier in known.releases.values():
            alike = vague or earlier.where is None
            asked, of = (bare, known.bared[earlier.id]) if alike else (frame, earlier)
            for key, difference in inside(asked, of, threshold):
                yield _differs(release, frame, key, difference)
    if not vague:
        yield from _following(known, release, threshold)


def _following(known: _Known, release: Release, threshold: int) -> Iterator[Finding]:
    """What follows along columns; of the cells that it follows from, the smallest is named."""
    trial = Closure(known.domains, known.closures.get(release.datasets))
    cells = {box: (frame, key) for frame in release.frames for box, key, _ in frame.boxes}
    remainders, whole = trial.add(_facts(release.frames), threshold)
    if not whole:
        yield Finding(Reason.DIFFERENCE, None, "what follows from it and earlier releases is too much to be looked at")
    for each in (*remainders, *trial.between(threshold)):
        told = trial.roots(each.members) if each.members else [each.group]
        roots = [cells[root] for root in told if root in cells]
        smallest = [_smallest(release, frame, key) for frame, key in roots]
        if smallest:
            yield _told(min(smallest, key=lambda key: (release.counts[key], key)), each.count)


def _differs(release: Release, frame: Frame, key: Key, difference: int) -> Finding:
    return _told(_smallest(release, frame, key), abs(difference))


def _told(key: Key, count: int) -> Finding:
    words = f"with earlier releases the cell {in_words(key)} would tell of a group of {count}"
    return Finding(Reason.DIFFERENCE, key, words)


def _smallest(release: Release, frame: Frame, key: Key) -> Key:
    """The cell to suppress so that a sum cannot be made up: the smallest one in it."""
    if len(frame.by) == len(release.by):
        return key
    places = [release.by.index(column) for column in frame.by]
    inner = (cell for cell in release.counts if tuple(cell[at] for at in places) == key)
    return min(inner, key=lambda cell: (release.counts[cell], cell))


def _crossing(columns: Columns, release: Release) -> Finding | None:
    for column, values in _sets(release):
        other = columns.crossed(column, values)
        if other is not None:
            few = ", ".join(sorted(other.listed)[:5])
            words = (
                f"it groups «{column}» otherwise than was released before ({few}): sums of unlike groups can be solved"
            )
            return Finding(Reason.CROSSING, None, words)
    return None


def _sets(release: Release) -> Iterator[tuple[str, ValueSet]]:
    """The groups of values of each column that a release is about."""
    for column, values in release.restriction:
        if column not in release.by:
            yield column, values
    for at, column in enumerate(release.by):
        for category in sorted({key[at] for key in release.counts}):
            yield column, ValueSet(frozenset((category,)))


def _facts(frames: Iterable[Frame]) -> dict[Box, int]:
    return {box: count for frame in frames for box, _, count in frame.boxes}


def _written_alike(release: Release, domains: Domains) -> Release:
    """The release without restrictions to all values that a column has."""
    all_of = [
        column for column, values in (release.where or {}).items() if column in domains and domains[column] <= values
    ]
    kept = {column: values for column, values in (release.where or {}).items() if column not in all_of}
    return replace(release, where=kept) if all_of else release


def _bare(frame: Frame) -> Frame:
    return replace(frame, where=())
