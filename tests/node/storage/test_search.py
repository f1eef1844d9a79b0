"""The file that is searched: what is asked stays words, what is dropped is gone, and damage is mended."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.error import BadInput, Conflict, Damaged
from node.storage.search import MAX_QUERY, MAX_WORDS, Followed, Held, Page, Query, SearchStore

SITE = "did:key:z6MkA"


def page(subject: str, name: str, about: str = "", place: int = 0) -> Page:
    return Page(SITE, "dataset", subject, place, name, about, b"like others")


def names(store: SearchStore, text: str) -> set[str]:
    return {thing.subject for thing in store.things(store.matching(Query.of(text)))}


def test_words_are_found_by_their_beginnings_and_without_accents(tmp_path: Path) -> None:
    """Who types without a Czech keyboard, or only half a word, would find nothing."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", "Přijetí na JIP", "icu_admissions of 2024"), page("b", "Births", "newborn register")])
    assert names(store, "prijeti") == names(store, "ADMISS 2024") == {"a"}
    assert names(store, "new reg") == {"b"}
    assert names(store, "births admissions") == set()
    store.close()


TRICKS = [
    '"', "a OR b", "name:births", "births*", "^births", "NEAR(a b)", "a AND", "(", "-births", "'; DROP TABLE thing",
    "b + c", "{name} : x", "births NOT births",
]  # fmt: skip
TEXT = ["births", "or", "deaths", "and", "near", "things", "name", "table", "drop", "b", "c", "x"]


@pytest.mark.parametrize("text", TRICKS)
def test_a_query_is_words_and_never_a_program(tmp_path: Path, text: str) -> None:
    """FTS5's own language would give syntax errors to people, and other answers than they asked for."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", " ".join(TEXT))])
    query = Query.of(text)
    assert all(word.isalnum() for word in query.words)
    if query.words:
        fits = all(any(word.startswith(asked.lower()) for word in TEXT) for asked in query.words)
        assert names(store, text) == ({"a"} if fits else set())
    store.close()


@given(st.text(max_size=2 * MAX_WORDS))
@settings(max_examples=150)
def test_no_text_makes_the_search_fail(shared: SearchStore, text: str) -> None:
    """A letter that Python and SQLite disagree about must not end in an error."""
    query = Query.of(text)
    if query.words:
        shared.matching(query)
        shared.matching(query, name_only=True)
        shared.scores(query)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> SearchStore:
    store, _ = SearchStore.open(tmp_path_factory.mktemp("search") / "search.db")
    store.put([page("a", "something to find")])
    return store


def test_a_query_is_bounded() -> None:
    """A long query would make one search as dear as thousands."""
    with pytest.raises(BadInput, match="characters"):
        Query.of("x" * (MAX_QUERY + 1))
    with pytest.raises(BadInput, match="words"):
        Query.of("x " * (MAX_WORDS + 1))


def test_a_cid_is_found_by_its_beginning(tmp_path: Path) -> None:
    """People paste CIDs, often cut off."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("bafkreiabcdef", "one"), page("bafkreixyz", "two")])
    assert names(store, "bafkreiabc") == {"bafkreiabcdef"}
    store.close()


def test_a_new_version_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """The words of a version that no longer counts would still find it."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", "births", place=3)])
    store.put([page("a", "deaths", place=9)])
    assert names(store, "births") == set()
    assert [thing.place for thing in store.of_site(SITE)] == [9]
    store.close()


def test_what_is_expunged_is_in_no_file(tmp_path: Path) -> None:
    """An erasure that leaves the words in a free page or in the journal erases nothing."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", "xylophone"), page("b", "zither")])
    assert any(b"xylophone" in path.read_bytes() for path in tmp_path.iterdir())
    store.drop([thing.id for thing in store.of_site(SITE) if thing.subject == "a"])
    store.expunge()
    assert not any(b"xylophone" in path.read_bytes() for path in tmp_path.iterdir())
    assert names(store, "zither") == {"b"}
    store.close()


def test_what_is_expunged_is_in_no_gap_of_a_page_either(tmp_path: Path) -> None:
    """Lost: a name that was erased is read from the disk, where a page was rearranged before."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    chance, erased = random.Random(3), set[str]()
    live: dict[str, str] = {}
    for step in range(60):
        some = {f"k{chance.randrange(300)}" for _ in range(chance.randrange(1, 200))}
        erased |= {live[subject] for subject in some if subject in live}
        live |= {subject: f"secret{step:03d}{subject}x" for subject in some}
        store.put([page(subject, live[subject], live[subject]) for subject in sorted(some)])
        dropped = [subject for subject in live if chance.random() < 0.2]
        store.drop([thing.id for thing in store.of_site(SITE) if thing.subject in dropped])
        erased |= {live.pop(subject) for subject in dropped}
        if step % 10 == 9:
            store.expunge()
            stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
            assert [name for name in erased if name.encode() in stored] == []
    store.close()


def test_what_is_alike_is_kept_once_and_known_again_after_a_start(tmp_path: Path) -> None:
    """A search over a million things would keep a million copies of what they have in common."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    numbers = dict(store.put([page("a", "births"), page("b", "deaths")]))
    assert len(set(numbers.values())) == 1
    store.follow(SITE, Followed("a reading", 2))
    store.close()
    again, _ = SearchStore.open(tmp_path / "search.db")
    assert again.natures() == dict.fromkeys(numbers.values(), b"like others")
    found = again.natures_of(SITE)
    assert dict(zip(found[::2], found[1::2], strict=True)) == numbers
    assert again.followed(SITE) == Followed("a reading", 2)
    again.follow(SITE, None)
    assert again.followed(SITE) is None
    again.close()


def test_who_holds_what_is_kept_until_it_is_released(tmp_path: Path) -> None:
    """A grant that was erased would still be looked up for its holder."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    mine = [Held("me", SITE, "one", 3), Held("me", SITE, "two", 4), Held("me", "another site", "one", 3)]
    store.hold([*mine, Held("you", SITE, "three", 5)])
    assert store.held_by("me") == sorted(mine, key=lambda each: (each.site, each.subject))
    store.release(SITE, [3])
    assert store.held_by("me") == sorted(mine[1:], key=lambda each: (each.site, each.subject))
    store.release(SITE)
    assert store.held_by("me") == [mine[2]]
    assert store.held_by("you") == []
    store.close()


def test_what_nothing_has_any_more_of_what_is_alike_is_expunged_too(tmp_path: Path) -> None:
    """A label names people: an erasure that leaves it behind has not erased them."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", "births")])
    store.drop([thing.id for thing in store.of_site(SITE)])
    store.expunge()
    assert store.natures() == {}
    assert not any(b"like others" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_an_expunging_beside_another_reader_says_that_it_is_not_done(tmp_path: Path) -> None:
    """A backup that reads the file at that moment would keep the words in its journal, and nobody would know."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store.put([page("a", "xylophone")])
    reader = sqlite3.connect(tmp_path / "search.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM thing").fetchall()
    store.drop([thing.id for thing in store.of_site(SITE)])
    with pytest.raises(Conflict, match="read by another process"):
        store.expunge()
    reader.close()
    store.expunge()
    assert not any(b"xylophone" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_a_damaged_file_is_begun_anew_and_said(tmp_path: Path) -> None:
    """A search must not keep a node from starting: all of it is in the logs."""
    path = tmp_path / "search.db"
    path.write_bytes(b"not a database" * 1000)
    store, why = SearchStore.open(path)
    assert "damaged" in why
    assert store.of_site(SITE) == []
    assert path.stat().st_mode & 0o777 == 0o600
    store.close()


def test_damage_that_shows_later_is_named(tmp_path: Path) -> None:
    """A wrong answer from a torn page would be silent."""
    path = tmp_path / "search.db"
    store, _ = SearchStore.open(path)
    store.put([page(f"s{number}", f"name {number}", "about " * 50) for number in range(200)])
    store.close()
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)
    store, why = SearchStore.open(path)
    assert "damaged" in why
    store.close()


def test_a_lost_table_is_damage(tmp_path: Path) -> None:
    """Whatever SQLite says of its own file is a reason to make it anew, not to end the search for good."""
    store, _ = SearchStore.open(tmp_path / "search.db")
    store._connection.execute("DROP TABLE words")
    with pytest.raises(Damaged, match="damaged"):
        store.matching(Query.of("x"))
    store.begin_anew()
    assert store.matching(Query.of("x")) == []
    store.close()
