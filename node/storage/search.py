"""The text that people search: one SQLite file with a full-text index (FTS5) over names and descriptions.

It is a projection of the logs and holds nothing that they do not: a damaged file is deleted and made anew. Whatever
is asked becomes quoted words before it reaches FTS5, so that no query is a program.
"""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from catalog.error import BadInput, ComityError, VerificationFailed

T = TypeVar("T")

MAX_QUERY: Final = 400
"""Characters of a query."""

MAX_WORDS: Final = 16
NAME_WEIGHT: Final = 10
"""How much more a word in a name counts than one in a description."""

CID_PREFIX: Final = 8
"""From so many characters on, a word is looked for in the beginnings of CIDs too."""

_VERSION: Final = 1
# Words are found by their beginnings; of short beginnings SQLite keeps an index, or each would be read word by word.
_TABLES: Final = f"""
CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, site TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT NOT NULL, place INTEGER NOT NULL, UNIQUE (site, kind, subject)) STRICT;
CREATE INDEX IF NOT EXISTS thing_subject ON thing (subject);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (name, about,
  prefix = '1 2 3 4', tokenize = "unicode61 remove_diacritics 2");
PRAGMA user_version = {_VERSION};
"""
_FIND: Final = "SELECT id, site, kind, subject, place FROM thing WHERE site = ? AND kind = ? AND subject = ?"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that can be found: its number here, and its place in the catalog of ``site``."""

    id: int
    site: str
    kind: str
    subject: str
    place: int


@dataclass(frozen=True, slots=True)
class Page:
    """What is to be found of a thing: the words of its name and of what is said about it."""

    site: str
    kind: str
    subject: str
    place: int
    name: str
    about: str


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
        self._connection = _connect(path)

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
        except VerificationFailed as error:
            _remove(path)
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
        _remove(self._path)
        self._connection = _connect(self._path)

    def put(self, pages: Sequence[Page]) -> list[int]:
        """Keep ``pages``, no two of the same site, kind and subject, each in the place of an earlier one of these.

        Their numbers are returned in the same order.

        Raises:
            ComityError: the disk refused; nothing was kept. VerificationFailed: the file is damaged.
        """
        return self._do(lambda connection: _put(connection, pages), write=True)

    def drop(self, ids: Iterable[int]) -> None:
        """Forget things.

        Raises:
            ComityError, VerificationFailed: as for :meth:`put`.
        """

        def work(connection: sqlite3.Connection) -> None:
            rows = [(each,) for each in ids]
            connection.executemany("DELETE FROM words WHERE rowid = ?", rows)
            connection.executemany("DELETE FROM thing WHERE id = ?", rows)

        self._do(work, write=True)

    def expunge(self) -> None:
        """See to it that nothing of what was dropped is left in the file, its journal included.

        FTS5 only marks what is deleted until it merges its parts; SQLite overwrites the pages that this frees.
        """
        self._do(lambda connection: connection.execute("INSERT INTO words (words) VALUES ('optimize')"), write=True)
        self._do(lambda connection: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def of_site(self, site: str) -> list[Thing]:
        """All things of one site."""
        sql = "SELECT id, site, kind, subject, place FROM thing WHERE site = ?"
        return self._do(lambda connection: [Thing(*row) for row in connection.execute(sql, (site,))])

    def find(self, site: str, kind: str, subject: str) -> Thing | None:
        """One thing by its site, kind and subject."""
        row = self._do(lambda connection: connection.execute(_FIND, (site, kind, subject)).fetchone())
        return None if row is None else Thing(*row)

    def things(self, ids: Sequence[int]) -> list[Thing]:
        """The things of these numbers, in that order; those that are gone are left out."""
        sql = "SELECT id, site, kind, subject, place FROM thing WHERE id = ?"

        def work(connection: sqlite3.Connection) -> list[Thing]:
            rows = (connection.execute(sql, (each,)).fetchone() for each in ids)
            return [Thing(*row) for row in rows if row is not None]

        return self._do(work)

    def of_subjects(self, subjects: Iterable[str]) -> list[Thing]:
        """The things, of any site, that have one of these subjects."""
        sql = "SELECT id, site, kind, subject, place FROM thing WHERE subject = ?"
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
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
                raise ComityError(
                    f"{self._path} could not be written ({error}); see whether the disk is full"
                ) from error
            raise VerificationFailed(f"{self._path} is damaged ({error})") from error


def _connect(path: Path) -> sqlite3.Connection:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(file, 0o600)  # what is published for some members alone stands in it
    finally:
        os.close(file)
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        # Not flushed: after a crash of the machine it is made anew from the logs if it does not hold together.
        connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA secure_delete=ON;")
        _check(connection)
        connection.executescript(_TABLES)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise VerificationFailed(f"{path} is damaged ({error})") from error
    return connection


def _check(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, _VERSION):
        raise sqlite3.DatabaseError(f"it is of version {version}")
    told = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if told != "ok":
        raise sqlite3.DatabaseError(told)


def _remove(path: Path) -> None:
    for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        each.unlink(missing_ok=True)


def _put(connection: sqlite3.Connection, pages: Sequence[Page]) -> list[int]:
    # Table after table: a statement of SQLite's own between two of FTS5's makes that write its small parts each time.
    known = [connection.execute(_FIND, (page.site, page.kind, page.subject)).fetchone() for page in pages]
    connection.executemany("DELETE FROM words WHERE rowid = ?", [(row[0],) for row in known if row is not None])
    numbers = [_place(connection, page, row) for page, row in zip(pages, known, strict=True)]
    texts = [(unicodedata.normalize("NFC", page.name), unicodedata.normalize("NFC", page.about)) for page in pages]
    rows = [(number, *both) for number, both in zip(numbers, texts, strict=True)]
    connection.executemany("INSERT INTO words (rowid, name, about) VALUES (?, ?, ?)", rows)
    return numbers


def _place(connection: sqlite3.Connection, page: Page, known: tuple[int, ...] | None) -> int:
    if known is not None:
        connection.execute("UPDATE thing SET place = ? WHERE id = ?", (page.place, known[0]))
        return known[0]
    sql = "INSERT INTO thing (site, kind, subject, place) VALUES (?, ?, ?, ?) RETURNING id"
    return int(connection.execute(sql, (page.site, page.kind, page.subject, page.place)).fetchone()[0])


def _numbers(rows: sqlite3.Cursor) -> list[int]:
    return msgspec.json.decode(rows.fetchone()[0], type=list[int])
