"""The site's small state: durable, its owner's alone, and damage is named."""

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from catalog.body import Millis
from catalog.cid import Cid
from catalog.dagcbor import Value, cid_of, encode
from catalog.error import ComityError, Conflict, Damaged, Denied, NotFound, VerificationFailed
from catalog.fork import Fork
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.project import ProjectRef
from node.bus.journal import State
from node.replication import Seen
from node.storage.database import Database
from node.storage.facts import Fact, Facts
from node.storage.journal import SubmissionJournal
from node.storage.resident import Residents
from node.storage.witness import WitnessMemory
from workflow.argument import Literal
from workflow.cancellation import Cancellation
from workflow.order import Order
from workflow.receipt import Receipt, Status
from workflow.submission import Submission

DID = PrivateKey(bytes(32)).did


class Thing(Value, frozen=True, kw_only=True):
    at: Millis


def run(path: Path, story: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        database = Database.open(path)
        try:
            await story(database)
        finally:
            database.close()

    trio.run(main)


def test_every_file_of_the_state_is_its_owner_s_alone(tmp_path):
    """Lost: the keys of resident data, with which a guess about a patient is confirmed."""
    path = tmp_path / "state.db"
    before = os.umask(0)
    path.touch(0o644)

    async def story(database: Database) -> None:
        await Facts(database).set(Fact.INVITE, Thing(at=1))
        files = list(tmp_path.iterdir())
        assert len(files) > 1
        assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}

    try:
        run(path, story)
    finally:
        os.umask(before)


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "state.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Database.open(tmp_path / "state.db")
    assert not (tmp_path / "elsewhere").exists()


def test_a_failure_in_the_middle_keeps_nothing_and_the_next_change_goes_on(tmp_path):
    async def story(database: Database) -> None:
        facts = Facts(database)

        def half(sql: sqlite3.Connection) -> None:
            sql.execute("INSERT INTO fact VALUES ('a', x'00')")
            raise Denied("no")

        with pytest.raises(Denied):
            await database.run(half)
        with pytest.raises(ComityError, match=r"state\.db could not be written"):
            await database.run(lambda sql: sql.execute("INSERT INTO fact VALUES ('a', NULL)"))
        assert await database.run(lambda sql: sql.execute("SELECT count(*) FROM fact").fetchone()) == (0,)
        await facts.set(Fact.INVITE, Thing(at=1))

    run(tmp_path / "state.db", story)


def test_what_was_kept_is_there_after_a_kill(tmp_path):
    """Lost: the invitation that was used, the checkpoint that was cosigned: the promise of «durable on return»."""
    program = """
import os, sys, trio
from pathlib import Path
from node.replication import Seen
from node.storage.database import Database
from node.storage.witness import WitnessMemory
async def main():
    memory = WitnessMemory(Database.open(Path(sys.argv[1])))
    await memory.remember("log", Seen(7, bytes(32), "note", 1_700_000_000), None)
    os.kill(os.getpid(), 9)
trio.run(main)
"""
    path = tmp_path / "state.db"
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -9

    async def story(database: Database) -> None:
        seen = await WitnessMemory(database).seen("log")
        assert seen == Seen(7, bytes(32))
        assert (seen.note, seen.at) == ("note", 1_700_000_000)

    run(path, story)


def test_a_file_that_is_no_database_is_named_as_damaged(tmp_path):
    path = tmp_path / "state.db"
    for data in (b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 4080):
        path.write_bytes(data)
        with pytest.raises(Damaged, match=r"state\.db is damaged .* restore it from a backup"):
            Database.open(path)


def test_damage_inside_is_named_when_it_is_met(tmp_path):
    """Lost: an operator who is told to look for space on the disk while the state is broken."""
    path = tmp_path / "state.db"

    async def fill(database: Database) -> None:
        for number in range(200):
            await database.run(
                lambda sql, n=number: sql.execute("INSERT INTO fact VALUES (?, ?)", (str(n), bytes(500)))
            )

    run(path, fill)
    data = bytearray(path.read_bytes())
    for page in range(len(data) - 16 * 4096, len(data), 4096):  # behind the schema
        data[page : page + 100] = b"\xff" * 100
    path.write_bytes(data)

    async def read(database: Database) -> None:
        with pytest.raises(Damaged, match=r"state\.db is damaged"):
            await database.run(lambda sql: sql.execute("SELECT * FROM fact").fetchall())

    run(path, read)


def test_facts(tmp_path):
    async def story(database: Database) -> None:
        facts = Facts(database)
        assert await facts.get(Fact.INVITE, Thing) is None
        await facts.set(Fact.INVITE, Thing(at=1))
        await facts.set(Fact.INVITE, Thing(at=2))
        assert await facts.get(Fact.INVITE, Thing) == Thing(at=2)
        assert await facts.get(Fact.FOUNDING, Thing) is None
        await database.run(lambda sql: sql.execute("UPDATE fact SET value = x'ff'"))
        with pytest.raises(VerificationFailed):
            await facts.get(Fact.INVITE, Thing)

    run(tmp_path / "state.db", story)


def test_an_invitation_is_used_by_one_site(tmp_path):
    """Lost: one invitation lets two sites in, or an old one lets anybody in."""

    async def story(database: Database) -> None:
        facts = Facts(database)
        await facts.invited(b"a" * 32, 100)
        await facts.invited(b"b" * 32, 100)
        refusals: list[str] = []

        async def admit(site: str) -> None:
            try:
                await facts.admit(b"a" * 32, site, 50)
            except Denied as error:
                refusals.append(str(error))

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(admit, f"site {number}")
        assert len(refusals) == 7
        assert all("another site" in each for each in refusals)
        with pytest.raises(Denied, match="expired"):
            await facts.admit(b"b" * 32, "site", 101)
        await facts.admit(b"b" * 32, "site", 100)
        await facts.admit(b"b" * 32, "site", 1000)
        for secret in (b"c" * 32, b"", b"a" * 31):
            with pytest.raises(Denied, match="not given here"):
                await facts.admit(secret, "site", 0)

    run(tmp_path / "state.db", story)


def test_the_first_proof_of_a_fork_stays(tmp_path):
    async def story(database: Database) -> None:
        memory = WitnessMemory(database)
        proof = Fork(first="log\n1\nx", second="log\n2\ny", consistency=(bytes(32),))
        await memory.accuse(proof)
        await memory.accuse(Fork(first="log\n1\nx", second="log\n1\nz"))
        assert await memory.forks() == [proof]

    run(tmp_path / "state.db", story)


def test_what_was_cosigned_is_replaced_by_whoever_read_it_alone(tmp_path):
    """Lost: two questions at once, each of which reads the same last size, cosign two histories."""

    async def story(database: Database) -> None:
        memory = WitnessMemory(database)
        one, two, other = Seen(1, b"r" * 32), Seen(2, b"s" * 32, "b", 7), Seen(2, b"t" * 32)
        assert await memory.seen("log") is None
        assert await memory.remember("log", one, None)
        assert not await memory.remember("log", other, None)
        assert await memory.remember("log", two, one)
        assert not await memory.remember("log", other, one)
        assert not await memory.remember("log", other, Seen(2, b"r" * 32))
        found = await memory.seen("log")
        assert (found, found.note, found.at) == (two, "b", 7)

    run(tmp_path / "state.db", story)


def test_when_a_site_was_heard_is_known_after_a_restart(tmp_path):
    async def story(database: Database) -> None:
        memory = WitnessMemory(database)
        await memory.keep_heard("a", 5)
        await memory.keep_heard("a", 1 << 41)
        assert await memory.heard() == {"a": 1 << 41}

    run(tmp_path / "state.db", story)


def test_resident_data_keep_their_name(tmp_path):
    """Lost: two outside names for the same data, which a stranger then knows to be the same."""

    async def story(database: Database) -> None:
        residents = Residents(database)
        plain, path = Cid.of(b"births"), Path("/data/births \udcff.csv")
        made = []

        async def add(key: bytes) -> None:
            made.append(await residents.add(plain, key, path))

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(add, bytes([number]) * 32)
        assert len({each.cid for each in made}) == 1
        first = made[0]
        assert first.cid.is_keyed
        assert await residents.find(first.cid) == first
        assert await residents.find(plain) is None
        elsewhere = await residents.add(plain, b"x" * 32, Path("/data/copy.csv"))
        assert elsewhere.cid != first.cid
        assert (await residents.add(Cid.of(b"more"), b"y" * 32, path)).cid != first.cid
        for shown in (repr(first), repr(residents)):
            assert "births" not in shown
            assert str(plain) not in shown

    run(tmp_path / "state.db", story)


def submission(nonce: int, person: str = DID) -> Submission:
    return Submission(
        consortium=Cid.of(b"c"),
        epoch=0,
        person=person,
        site=DID,
        project=ProjectRef(site=DID, name="trial"),
        workflow=Cid.of(b"w"),
        inputs={},
        grants=(),
        destinations=(DID,),
        deadline=2,
        budget=1,
        min_sites=1,
        not_before=0,
        not_after=2,
        buses=(DID,),
        nonce=nonce.to_bytes(16, "big"),
        sig=UNSIGNED,
    )


def order(of: Submission, attempt: int) -> Order:
    return Order(
        consortium=of.consortium,
        epoch=0,
        submission=cid_of(of),
        step="count",
        shard=0,
        attempt=attempt,
        site=DID,
        bus=DID,
        block=Cid.of(b"b"),
        inputs={"n": Literal(json="1")},
        proofs=(),
        outputs={},
        max_cost=1,
        not_after=2,
        sig=UNSIGNED,
    )


def test_the_journal_of_submissions(tmp_path):
    """Lost: what was ordered before a crash, or the first receipt for an order, which is the one that counts."""

    async def story(database: Database) -> None:
        changes: list[None] = []
        journal = SubmissionJournal(database, lambda: changes.append(None))
        mine, other = submission(1), submission(2, PrivateKey(bytes([1]) * 32).did)
        cid = cid_of(mine)
        with pytest.raises(NotFound, match="submission list"):
            await journal.record(cid)
        await journal.begin(mine, "text", 5)
        await journal.begin(mine, "another text", 6)
        await journal.begin(other, "text", 7)
        assert len(changes) == 3
        for attempt in (1, 2, 2):
            await journal.ordered(order(mine, attempt))
        first = receipt(order(mine, 1), Status.DONE)
        await journal.received(cid, first)
        await journal.received(cid, receipt(order(mine, 1), Status.FAILED))
        record = await journal.record(cid)
        assert (record.submission, record.workflow, record.began, record.state) == (mine, "text", 5, State.RUNNING)
        assert sorted(each.attempt for each in record.orders) == [1, 2]
        assert list(record.receipts) == [first]
        await journal.end(cid, State.FAILED, "why", 9)
        ended = await journal.record(cid)
        assert (ended.state, ended.reason, ended.ended) == (State.FAILED, "why", 9)
        assert [each.cid for each in await journal.records()] == [cid_of(other), cid]
        assert [each.cid for each in await journal.records(DID)] == [cid]
        assert len(changes) == 9
        assert encode((await journal.record(cid)).submission) == encode(mine)

    run(tmp_path / "state.db", story)


def test_the_journal_of_what_was_cancelled(tmp_path):
    """Lost: a submission whose last step ends while it is cancelled is told to be both."""

    async def story(database: Database) -> None:
        journal = SubmissionJournal(database, lambda: None)
        mine = submission(1)
        cid = cid_of(mine)
        word, again = (
            signed(Cancellation(person=DID, submission=cid, at=at, sig=UNSIGNED), PrivateKey(bytes(32)))
            for at in (1, 2)
        )
        with pytest.raises(Conflict):
            await journal.cancel(word)
        await journal.begin(mine, "text", 5)
        await journal.end(cid, State.CANCELLED, "nobody said so", 6)
        assert (await journal.record(cid)).state is State.RUNNING
        await journal.cancel(word)
        await journal.cancel(again)
        await journal.end(cid, State.DONE, "", 7)
        record = await journal.record(cid)
        assert (record.state, record.ended, record.word) == (State.CANCELLING, 0, word)
        await journal.end(cid, State.CANCELLED, "why", 9)
        record = await journal.record(cid)
        assert (record.state, record.reason, record.ended) == (State.CANCELLED, "why", 9)
        with pytest.raises(Conflict):
            await journal.cancel(word)

    run(tmp_path / "state.db", story)


def receipt(of: Order, status: Status) -> Receipt:
    return Receipt(
        order=cid_of(of),
        site=DID,
        node=DID,
        previous=None,
        status=status,
        decision=None,
        place=None,
        outputs={},
        spent=None,
        cost=3,
        reason="",
        at=1,
        sig=UNSIGNED,
    )
