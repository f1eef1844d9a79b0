import hashlib
import shutil
import sqlite3
from contextlib import closing

import pytest
import trio

from catalog.checkpoint import Checkpoint, add_line, cosign, sign_checkpoint
from catalog.error import NotFound
from catalog.key import PrivateKey
from catalog.leaf import LEAF_BYTES
from node.storage.fsck import check_folder
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog

ORIGIN = "comity.example/st-anna/audit/0"
KEY, WITNESS = PrivateKey(b"\7" * 32), PrivateKey(b"\x09" * 32)
WITNESSES = {"w": WITNESS.did}


class Counting:
    def __init__(self):
        self.count = 0

    def token(self, count):
        self.count += 1
        return self.count.to_bytes(count, "big")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A cosigned log of 300 leaves, one of them erased."""
    folder = tmp_path_factory.mktemp("fsck") / "log"

    async def main():
        async with await DiskLog.create(folder, ORIGIN, 0, KEY, Counting()) as log:
            await log.append([("read", b"body of %d" % number) for number in range(300)])
            await log.erase(7)
            await log.add_cosignatures(add_line(log.note, cosign(log.note, "w", WITNESS, 1)), WITNESSES)

    trio.run(main)
    return folder


@pytest.fixture
def log(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "log")
    return tmp_path / "log"


def flip(path, at, bit=1):
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def check(folder):
    return check_folder(folder, ORIGIN, KEY.did, {name: [did] for name, did in WITNESSES.items()})


def test_a_sound_log_is_found_sound_and_counted(log):
    """Lost: an auditor would not know how much was checked."""
    before = {path: path.read_bytes() for path in log.rglob("*") if path.is_file()}
    report = check(log)
    assert report.ok
    assert (report.origin, report.size, report.leaves) == (ORIGIN, 300, 300)
    assert (report.bodies, report.erased, report.absent) == (299, 1, 0)
    assert (report.cosignatures, report.unchecked, report.leftovers) == (1, 0, ())
    assert {path: path.read_bytes() for path in log.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("name", "first"), [("tile/entries/000", 0), ("tile/entries/001.p/44", 256)])
def test_a_flipped_byte_in_a_bundle_names_it_and_the_leaf(log, name, first):
    """Lost: which entry was changed, which is what the demonstration shows an auditor."""
    for at in range(0, (log / name).stat().st_size, 37):
        flip(log / name, at)
        faults = check(log).faults
        assert [(fault.file, fault.index) for fault in faults] == [(name, first + at // (LEAF_BYTES + 2))]
        assert name in str(faults[0])
        flip(log / name, at)
    assert check(log).ok


@pytest.mark.parametrize(
    ("name", "first", "each"), [("tile/0/000", 0, 1), ("tile/0/001.p/44", 256, 1), ("tile/1/000.p/1", 0, 256)]
)
def test_a_flipped_byte_in_a_hash_tile_names_it_and_the_leaf(log, name, first, each):
    """Lost: a damaged tile could not be told from damaged leaves."""
    size = (log / name).stat().st_size
    for at in range(0, size, max(1, size // 24)):
        flip(log / name, at)
        assert [(fault.file, fault.index) for fault in check(log).faults] == [(name, first + at // 32 * each)]
        flip(log / name, at)


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint.cosigned"])
def test_a_flipped_byte_in_a_checkpoint_names_it(log, name):
    """Lost: a changed size, root or signature."""
    for at in range((log / name).stat().st_size):
        flip(log / name, at)
        assert name in {fault.file for fault in check(log).faults}, at
        flip(log / name, at)


def test_a_flipped_byte_in_any_body_or_salt_names_the_leaf(log):
    """Lost: what an entry says could be changed in the database."""
    data = (log / "bodies.db").read_bytes()
    for index in (0, 8, 150, 299):
        body = b"body of %d" % index
        salt = (index + 1).to_bytes(32, "big")
        for at in (data.index(salt + body), data.index(salt + body) + 31, data.index(salt + body) + 32):
            flip(log / "bodies.db", at)
            faults = check(log).faults
            assert [(fault.file, fault.index) for fault in faults] == [("bodies.db", index)]
            flip(log / "bodies.db", at)


def test_a_flipped_byte_anywhere_in_the_database_is_found_or_changed_nothing(log):
    """Lost: damage to the database's own structure would raise an error of SQLite, or pass as sound."""
    path = log / "bodies.db"

    def rows():
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as database:
            return [list(database.execute(f"SELECT * FROM {table}")) for table in ("bodies", "cosigned")]

    right = rows()
    for at in range(0, path.stat().st_size, 211):
        flip(path, at, 0x10)
        report = check(log)
        if report.ok and (report.absent, report.erased, report.cosignatures) == (0, 1, 1):
            assert rows() == right, at
        assert {fault.file for fault in report.faults} <= {"bodies.db", "checkpoint.cosigned"}
        flip(path, at, 0x10)


def test_a_cosignature_changed_in_the_database_is_found(log):
    """Lost: a quorum could be forged where it is kept."""
    data = (log / "bodies.db").read_bytes()
    line = (log / "checkpoint.cosigned").read_text().splitlines()[-1].encode()
    for offset in range(0, len(line), 5):
        flip(log / "bodies.db", data.index(line) + offset)
        assert check(log).faults
        flip(log / "bodies.db", data.index(line) + offset)


@pytest.mark.parametrize(
    "name", ["checkpoint", "checkpoint.cosigned", "bodies.db", "tile/0/000", "tile/1/000.p/1", "tile/entries/001.p/44"]
)
@pytest.mark.parametrize("how", ["missing", "empty", "longer"])
def test_a_file_that_is_missing_cut_or_longer_is_named(log, name, how):
    """Lost: a log with holes would pass for whole."""
    data = (log / name).read_bytes()
    if how == "missing":
        (log / name).unlink()
    else:
        (log / name).write_bytes(b"" if how == "empty" else data + b"x" * 5000)
    report = check(log)
    if (name, how) == ("bodies.db", "longer"):
        assert report.ok  # SQLite ignores what lies behind its last page
    elif (name, how) == ("bodies.db", "empty"):
        assert not report.ok
    else:
        assert name in {fault.file for fault in report.faults}


def test_a_leaf_that_was_exchanged_with_its_hash_is_found_by_the_root(log):
    """Lost: someone with access to the disk could rewrite an entry consistently."""
    leaf = (log / "tile/entries/001.p/44").read_bytes()[2 : 2 + LEAF_BYTES]
    swapped = leaf[:-1] + bytes([leaf[-1] ^ 1])
    for name, old, new in (
        ("tile/entries/001.p/44", leaf, swapped),
        ("tile/0/001.p/44", hashlib.sha256(b"\0" + leaf).digest(), hashlib.sha256(b"\0" + swapped).digest()),
    ):
        (log / name).write_bytes((log / name).read_bytes().replace(old, new))
    faults = check(log).faults
    assert [fault.file for fault in faults] == ["checkpoint", "bodies.db"]
    assert faults[1].index == 256


def test_a_log_of_another_key_or_name_is_not_sound(log):
    """Lost: verifying would only show that a folder agrees with itself."""
    assert next(fault.file for fault in check_folder(log, ORIGIN, WITNESS.did).faults) == "checkpoint"
    assert next(fault.file for fault in check_folder(log, ORIGIN + "x", KEY.did).faults) == "checkpoint"


def test_what_a_crash_left_is_told_apart_from_faults(log):
    """Lost: an audit right after a crash would accuse the site."""
    (log / "tile/entries/001.p/50").write_bytes(b"half")
    (log / "tile/0/001.p/45.new").write_bytes(b"half")
    report = check(log)
    assert report.ok
    assert set(report.leftovers) == {"tile/entries/001.p/50", "tile/0/001.p/45.new"}
    (log / "tile/0/note.txt").write_bytes(b"")
    assert [str(fault) for fault in check(log).faults] == ["tile/0/note.txt: it is no file of a log"]


def test_a_running_log_is_checked_without_disturbing_it(tmp_path):
    """Lost: an audit would need the node to stop, or would miss what is still in the write-ahead log."""

    async def main():
        async with await DiskLog.create(tmp_path / "log", ORIGIN, 0, KEY, Counting()) as log:
            await log.append([("read", b"x")] * 5)
            report = await trio.to_thread.run_sync(check, tmp_path / "log")
            assert (report.ok, report.bodies) == (True, 5)
            await log.append([("read", b"x")])
            assert log.size == 6

    trio.run(main)


def test_a_body_under_a_leaf_of_another_log_is_found(tmp_path):
    """Lost: a peer could pass entries of one of its logs off as another's."""

    async def main():
        async with await DiskLog.create(tmp_path / "own", "another.example/log", 0, KEY, Counting()) as log:
            await log.append([("read", b"x")])
            leaf, (salt, body) = await log.leaf(0), await log.body(0)
            note = sign_checkpoint(Checkpoint(ORIGIN, 1, log.root), KEY)
        async with await ReplicaLog.open(tmp_path / "log", ORIGIN, KEY.did) as replica:
            await replica.extend(note, [leaf])
            assert await replica.put_bodies([(0, salt, body)]) == []

    trio.run(main)
    [fault] = check(tmp_path / "log").faults
    assert (fault.file, fault.index) == ("bodies.db", 0)


def test_a_folder_that_is_not_there_is_not_sound(tmp_path):
    """Lost: a mistyped path would be reported as a sound, empty log."""
    with pytest.raises(NotFound):
        check(tmp_path / "absent")
