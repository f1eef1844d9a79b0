"""What was read of catalogs, kept on disk: it says the same as memory does, outlives a run, and names no one."""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule
from msgspec import structs

from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.error import ComityError, Damaged
from catalog.index import SiteIndex
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.versions import Versions, subject_key
from catalog.withdraw import WithdrawFields
from node.storage import versionstore as module
from node.storage.versionstore import Mark, VersionStore
from tests.catalog.test_erasure_machine import LyingMachine
from tests.catalog.test_index_machine import (
    COMPARED,
    RESEARCHER,
    ROOT,
    STEWARD,
    IndexMachine,
    LogMachine,
    WrittenMachine,
)
from tests.machine import runs

MARK = Mark(origin="a log", root=bytes(32))


class Stored(LogMachine):
    """A machine of the index, over a file that is closed and opened now and then."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        self.store, _ = VersionStore.open(Path(self.folder.name) / "versions.db", self.body)
        super().__init__()

    def versions(self) -> Versions:
        return self.store.begin(ROOT.did)

    def body(self, _site: str, place: int) -> bytes | None:
        return self.log[place][1] if place < len(self.log) else None

    @rule()
    def keep(self) -> None:
        self.store.keep(MARK, self.index.kept(), self.index.versions)

    @rule()
    def restart(self) -> None:
        """What was not kept is read again, and then everything is as it was."""
        before = self.index
        faults, entries = dict(before.faults), [list(before.entries(kind)) for kind in COMPARED]
        self.store.close()
        self.store, damage = VersionStore.open(Path(self.folder.name) / "versions.db", self.body)
        assert damage == ""
        self.index = SiteIndex(ROOT.did, self.store.begin(ROOT.did))
        past = self.store.past(ROOT.did)
        if past is not None:
            self.index.reload(past.index, past.versions)
        self.begin_again()
        self.read(self.index, self.index.size)
        assert dict(self.index.faults) == faults
        assert [list(self.index.entries(kind)) for kind in COMPARED] == entries

    def begin_again(self) -> None:
        """What other readers had in the file is gone with it."""

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


class StoredMachine(Stored, IndexMachine):
    """Whatever whoever has the node's key writes."""


class StoredWrittenMachine(Stored, WrittenMachine):
    """What honest people have a node write."""

    def begin_again(self) -> None:
        self.beside = SiteIndex(ROOT.did, self.versions())


StoredMachine.TestCase.settings = runs(20, 20)
TestStoredMachine = StoredMachine.TestCase
StoredWrittenMachine.TestCase.settings = runs(20, 20)
TestStoredWrittenMachine = StoredWrittenMachine.TestCase


class StoredLyingMachine(LyingMachine):
    """An owner that lies and erases; of the readers, one goes on now and then from what was kept."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "versions.db"
        self.store, _ = VersionStore.open(self.path, self.body)
        super().__init__()

    def versions(self) -> Versions:
        return self.store.begin(ROOT.did)

    def body(self, _site: str, place: int) -> bytes | None:
        return self.log.bodies[place] if place < len(self.log.bodies) else None

    @rule(which=st.integers(0, 3))
    def restarts(self, which) -> None:
        """One reader is kept and begins again from there; what the others read is gone, and they begin anew."""
        readers = [self.early, *self.slow]
        chosen = readers[which % len(readers)]
        self.store.keep(MARK, chosen.index.kept(), chosen.index.versions)
        charter = chosen.index.keys.charter
        self.store.close()
        self.store, damage = VersionStore.open(self.path, self.body)
        assert damage == ""
        for reader in readers:
            reader.index = SiteIndex(ROOT.did, self.store.begin(ROOT.did))
        past = self.store.past(ROOT.did)
        assert past is not None
        chosen.index.govern(charter)
        chosen.index.reload(past.index, past.versions)
        self.early.read()

    def teardown(self) -> None:
        super().teardown()
        self.store.close()
        self.folder.cleanup()


StoredLyingMachine.TestCase.settings = runs(25, 25)
TestStoredLyingMachine = StoredLyingMachine.TestCase


class Shelf:
    """The catalog of a site that enrolled a steward, and what was read of it in the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bodies: list[bytes] = []
        self.store, self.damage = VersionStore.open(path, self.body)
        self.index = SiteIndex(ROOT.did, self.store.begin(ROOT.did))
        self.add("key", KeyFields(did=STEWARD.did, role=Role.STEWARD, name="A steward", x25519=bytes(32)), ROOT)

    def body(self, _site: str, place: int) -> bytes | None:
        return self.bodies[place] if place < len(self.bodies) else None

    def add(self, kind: str, fields, by=STEWARD, previous: int | None = None) -> None:
        body = write_body(kind, fields, site=ROOT.did, at=1, by=by, previous=previous)
        self.bodies.append(encode(body))
        assert self.index.add(self.index.size, kind, body) is not None, self.index.faults

    def price(self, price: int) -> None:
        latest = self.index.latest("offer", "")
        offer = OfferFields(runner="sandbox", price=price, step_millis=1)
        self.add("offer", offer, previous=latest.index if latest else None)

    def again(self) -> SiteIndex:
        self.store.close()
        self.store, self.damage = VersionStore.open(self.path, self.body)
        index = SiteIndex(ROOT.did, self.store.begin(ROOT.did))
        past = self.store.past(ROOT.did)
        if past is not None:
            assert past.mark == MARK
            index.reload(past.index, past.versions)
        self.index = index
        return index


def test_a_run_goes_on_where_the_one_before_kept_it(tmp_path: Path) -> None:
    """Lost: a start that verifies a million signatures, or goes by what was never kept."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.price(1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    shelf.price(2)
    again = shelf.again()
    assert (again.size, again.typed(OfferFields, "offer").price) == (2, 1)
    assert again.key(STEWARD.did) is not None
    shelf.store.close()


def test_entries_that_are_not_at_hand_are_read_from_the_log(tmp_path: Path, monkeypatch) -> None:
    """Lost: memory that does not grow with the catalogs, or the newest version of what was read long ago."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    shelf = Shelf(tmp_path / "versions.db")
    for price in range(6):
        shelf.price(price)
    assert len(shelf.store._recent) == 2
    assert [entry.index for entry in shelf.index.entries("offer")] == [6]
    assert shelf.index.latest("key", STEWARD.did).index == 0
    assert shelf.index.latest("offer", "").index == 6
    found = shelf.index.versions.found(range(9))
    assert {place: each[1:] for place, each in found.items() if each.counted.kind == "offer"} == {
        place: (place - 1 if place > 1 else None, place + 1 if place < 6 else None) for place in range(1, 7)
    }
    shelf.store.close()


def test_a_body_that_is_not_the_one_that_was_counted_says_nothing(tmp_path: Path) -> None:
    """Lost: a disk that lies, or a thief with a file, changes what counts without any signature."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.price(1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    again = shelf.again()
    shelf.bodies[1] = encode(
        write_body("offer", OfferFields(runner="sandbox", price=0, step_millis=1), site=ROOT.did, at=1, by=STEWARD)
    )
    with pytest.raises(Damaged, match="not here as it was read"):
        again.latest("offer", "")
    with pytest.raises(Damaged, match="not here as it was read"):
        list(again.entries("offer"))
    shelf.store.close()


def test_the_file_names_nobody(tmp_path: Path) -> None:
    """Lost: a key that was erased everywhere else stands on in this file."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.price(1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    for path in tmp_path.iterdir():
        assert STEWARD.did.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
    shelf.store.close()


def test_what_is_forgotten_is_in_no_file(tmp_path: Path) -> None:
    """Lost: by the hash of a name anybody can see whether it was there."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.price(1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    kept = subject_key(STEWARD.did)
    assert any(kept in path.read_bytes() for path in tmp_path.iterdir())
    shelf.index.versions.forget([0])
    shelf.store.expunge(ROOT.did, frozenset())
    assert not any(kept in path.read_bytes() for path in tmp_path.iterdir())
    shelf.store.close()


def test_who_was_taken_back_and_erased_is_in_no_file(tmp_path: Path) -> None:
    """Lost: the ring of keys, which knows a stolen key by its text, is kept on after its owner was erased."""
    shelf = Shelf(tmp_path / "versions.db")
    key = KeyFields(did=RESEARCHER.did, role=Role.RESEARCHER, name="Somebody", x25519=bytes(32))
    shelf.add("key", key)
    shelf.add("key", structs.replace(key, removed=True, until=2), previous=1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    text = RESEARCHER.did.encode()
    assert any(text in path.read_bytes() for path in tmp_path.iterdir())
    shelf.add("withdraw", WithdrawFields(places=(1, 2)))
    shelf.store.expunge(ROOT.did, shelf.index.keys.stolen)
    assert not any(text in path.read_bytes() for path in tmp_path.iterdir())
    shelf.bodies[1:3] = b"", b""
    assert shelf.again().size == 0  # all is read again
    shelf.store.close()


def test_another_reading_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Lost: what counted before a removal that reaches back counts again after a start, or fills the disk."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    anew = shelf.index.anew()
    assert anew.versions.name != shelf.index.versions.name
    assert anew.latest("key", STEWARD.did) is None
    assert shelf.index.latest("key", STEWARD.did) is not None
    shelf.index.become(anew)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    assert shelf.store.rows("SELECT * FROM counted") == []
    assert shelf.again().size == 0
    shelf.store.close()


@pytest.mark.parametrize("torn", [b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8192])
def test_a_damaged_file_is_begun_anew_and_said(tmp_path: Path, torn: bytes) -> None:
    """Lost: a node that does not start because of what the logs can make anew."""
    path = tmp_path / "versions.db"
    path.write_bytes(torn)
    shelf = Shelf(path)
    assert "damaged" in shelf.damage
    assert path.stat().st_mode & 0o777 == 0o600
    shelf.store.close()


def test_a_full_disk_loses_nothing_that_was_read(tmp_path: Path) -> None:
    """Lost: what counts while the node runs, a revocation among it, because the file could not grow."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    for price in range(2000):
        shelf.price(price)
    pages = shelf.store.row("PRAGMA page_count")[0]
    shelf.store.write(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(ComityError, match="disk is full"):
        shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    assert shelf.index.typed(OfferFields, "offer").price == 1999
    assert shelf.index.key(STEWARD.did) is not None
    shelf.store.write("PRAGMA max_page_count = 100000")
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    assert shelf.again().typed(OfferFields, "offer").price == 1999
    shelf.store.close()


def test_what_sqlite_took_back_is_not_taken_for_nothing(tmp_path: Path) -> None:
    """Lost: a grant that was revoked holds again, since the row of its revocation was rolled back."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.index.versions.spill()
    shelf.store._recent.clear()
    shelf.store._connection.rollback()  # as SQLite does by itself when a disk fails at the wrong moment
    with pytest.raises(ComityError, match="restart the node"):
        shelf.index.latest("key", STEWARD.did)
    shelf.store.close()


def test_what_counts_is_all_there_while_it_moves_to_the_disk(tmp_path: Path, monkeypatch) -> None:
    """Lost: whoever asks at that moment takes what is published for nobody's, and sweeps it away."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.price(1)
    shelf.index.versions.spill()
    shelf.price(2)
    seen = []
    write = shelf.store.write

    def between(sql: str, *values: object) -> None:
        write(sql, *values)
        seen.append([entry.index for kind in ("key", "offer") for entry in shelf.index.entries(kind)])

    monkeypatch.setattr(shelf.store, "write", between)
    shelf.index.versions.spill()
    assert len(seen) == 5
    assert all(each == [0, 2] for each in seen)
    shelf.store.close()


def test_what_another_version_read_by_other_rules_is_read_anew(tmp_path: Path, monkeypatch) -> None:
    """Lost: a node that was updated stays as deaf to new kinds of entry as the version before it."""
    shelf = Shelf(tmp_path / "versions.db")
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    monkeypatch.setattr(module, "RULES", "those of a later version")
    assert shelf.again().size == 0
    shelf.store.close()


def test_a_flipped_byte_in_what_was_kept_is_found_or_read_anew(tmp_path: Path) -> None:
    """Lost: a row that is looked up by a damaged index is not there, and with it a revocation."""
    path = tmp_path / "versions.db"
    shelf = Shelf(path)
    shelf.price(1)
    shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
    shelf.store.close()
    whole = path.read_bytes()
    hashed = subject_key(STEWARD.did)
    places = [at for at in range(len(whole)) if whole.startswith(hashed, at)]
    assert len(places) == 2  # in the table, and in its index
    for at in places:
        raw = bytearray(whole)
        raw[at] ^= 1
        path.write_bytes(raw)
        store, damage = VersionStore.open(path, shelf.body)
        assert "damaged" in damage
        store.close()


def test_who_looks_up_keeps_no_erasure_from_ending(tmp_path: Path) -> None:
    """Lost: a node says that its disk was full, and answers nothing until a restart, since somebody asked meanwhile."""
    shelf = Shelf(tmp_path / "versions.db")
    for price in range(1, 300):
        shelf.price(price)
    ended, failed = threading.Event(), []

    def look() -> None:
        try:
            while not ended.is_set():
                shelf.store.places("SELECT place FROM counted ORDER BY digest")
                shelf.store.row("SELECT place FROM counted ORDER BY digest")
        except ComityError as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for each in threads:
        each.start()
    try:
        for _ in range(200):
            shelf.store.keep(MARK, shelf.index.kept(), shelf.index.versions)
            shelf.store.expunge(ROOT.did, frozenset())
    finally:
        ended.set()
        for each in threads:
            each.join()
    assert failed == []
    shelf.store.close()
