"""The ledger's file: the same as the one in memory, made anew when lost, behind, damaged or of another log."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from catalog.body import read_body
from catalog.cid import Cid
from node.automator.book import AuditBook, Line
from node.automator.ledger import Ledger
from node.storage.ledger import DiskLedger
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, House, play
from workflow.account import Chain, FetchFields

DATA, OTHER = Cid.of(b"data"), Cid.of(b"other")


async def write(house: House, book: AuditBook, number: int) -> None:
    for at in range(number):
        data, person = (DATA, BRUNO.did) if at % 3 else (OTHER, CLARA.did)

        def fields(chain: Chain, _index: int, data: Cid = data) -> FetchFields:
            return FetchFields(root=data, site=BRUNO.did, person=None, chain=chain)

        house.clock.time += 1
        await book.write([Line("fetch", [data], fields, (person,))])


async def same(house: House, ledger: DiskLedger) -> None:
    """What the file says is what the log says."""
    memory = Ledger()
    for index in range(house.audit.size):
        stored = await house.audit.body(index)
        if stored is not None:
            memory.take(index, read_body(stored[1]))
    subjects = [str(DATA), str(OTHER), BRUNO.did, "did:key:nobody"]
    assert ledger.chain(subjects) == memory.chain(subjects)
    assert ledger.heads() == memory.heads()
    assert ledger.newest == memory.newest
    for subject in subjects:
        assert ledger.rows(subject, 2, 7, 3) == memory.rows(subject, 2, 7, 3)
        for at in range(house.clock.time - 9, house.clock.time):
            assert list(ledger.older(subject, at, 99)) == list(memory.older(subject, at, 99))
            assert list(ledger.newer(subject, at, 99)) == list(memory.newer(subject, at, 99))


def test_it_is_the_log_s_however_it_was_lost(tmp_path: Path) -> None:
    """Lost: after a crash, or with an old file, the node does again what its log says it did."""
    path = tmp_path / "ledger.db"

    async def story(house: House) -> None:
        ledger = await DiskLedger.open(path, house.audit)
        book = AuditBook(ANNA.did, NODES[ANNA.did], house.audit, ledger, house.clock)
        await write(house, book, 5)
        await same(house, ledger)
        # A crash: what was not committed to the file is gone, and comes back from the log.
        ledger._sql.close()
        ledger = await DiskLedger.open(path, house.audit)
        assert not ledger.recovered
        await same(house, ledger)
        await write(house, AuditBook(ANNA.did, NODES[ANNA.did], house.audit, ledger, house.clock), 3)
        ledger.close()
        for spoil in (path.unlink, lambda: path.write_bytes(os.urandom(8192)), lambda: forge(path)):
            spoil()
            ledger = await DiskLedger.open(path, house.audit)
            await same(house, ledger)
            ledger.close()
        assert oct(path.stat().st_mode & 0o777) == "0o600"

    play(tmp_path / "house", story)


def forge(path: Path) -> None:
    """The file of another log."""
    with sqlite3.connect(path) as database:
        database.execute("UPDATE state SET value = ? WHERE name = 'last'", (bytes(32),))
    database.close()


def test_no_person_s_key_lies_in_it(tmp_path: Path) -> None:
    """Lost: whoever reads the ledger's file reads who did something here."""
    path = tmp_path / "ledger.db"

    async def story(house: House) -> None:
        ledger = await DiskLedger.open(path, house.audit)
        await write(house, AuditBook(ANNA.did, NODES[ANNA.did], house.audit, ledger, house.clock), 3)
        ledger.close()

    play(tmp_path / "house", story)
    held = b"".join(file.read_bytes() for file in tmp_path.glob("ledger.db*"))
    assert BRUNO.did.encode() not in held
    assert CLARA.did.encode() not in held
