"""The text that people search: one SQLite file with a full-text index (FTS5) over names and descriptions.

It is a projection of the logs and holds nothing that they do not: a damaged file is deleted and made anew. Whatever
is asked becomes quoted words before it reaches FTS5, so that no query is a program.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from catalog.error import BadInput, Conflict, Damaged
from node.storage.projection import connect, failure, remove
from node.storage.rows import insert_rows

T = TypeVar("T")
V = TypeVar("V", str, bytes)

MAX_QUERY: Final = 400
"""Characters of a query."""

MAX_WORDS: Final = 16
NAME_WEIGHT: Final = 10
"""How much more a word in a name counts than one in a description."""

CID_PREFIX: Final = 8
"""From so many characters on, a word is looked for in the beginnings of CIDs too."""

_VERSION: Final = 3
# Not flushed: after a crash of the machine it is made anew from the logs if it does not hold together.
_SETTINGS: Final = "PRAGMA synchronous=OFF; PRAGMA cache_size=-8192; PRAGMA busy_timeout=0;"
# Words are found by their beginnings; of short beginnings SQLite keeps an index, or each would be read word by word.
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS site (id INTEGER PRIMARY KEY, root TEXT UNIQUE NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, site INTEGER NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, place INTEGER NOT NULL, nature INTEGER NOT NULL, UNIQUE (subject, kind, site)) STRICT;
CREATE INDEX IF NOT EXISTS thing_of_site ON thing (site);
CREATE TABLE IF NOT EXISTS nature (id INTEGER PRIMARY KEY, value BLOB UNIQUE NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS held (person TEXT, site TEXT, subject TEXT, place INTEGER NOT NULL,
  PRIMARY KEY (person, site, subject)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS held_of_site ON held (site, place);
CREATE TABLE IF NOT EXISTS followed (site TEXT PRIMARY KEY, reading TEXT NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (name, about,
  prefix = '1 2 3 4', tokenize = "unicode61 remove_diacritics 2");
INSERT INTO words (words, rank) VALUES ('automerge', 8);
"""
_THINGS: Final = "SELECT thing.id, root, kind, subject, place, nature FROM thing JOIN site ON site.id = thing.site"
_OF_SITE: Final = "site = (SELECT id FROM site WHERE root = ?)"
_NAMED: Final = """(SELECT key, thing.id FROM json_each(?) CROSS JOIN thing
  ON subject = value ->> 2 AND kind = value ->> 1 AND site = (SELECT id FROM site WHERE root = value ->> 0))"""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be found: its number here, and its place in the catalog of ``site``."""

    id: int
    site: str
    kind: str
    subject: str
    place: int
    nature: int


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be found of a thing: its words, and its nature, which it may share with many others."""

    site: str
    kind: str
    subject: str
    place: int
    name: str
    about: str
    nature: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """That ``person`` holds what stands at ``place`` in the catalog of ``site``: a grant of this ``subject``."""

    person: str
    site: str
    subject: str
    place: int


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a catalog has been taken in, in which reading of it."""

    reading: str
    size: int


@dataclass(frozen=True, slots=True)
class Query:
    """The words that a query asks for; all must be there, each as the beginning of a word."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Query:
        """Read what a person typed: letters and digits make words, everything else parts them.

        Raises:
            BadInput: too long, or too many words.
        """
        if len(text) > MAX_QUERY:
            raise BadInput(f"a search of {len(text):,} characters was refused: at most {MAX_QUERY} are read")
        plain = unicodedata.normalize("NFC", text)
        words = "".join(each if each.isalnum() else " " for each in plain).split()
        if len(words) > MAX_WORDS:
            raise BadInput(f"a search for {len(words)} words was refused: at most {MAX_WORDS} are looked for")
        return cls(tuple(words))

    @property
    def expression(self) -> str:
        """The query in FTS5's language; the words have no character that means anything there."""
        return " AND ".join(f'"{word}"*' for word in self.words)

    @property
    def cid(self) -> str:
        """The beginning of a CID, if the query may be one; else empty."""
        one = self.words[0] if len(self.words) == 1 else ""
        return one if len(one) >= CID_PREFIX and one.isascii() else ""


class SearchStore:
    """The file. Every method blocks, and one runs at a time: that is the caller's to see to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path, _VERSION, _SETTINGS, _TABLES)

    @classmethod
    def open(cls, path: Path) -> tuple[SearchStore, str]:
        """Open the file, whose mode becomes 0600, and say why it had to be made anew; empty if it had not.

        Raises:
            ComityError: the disk refuses.
        """
        if not path.exists():
            return cls(path), ""
        try:
            return cls(path), ""
        except Damaged as error:
            remove(path)
            return cls(path), str(error)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def begin_anew(self) -> None:
        """Delete the file and begin an empty one.

        Raises:
            ComityError: the disk refuses.
        """
        self._connection.close()
        remove(self._path)
        self._connection = connect(self._path, _VERSION, _SETTINGS, _TABLES)

    def put(self, pages: Sequence[Page]) -> list[tuple[int, int]]:
        """Keep ``pages``, no two of the same site, kind and subject, each in the place of an earlier one of these.

        Their numbers, and those of their natures, are returned in the same order.

        Raises:
            ComityError: the disk refused; nothing was kept. Damaged: the file is damaged.
        """
        return self._do(lambda connection: _put(connection, pages), write=True)

    def drop(self, ids: Iterable[int]) -> None:
        """Forget things.

        Raises:
            ComityError, Damaged: as for :meth:`put`.
        """

        def work(connection: sqlite3.Connection) -> None:
            rows = [(each,) for each in ids]
            connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
            connection.executemany("DELETE FROM thing WHERE id = ?", rows)

        self._do(work, write=True)

    def at_places(self, site: str, places: Iterable[int]) -> list[int]:
        """The numbers of the things of ``site`` whose newest entry stands at one of ``places``."""
        sql = f"SELECT id FROM thing WHERE {_OF_SITE} AND place IN (SELECT value FROM json_each(?))"  # noqa: S608
        wanted = msgspec.json.encode(list(places)).decode()
        return self._do(lambda connection: [row[0] for row in connection.execute(sql, (site, wanted))])

    def natures(self) -> dict[int, bytes]:
        """Every nature that a thing may have, by its number."""
        return self._do(lambda connection: dict(connection.execute("SELECT id, value FROM nature")))

    def natures_of(self, site: str) -> array[int]:
        """The number of each thing of ``site``, and behind each that of its nature."""
        sql = f"SELECT id, nature FROM thing WHERE {_OF_SITE}"  # noqa: S608
        return self._do(lambda connection: array("q", chain.from_iterable(connection.execute(sql, (site,)))))

    def hold(self, grants: Iterable[Held]) -> None:
        """Keep who holds what.

        Raises:
            ComityError, Damaged: as for :meth:`put`.
        """
        rows = [(each.person, each.site, each.subject, each.place) for each in grants]
        sql = "INSERT OR REPLACE INTO held (person, site, subject, place) VALUES (?, ?, ?, ?)"
        self._do(lambda connection: connection.executemany(sql, rows), write=True)

    def release(self, site: str, places: Iterable[int] | None = None) -> None:
        """Forget who holds what stands at ``places`` of the catalog of ``site``, or anywhere in it.

        Raises:
            ComityError, Damaged: as for :meth:`put`.
        """
        if places is None:
            self._do(lambda connection: connection.execute("DELETE FROM held WHERE site = ?", (site,)), write=True)
        else:
            rows = [(site, place) for place in places]
            sql = "DELETE FROM held WHERE site = ? AND place = ?"
            self._do(lambda connection: connection.executemany(sql, rows), write=True)

    def held_by(self, person: str) -> list[Held]:
        """What ``person`` holds."""
        sql = "SELECT person, site, subject, place FROM held WHERE person = ?"
        return self._do(lambda connection: [Held(*row) for row in connection.execute(sql, (person,))])

    def followed(self, site: str) -> Followed | None:
        """How far the catalog of ``site`` was taken in whole; none if it is not known."""
        sql = "SELECT reading, size FROM followed WHERE site = ?"
        row = self._do(lambda connection: connection.execute(sql, (site,)).fetchone())
        return None if row is None else Followed(*row)

    def follow(self, site: str, followed: Followed | None) -> None:
        """Keep how far the catalog of ``site`` was taken in, or that it is not known any more.

        Raises:
            ComityError, Damaged: as for :meth:`put`.
        """
        if followed is None:
            self._do(lambda connection: connection.execute("DELETE FROM followed WHERE site = ?", (site,)), write=True)
        else:
            sql = "INSERT OR REPLACE INTO followed (site, reading, size) VALUES (?, ?, ?)"
            row = (site, followed.reading, followed.size)
            self._do(lambda connection: connection.execute(sql, row), write=True)

    def expunge(self) -> None:
        """See to it that nothing of what was dropped is left in the file, its journal included.

        FTS5 only marks what is deleted until it merges its parts; SQLite overwrites what this frees and, in writing
        the file anew, the gaps of pages within which something was moved.

        Raises:
            Conflict: another process reads the file.
            ComityError, Damaged: as for :meth:`put`.
        """
        sql = "DELETE FROM nature WHERE id NOT IN (SELECT nature FROM thing)"  # whose label may name a person
        self._do(lambda connection: connection.execute(sql), write=True)
        self._do(lambda connection: connection.execute("INSERT INTO words (words) VALUES ('optimize')"), write=True)
        self._do(lambda connection: connection.execute("VACUUM"))
        if self._do(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())[0]:
            raise Conflict(f"{self._path} is being read by another process; end that, then what was erased goes")

    def of_site(self, site: str) -> list[Thing]:
        """All things of one site."""
        sql = f"{_THINGS} WHERE root = ?"
        return self._do(lambda connection: [Thing(*row) for row in connection.execute(sql, (site,))])

    def named(self, names: Iterable[tuple[str, str, str]]) -> list[Thing]:
        """The things with these sites, kinds and subjects that there are."""
        sql = f"{_THINGS} WHERE thing.id IN (SELECT id FROM {_NAMED})"  # noqa: S608
        asked = msgspec.json.encode(list(names)).decode()
        return self._do(lambda connection: [Thing(*row) for row in connection.execute(sql, (asked,))])

    def things(self, ids: Sequence[int]) -> list[Thing]:
        """The things of these numbers, in that order; those that are gone are left out."""
        sql = f"{_THINGS} WHERE thing.id = ?"

        def work(connection: sqlite3.Connection) -> list[Thing]:
            rows = (connection.execute(sql, (each,)).fetchone() for each in ids)
            return [Thing(*row) for row in rows if row is not None]

        return self._do(work)

    def of_subjects(self, subjects: Iterable[str]) -> list[Thing]:
        """The things, of any site, that have one of these subjects."""
        sql = f"{_THINGS} WHERE subject = ?"
        return self._do(lambda c: [Thing(*row) for each in subjects for row in c.execute(sql, (each,))])

    def matching(self, query: Query, name_only: bool = False) -> list[int]:
        """The numbers of all things that have the words, or the beginning of whose CID it is."""
        column = "name : " if name_only else ""

        def work(connection: sqlite3.Connection) -> list[int]:
            # As one text: a row for each number would take four times as long.
            sql = "SELECT json_group_array(rowid) FROM words WHERE words MATCH ?"
            found = _numbers(connection.execute(sql, (f"{column}({query.expression})",)))
            if query.cid:
                sql = "SELECT json_group_array(id) FROM thing WHERE subject >= ? AND subject < ?"
                found += _numbers(connection.execute(sql, (query.cid, query.cid + "\x7f")))
            return found

        return self._do(work)

    def scores(self, query: Query) -> dict[int, float]:
        """How well each matching thing fits; the lower the better (BM25). A CID's things have none."""
        sql = "SELECT rowid, bm25(words, ?, 1) FROM words WHERE words MATCH ?"
        return self._do(lambda connection: dict(connection.execute(sql, (NAME_WEIGHT, query.expression))))

    def _do(self, work: Callable[[sqlite3.Connection], T], write: bool = False) -> T:
        try:
            if not write:
                return work(self._connection)
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                return work(self._connection)
        except sqlite3.Error as error:
            raise failure(self._path, error) from error


def _put(connection: sqlite3.Connection, pages: Sequence[Page]) -> list[tuple[int, int]]:
    # Few statements for many pages: each gives up the interpreter, and gets it back after whatever else computes.
    # And table after table: one of SQLite's own between two of FTS5's makes that write its small parts each time.
    natures = _numbered(connection, "nature", "value", {page.nature for page in pages})
    sites = _numbered(connection, "site", "root", {page.site for page in pages})
    there = _there(connection, [(page.site, page.kind, page.subject) for page in pages])
    fresh = count(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM thing").fetchone()[0])
    if there:
        stale = msgspec.json.encode(list(there.values())).decode()
        connection.execute("DELETE FROM words WHERE rowid IN (SELECT value FROM json_each(?))", (stale,))
        connection.execute("DELETE FROM thing WHERE id IN (SELECT value FROM json_each(?))", (stale,))
    numbers = [there[at] if at in there else next(fresh) for at in range(len(pages))]
    things = [
        (number, sites[page.site], page.kind, page.subject, page.place, natures[page.nature])
        for number, page in zip(numbers, pages, strict=True)
    ]
    texts = [
        (number, unicodedata.normalize("NFC", page.name), unicodedata.normalize("NFC", page.about))
        for number, page in zip(numbers, pages, strict=True)
    ]
    insert_rows(connection, "INSERT INTO thing (id, site, kind, subject, place, nature)", things)
    insert_rows(connection, "INSERT INTO words (rowid, name, about)", texts)
    return [(thing[0], thing[-1]) for thing in things]


def _numbered(connection: sqlite3.Connection, table: str, column: str, values: Collection[V]) -> dict[V, int]:
    """The number of each of these values, which have one in ``table`` from now on."""
    rows = [(value,) for value in values]
    connection.executemany(f"INSERT OR IGNORE INTO {table} ({column}) VALUES (?)", rows)  # noqa: S608
    sql = f"SELECT id FROM {table} WHERE {column} = ?"  # noqa: S608
    return {value: connection.execute(sql, (value,)).fetchone()[0] for value in values}


def _there(connection: sqlite3.Connection, names: Sequence[tuple[str, str, str]]) -> dict[int, int]:
    """The numbers of those of the things of these sites, kinds and subjects that there are, by their places here."""
    sql = f"SELECT json_group_array(json_array(key, id)) FROM {_NAMED}"  # noqa: S608
    found = connection.execute(sql, (msgspec.json.encode(names).decode(),)).fetchone()[0]
    return dict(msgspec.json.decode(found, type=list[tuple[int, int]]))


def _numbers(rows: sqlite3.Cursor) -> list[int]:
    return msgspec.json.decode(rows.fetchone()[0], type=list[int])
