"""Between two runs: what was read is taken up if it is of the log that lies here, and read again if not."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
import trio

from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.index import Index, SiteIndex
from catalog.key import PrivateKey
from catalog.member import KeyFields, Role
from catalog.offer import OfferFields
from catalog.origin import LogName, origin_of
from catalog.reading import Reading
from node.replicate.indexing import Feeding, index_anew, index_log, read_here
from node.site.keeping import LEAST, Keeping
from node.storage.log import DiskLog
from node.storage.replica import ReplicaLog
from node.storage.versionstore import VersionStore
from node.system import SystemRandom

ROOT, NODE, STEWARD = (PrivateKey(bytes([number]) * 32) for number in (61, 62, 63))
ORIGIN = origin_of(ROOT.did, LogName.CATALOG)
MANY = 2 * LEAST


def enrolment(key: PrivateKey, role: Role, **more: object) -> tuple[str, bytes]:
    fields = KeyFields(did=key.did, role=role, name="Somebody", x25519=bytes(32), **more)  # type: ignore[arg-type]
    return "key", encode(write_body("key", fields, site=ROOT.did, at=1, by=ROOT))


def offers(first: int, count: int, after: int | None) -> list[tuple[str, bytes]]:
    """So many prices, one after the other, from the place ``first`` of the log on."""
    made = []
    for place in range(first, first + count):
        offer = OfferFields(runner="sandbox", price=place, step_millis=1)
        body = write_body("offer", offer, site=ROOT.did, at=1, by=STEWARD, previous=after)
        made.append(("offer", encode(body)))
        after = place
    return made


class Run:
    """One run of a node over the files in ``folder``; ``read`` are the leaves that it had to read."""

    def __init__(self, folder: Path, log: DiskLog | ReplicaLog) -> None:
        self.log = log
        store, self.damage = VersionStore.open(folder / "versions.db", lambda _site, place: log.peek(place))
        self.indexes = Index([ROOT.did], store.begin)
        self.keeping = Keeping(store)
        self.read: list[int] = []

    async def start(self) -> SiteIndex:
        index = self.indexes.site(ROOT.did)
        await self.keeping.take_up(self.log, index)
        await self.feed()
        return index

    async def feed(self) -> None:
        await index_log(self.log, self.indexes.site(ROOT.did), self.feeding)

    @property
    def feeding(self) -> Feeding:
        return Feeding(self._read, self.keeping)

    async def _read(self, site: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
        self.read += range(start, start + len(rows))
        return await read_here(site, start, rows)


def play(folder: Path, story: Callable[[DiskLog], Awaitable[None]], count: int = MANY) -> None:
    async def main() -> None:
        async with await DiskLog.create(folder / "log", ORIGIN, 0, NODE, SystemRandom()) as log:
            await log.append([enrolment(NODE, Role.NODE), enrolment(STEWARD, Role.STEWARD), *offers(2, count, None)])
            await story(log)

    trio.run(main)


def price(index: SiteIndex) -> int:
    offer = index.typed(OfferFields, "offer")
    assert offer is not None
    return offer.price


def test_a_start_reads_only_what_came_since_it_was_kept(tmp_path: Path) -> None:
    """Lost: a node with a million entries that verifies a minute of signatures at each start."""

    async def story(log: DiskLog) -> None:
        first = Run(tmp_path, log)
        await first.start()
        assert len(first.read) == log.size
        first.keeping.close()
        await log.append(offers(log.size, 3, log.size - 1))
        second = Run(tmp_path, log)
        index = await second.start()
        assert second.read == [log.size - 3, log.size - 2, log.size - 1]
        assert price(index) == log.size - 1
        assert index.nodes() == (NODE.did,)
        second.keeping.close()

    play(tmp_path, story)


def test_what_was_not_kept_is_read_again(tmp_path: Path) -> None:
    """Lost: a crash between two writes leaves an index that lacks what stands in the log."""

    async def story(log: DiskLog) -> None:
        first = Run(tmp_path, log)
        await first.start()
        kept = log.size
        await log.append(offers(log.size, LEAST - 1, log.size - 1))
        await first.feed()
        assert price(first.indexes.site(ROOT.did)) == log.size - 1
        first.keeping.close()  # as a crash would: nothing is kept on the way out
        second = Run(tmp_path, log)
        assert price(await second.start()) == log.size - 1
        assert second.read == list(range(kept, log.size))
        second.keeping.close()

    play(tmp_path, story)


def test_what_is_of_another_log_is_not_taken_up(tmp_path: Path) -> None:
    """Lost: after a backup was put back, or a log begun anew, grants count that stand in no log here."""

    async def story(log: DiskLog) -> None:
        first = Run(tmp_path, log)
        await first.start()
        first.keeping.close()
        for number, origin in enumerate((ORIGIN, ORIGIN[:-1] + "1")):
            async with await DiskLog.create(tmp_path / str(number), origin, 0, NODE, SystemRandom()) as other:
                entries = [enrolment(NODE, Role.NODE), enrolment(STEWARD, Role.STEWARD), *offers(2, MANY + 5, None)]
                await other.append(entries)
                run = Run(tmp_path, other)
                assert price(await run.start()) == MANY + 6
                assert run.read == list(range(other.size))
                run.keeping.close()
        shorter = await DiskLog.create(tmp_path / "shorter", ORIGIN, 0, NODE, SystemRandom())
        async with shorter:
            await shorter.append([enrolment(NODE, Role.NODE), enrolment(STEWARD, Role.STEWARD), *offers(2, 1, None)])
            run = Run(tmp_path, shorter)
            assert price(await run.start()) == 2
            run.keeping.close()

    play(tmp_path, story)


def test_bodies_that_came_after_the_log_was_read_make_it_be_read_again(tmp_path: Path) -> None:
    """Lost: what came late counts in the run in which it came, and never again."""

    async def story(log: DiskLog) -> None:
        rows = await log.read(0, log.size)
        replica = await ReplicaLog.open(tmp_path / "replica", ORIGIN, NODE.did)
        async with replica:
            await replica.extend(log.note, [leaf for leaf, _ in rows])
            bodies = [(place, *stored) for place, (_, stored) in enumerate(rows) if stored is not None]
            await replica.put_bodies([row for row in bodies if row[0] != 1])  # not the steward's enrolment
            first = Run(tmp_path, replica)
            assert (await first.start()).latest("offer", "") is None
            first.keeping.close()
            await replica.put_bodies([bodies[1]])
            second = Run(tmp_path, replica)
            assert price(await second.start()) == log.size - 1
            second.keeping.close()

    play(tmp_path, story)


def test_a_reading_that_is_begun_anew_replaces_what_was_kept_only_when_it_is_whole(tmp_path: Path) -> None:
    """Lost: a crash in the middle of it leaves half a catalog for the whole."""

    class Crash(BaseException):
        pass

    async def story(log: DiskLog) -> None:
        run = Run(tmp_path, log)
        index = await run.start()
        before = index.versions.name

        async def read(site: str, start: int, rows: Sequence[tuple[bytes, bytes | None]]) -> list[Reading]:
            if start:
                raise Crash
            return await read_here(site, start, rows)

        with pytest.raises(Crash):
            await index_anew(log, run.indexes, ROOT.did, Feeding(read, run.keeping))
        assert price(index) == log.size - 1
        await log.append(offers(log.size, LEAST, log.size - 1))
        await index_log(log, index, run.feeding)
        store = sqlite3.connect(tmp_path / "versions.db")
        assert store.execute("SELECT count(DISTINCT reading), count(*) FROM counted").fetchone() == (1, index.size)
        store.close()
        run.keeping.close()
        second = Run(tmp_path, log)
        index = await second.start()
        assert (index.versions.name, second.read) == (before, [])
        await index_anew(log, second.indexes, ROOT.did, second.feeding)
        assert index.versions.name != before
        assert price(index) == log.size - 1
        second.keeping.close()
        third = Run(tmp_path, log)
        await third.start()
        assert third.read == []
        third.keeping.close()

    play(tmp_path, story, count=1200)


def test_keys_and_their_removals_are_taken_up_with_the_rest(tmp_path: Path) -> None:
    """Lost: a stolen key that was taken back counts again after a start."""

    async def story(log: DiskLog) -> None:
        removal = KeyFields(
            did=STEWARD.did, role=Role.STEWARD, name="Somebody", x25519=bytes(32), removed=True, until=MANY
        )
        await log.append([("key", encode(write_body("key", removal, site=ROOT.did, at=1, by=ROOT, previous=1)))])
        first = Run(tmp_path, log)
        index = await first.start()
        assert index.due
        await index_anew(log, first.indexes, ROOT.did, first.feeding)
        assert (price(index), index.key(STEWARD.did)) == (MANY - 1, None)
        faults = dict(index.faults)
        first.keeping.close()
        second = Run(tmp_path, log)
        index = await second.start()
        assert (price(index), index.key(STEWARD.did), index.due) == (MANY - 1, None, False)
        assert (dict(index.faults), second.read) == (faults, [])
        assert index.keys.was_cut(STEWARD.did)
        second.keeping.close()

    play(tmp_path, story)


def test_a_body_that_is_none_is_no_body_that_came_late(tmp_path: Path) -> None:
    """Lost: by one such body a member makes all others read its whole log again at each start."""

    async def story(log: DiskLog) -> None:
        await log.append([("offer", b"no body")])
        first = Run(tmp_path, log)
        assert price(await first.start()) == log.size - 2
        first.keeping.close()
        second = Run(tmp_path, log)
        assert price(await second.start()) == log.size - 2
        assert second.read == []
        second.keeping.close()

    play(tmp_path, story)
