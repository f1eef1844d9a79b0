"""Searching 100,000 entries of eight sites, as one of their researchers: rows, their total, and every facet's counts.

The queries are mixed as people's are: words as rare and as common as they come in the entries, one or two of them,
beginnings of words as they are typed, facets chosen with and without words, and facets alone. Each is asked of the
whole search: the words, the policy's ``see`` for every class of things, the facets' counts, and the rows of the first
page. Promised is an answer within 30 ms for 95 of 100.

The reference is what SQLite needs for the same words without any of that: the twenty best by BM25 from a bare FTS5
table of the same texts, in the same run, in turn; for a search without words the twenty newest rows.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from bench.figure import Figure, Floor, Report, Series
from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.dataset import DatasetFields, Level
from catalog.entry import Entry
from catalog.erasable import as_counted
from catalog.index import Index, SiteIndex
from catalog.key import PrivateKey
from catalog.member import Role
from catalog.project import ProjectFields
from node.site.finding import Finding, Wanted
from node.site.sight import Sight
from node.storage.search import Query, SearchStore
from privacy.label import OPEN, label_of, resident
from privacy.policy import Policy
from privacy.request import PersonAsker
from privacy.starters import HOSPITAL

SITES: Final = 8
ENTRIES: Final = 100_000
QUERIES: Final = 400
WORDS: Final = 6_000
_FORMATS: Final = ("text/csv", "application/parquet", "application/dicom", "text/vcf", "application/json")
_TERMS: Final = ("DUO:0000042", "DUO:0000006", "DUO:0000007/MONDO:0005148", "DUO:0000007/MONDO:0004979", "DUO:0000011")
_MODIFIERS: Final = ("DUO:0000018", "DUO:0000019", "DUO:0000021", "DUO:0000045")
_SYLLABLES: Final = ("car", "dio", "neu", "ro", "gen", "ome", "lab", "tes", "ima", "ger", "pul", "mo", "on", "co", "ta")


class Catalog(SiteIndex):
    """An index that is told what counts: signatures are not what is measured here."""

    def tell(self, entry: Entry) -> None:
        """Let ``entry`` count."""
        self.versions.count(entry, b"", as_counted(entry))


def measure() -> Report:
    """Measure it."""
    with TemporaryDirectory(prefix="comity-bench-") as folder:
        return trio.run(_measure, Path(folder))


async def _measure(folder: Path) -> Report:
    dice = random.Random(5)
    words, weights = _vocabulary(dice), [1 / (rank + 4) for rank in range(WORDS)]
    sites = [PrivateKey(dice.randbytes(32)) for _ in range(SITES)]
    index, texts = _catalog(dice, sites, words, weights)
    store, _ = SearchStore.open(folder / "search.db")
    finding = Finding(index, store, lambda _: None)
    began = time.perf_counter()
    for site in sites:
        await finding.renew(site.did)
    fed = time.perf_counter() - began
    bare = _bare(folder / "bare.db", texts)
    home = sites[0].did
    asker = PersonAsker(PrivateKey(dice.randbytes(32)).did, home, frozenset({str(Role.RESEARCHER)}))
    policy = Policy.parse(HOSPITAL, site="St. Anna", version="1")
    sight = Sight(policy, home, {site.did: asker for site in sites}, frozenset(), frozenset())
    began = time.perf_counter()
    await finding.search(sight, Wanted("", {}), 0)
    first = time.perf_counter() - began
    ours, theirs, hits = [], [], []
    for wanted in _queries(dice, words, weights, home):
        began = time.perf_counter()
        found = await finding.search(sight, wanted, 0)
        between = time.perf_counter()
        _ask_bare(bare, wanted.words)
        theirs.append(time.perf_counter() - between)
        ours.append(between - began)
        hits.append(found.total)
    await finding.aclose()
    bare.close()
    figures = (
        Figure(
            f"search {ENTRIES:,} entries with facet counts, 95 of 100",
            Series.of_seconds("whole search", [_most(ours)]),
            Series.of_seconds("bare FTS5, best 20", [_most(theirs)]),
            Floor(30),
        ),
        Figure(
            "the same, median",
            Series.of_seconds("whole search", ours),
            Series.of_seconds("bare FTS5, best 20", theirs),
        ),
    )
    return Report(
        figures,
        (
            f"{QUERIES} searches, {sum(hits) // len(hits):,} hits on average, {max(hits):,} at most; slowest "
            f"{max(ours) * 1000:.0f} ms, bare {max(theirs) * 1000:.0f} ms",
            f"a person's first search, which asks the policy for every class of things: {first * 1000:.0f} ms",
            f"taking in all {ENTRIES:,} entries: {fed:.1f} s",
        ),
    )


def _vocabulary(dice: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < WORDS:
        found["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 5)))] = None
    return list(found)


def _catalog(
    dice: random.Random, sites: Sequence[PrivateKey], words: Sequence[str], weights: Sequence[float]
) -> tuple[Index, list[tuple[str, str]]]:
    index, texts = Index(), []
    catalogs = [Catalog(site.did) for site in sites]
    bodies = {
        kind: write_body(kind, _project(number, "nothing", sites[0].did), site=sites[0].did, at=0, by=sites[0])
        for number, kind in enumerate(("dataset", "block", "project"))
    }
    for number in range(ENTRIES):
        catalog, name = catalogs[number % SITES], " ".join(dice.choices(words, weights, k=4))[:120]
        about = " ".join(dice.choices(words, weights, k=25))
        texts.append((name, about))
        lot = dice.random()
        fields: DatasetFields | BlockFields | ProjectFields
        if lot < 0.8:
            kind, fields = "dataset", _dataset(dice, number, catalog.root, name, about)
        elif lot < 0.95:
            kind, fields = "block", _block(dice, number, sites, name, about)
        else:
            kind, fields = "project", _project(number, name, sites[0].did)
        subject = f"{fields.name} {number}" if isinstance(fields, ProjectFields) else str(fields.cid)
        catalog.tell(Entry(catalog.root, number, bodies[kind], fields, subject))
    for catalog in catalogs:
        index.replace(catalog)
    return index, texts


def _dataset(dice: random.Random, number: int, site: str, name: str, about: str) -> DatasetFields:
    level = dice.choices((Level.RESIDENT, Level.OPEN), (3, 1))[0]
    return DatasetFields(
        cid=Cid.of(b"dataset %d" % number),
        name=name,
        level=level,
        label=OPEN if level is Level.OPEN else resident(site),
        purposes=(dice.choice(_TERMS), *sorted(dice.sample(_MODIFIERS, dice.randint(0, 2)))),
        description=about,
        media_type=dice.choice(_FORMATS),
        size=int(10 ** dice.uniform(3, 13)),
    )


def _block(dice: random.Random, number: int, sites: Sequence[PrivateKey], name: str, about: str) -> BlockFields:
    """A block that some of the sites may have."""
    readers = [site.did for site in dice.sample(sites, dice.randint(1, 3))]
    return BlockFields(
        cid=Cid.of(b"block %d" % number),
        name=name,
        label=label_of({sites[number % SITES].did: readers}),
        description=about,
        outputs={"table": "statistics"},
    )


def _project(number: int, name: str, person: str) -> ProjectFields:
    return ProjectFields(
        name=f"{name[:100]} {number}", people=(person,), purpose="DUO:0000006", datasets=(), not_after=1 << 62
    )


def _queries(dice: random.Random, words: Sequence[str], weights: Sequence[float], home: str) -> list[Wanted]:
    """What people ask: of ten four for one word, two for two words, two while typing, one chooses, one only chooses."""
    found = []
    for number in range(QUERIES):
        one, other = dice.choices(words, weights, k=2)
        text, chosen = one, dict[str, tuple[str, ...]]()
        match number % 10:
            case 4 | 5:
                text = f"{one} {other}"
            case 6 | 7:
                text = one[: dice.randint(2, 5)]
            case 8:
                chosen = {"kind": ("dataset",), "level": ("resident",)}
            case 9:
                text, chosen = "", {"site": (home,), "duo": (dice.choice(_MODIFIERS),)}
            case _:
                pass
        found.append(Wanted(text, chosen))
    return found


def _bare(path: Path, texts: Sequence[tuple[str, str]]) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5 (name, about, prefix = '1 2 3 4')")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO words (name, about) VALUES (?, ?)", texts)
    connection.execute("COMMIT")
    return connection


def _ask_bare(connection: sqlite3.Connection, words: str) -> None:
    if words:
        sql = "SELECT rowid, name FROM words WHERE words MATCH ? ORDER BY rank LIMIT 20"
        connection.execute(sql, (Query.of(words).expression,)).fetchall()
    else:
        connection.execute("SELECT rowid, name FROM words ORDER BY rowid DESC LIMIT 20").fetchall()


def _most(seconds: Sequence[float]) -> float:
    """The longest of the quickest 95 of 100."""
    return sorted(seconds)[int(0.95 * len(seconds)) - 1]
