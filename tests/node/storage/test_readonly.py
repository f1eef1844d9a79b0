"""Databases of a folder that somebody else made: only what a node's own have is read, and no more than there is."""

import sqlite3
from contextlib import closing

import pytest

from catalog.error import Damaged
from node.storage.bodies import SCHEMA
from node.storage.readonly import MAX_ROW, ascending, bound_work, open_read_only

PAGE = 512


@pytest.fixture
def path(tmp_path):
    with closing(sqlite3.connect(tmp_path / "bodies.db", isolation_level=None)) as made:
        made.execute(f"PRAGMA page_size = {PAGE}")
        made.executescript(SCHEMA)
        made.execute("INSERT INTO bodies VALUES (0, NULL, NULL)")
    return tmp_path / "bodies.db"


def change(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        for each in statements:
            made.execute(each)


def rows(path):
    with closing(open_read_only(path, SCHEMA)) as database:
        bound_work(database, path)
        return sum(1 for _ in ascending(database.execute("SELECT leaf, body FROM bodies ORDER BY leaf")))


ENDLESS = "WITH RECURSIVE n(leaf) AS (SELECT 0 UNION ALL SELECT leaf + 1 FROM n)"


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE bodies", f"CREATE VIEW bodies AS {ENDLESS} SELECT leaf, NULL AS salt, NULL AS body FROM n"),
        ("DROP TABLE bodies", "CREATE VIRTUAL TABLE bodies USING fts5 (leaf, salt, body)"),
        (
            "DROP TABLE bodies",
            "CREATE TABLE bodies (leaf INTEGER PRIMARY KEY, salt BLOB, body BLOB AS (zeroblob(999999999)))",
        ),
        ("CREATE INDEX slow ON bodies (hex(zeroblob(leaf + 99999999)))",),
        ("CREATE TABLE more (leaf INTEGER)",),
    ],
    ids=["view", "virtual table", "computed column", "computed index", "another table"],
)
def test_what_no_node_makes_is_not_read(path, statements):
    """Lost: whoever checks a folder computes for ever what its maker wrote into its database."""
    assert rows(path) == 1
    change(path, *statements)
    with pytest.raises(Damaged, match="is none that this version of Comity makes"):
        rows(path)


def test_pages_that_refer_to_each_other_again_and_again_are_left(path):
    """Lost: a file of a few pages has more rows than anybody can read: 4 to the power of 18 here."""
    data = bytearray(path.read_bytes())
    with closing(sqlite3.connect(path)) as made:
        (root,) = made.execute("SELECT rootpage FROM sqlite_master WHERE name = 'bodies'").fetchone()
    first, count = len(data) // PAGE + 1, 18
    leaf = bytes(data[(root - 1) * PAGE : root * PAGE])
    data[(root - 1) * PAGE : root * PAGE] = four_times(first)
    for page in range(first, first + count - 1):
        data += four_times(page + 1)
    data += leaf
    data[28:32] = (len(data) // PAGE).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(sqlite3.DatabaseError, match="not in their order"):
        rows(path)
    with closing(open_read_only(path, SCHEMA)) as database:
        bound_work(database, path)
        with pytest.raises(sqlite3.DatabaseError, match="interrupted"):
            database.execute("SELECT count(body) FROM bodies").fetchone()


def four_times(child):
    """An inner page of a table that has the page ``child`` four times below it."""
    cell = child.to_bytes(4, "big") + b"\0"
    places = [PAGE - len(cell) * number for number in (1, 2, 3)]
    head = b"\x05\0\0\0\x03" + places[-1].to_bytes(2, "big") + b"\0" + child.to_bytes(4, "big")
    head += b"".join(place.to_bytes(2, "big") for place in places)
    return head.ljust(places[-1], b"\0") + cell * 3


def test_a_row_is_no_larger_than_any_that_a_node_writes(path):
    """Lost: memory, to a row of a gigabyte that takes a few bytes of disk."""
    change(path, f"INSERT INTO bodies VALUES (1, NULL, zeroblob({MAX_ROW + 1}))")
    with pytest.raises(sqlite3.DataError, match="too big"):
        rows(path)


def test_a_log_of_rows_that_are_all_erased_is_read_whole(path):
    """Lost: the bound on work stops the check of a sound log: these are the smallest rows that a log has."""
    series = "WITH RECURSIVE n(leaf) AS (SELECT 1 UNION ALL SELECT leaf + 1 FROM n LIMIT 200000)"
    change(path, f"{series} INSERT INTO bodies SELECT leaf, NULL, NULL FROM n")
    with closing(open_read_only(path, SCHEMA)) as database:
        bound_work(database, path)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert rows(path) == 200_001
