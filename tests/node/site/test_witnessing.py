"""Pushing in a running site: at once, to everybody, past whoever is slow or away; and what is said of it meanwhile."""

import sqlite3

import pytest
import trio
import trio.testing

from catalog.checkpoint import add_line, cosign
from catalog.error import Unreachable, VerificationFailed
from catalog.policy import PolicyFields
from node.message import AddCheckpoint, Added, Row, read_question, reply_bytes
from node.replicate.quorum import Quorum
from node.site import lane, witnessing
from node.site.witnessing import Witnessing
from tests.node.site.house import ANNA, BRUNO, CLARA, NODES, House, play

NAMES = {ANNA.did: "St. Anna", BRUNO.did: "St. Bruno", CLARA.did: "St. Clara"}


class Members:
    """The witnesses, of whom some are away and some never answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.away: set[str] = set()
        self.stuck: set[str] = set()
        self.refused = ""
        self.refusals: set[str] = set()
        self.both_refused = trio.Event()
        self.failed = trio.Event()
        self.shown: list[tuple[str, tuple[Row, ...]]] = []
        self.hints: list[bytes] = []
        self.hinted = trio.Event()
        self.free = trio.Event()
        self.free.set()
        self.both = trio.Event()

    async def ask(self, site: str, data: bytes, seconds: float = 30.0) -> bytes:
        question = read_question(data)
        assert isinstance(question, AddCheckpoint)
        self.asked.append((NAMES[site], question.note.split("\n")[0].split("/")[1] + question.note.split("\n")[1]))
        self.shown.append((NAMES[site], question.rows))
        if len(self.asked) == 2:
            self.both.set()
        await self.free.wait()
        if site in self.stuck:
            await trio.sleep_forever()
        if site in self.away:
            self.failed.set()
            raise Unreachable("it is away")
        if self.refused and f"/{self.refused}/" in question.note:
            self.refusals.add(site)
            if self.refusals == {BRUNO.did, CLARA.did}:
                self.both_refused.set()
            return reply_bytes(VerificationFailed("it signed two histories"))
        line = cosign(question.note, site, NODES[site], 1_700_000_000)
        return reply_bytes(Added(size=int(question.note.split("\n")[1]), line=line))

    async def hint(self, message: bytes) -> None:
        self.hints.append(message)
        self.hinted.set()


def witnesses(needed: int) -> Quorum:
    return Quorum(needed, {root: node.did for root, node in NODES.items() if root != ANNA.did})


def made(house: House, members: Members, needed: int = 2) -> Witnessing:
    told = Witnessing(house.catalog, house.audit, members, lambda: witnesses(needed), NAMES.__getitem__, lambda: None)
    house.catalog.appended = house.audit.appended = told.wake
    return told


async def covered(witnessing: Witnessing) -> None:
    """Come back once the catalog's first leaf is covered."""
    while witnessing.catalog.covered() < 1:
        await witnessing._lanes[0]._news.wait()


async def grow(house: House, count: int = 1) -> None:
    await house.audit.append([("x-any", b"%d" % at) for at in range(count)])


def test_what_is_appended_is_cosigned_by_everybody_and_read_back_after_a_restart(tmp_path):
    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await grow(house, 3)
            await witnessing.reach(3)
            assert (witnessing.covered(), witnessing.lacking(3)) == (3, [])
            await house.publish("policy", PolicyFields(text="a"))
            await covered(witnessing)
            nursery.cancel_scope.cancel()
        assert sorted(members.asked[:2]) == [("St. Bruno", "audit3"), ("St. Clara", "audit3")]
        again = made(house, members)
        assert again.covered() == 0
        await again.load()
        assert (again.covered(), again.catalog.covered()) == (3, 1)
        assert await again.cover(2) == await again.cover(3)

    play(tmp_path, story)


def test_a_log_that_is_refused_holds_up_the_other_not(tmp_path):
    """Lost: a site that forked its audit log cannot take a grant back, for its catalog is cosigned no more either."""

    async def story(house: House) -> None:
        members = Members()
        members.refused = "audit"
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await grow(house)
            await house.publish("policy", PolicyFields(text="a"))
            await covered(witnessing)
            await members.both_refused.wait()
            await trio.testing.wait_all_tasks_blocked()
            assert witnessing.covered() == 0
            assert "two histories" in witnessing.refused[BRUNO.did]
            nursery.cancel_scope.cancel()

    play(tmp_path, story)


def test_entries_that_come_while_the_quorum_is_busy_go_together(tmp_path):
    """Lost: a hundred entries together cost every member a hundred cosignatures, and as many flushes."""

    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await house.publish("policy", PolicyFields(text="first"))
            await witnessing.published(1)
            members.asked.clear()
            members.free, members.both = trio.Event(), trio.Event()
            await house.publish("policy", PolicyFields(text="second"))
            await members.both.wait()
            for number in range(20):
                await house.publish("policy", PolicyFields(text=f"{number}"))
            members.free.set()
            await witnessing.published(22)
            nursery.cancel_scope.cancel()
        assert {what for _, what in members.asked} == {"catalog2", "catalog22"}

    play(tmp_path, story)


def test_a_lone_entry_goes_at_once_and_one_of_the_audit_log_waits_for_what_follows(tmp_path, monkeypatch):
    """Lost: a revocation waits for company; or an intent is cosigned by itself, and its result again."""
    monkeypatch.setattr(lane, "LINGER_SECONDS", 3600.0)
    monkeypatch.setattr(lane, "MOST_SECONDS", 0.0)

    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await trio.testing.wait_all_tasks_blocked()
            await grow(house)
            await house.publish("policy", PolicyFields(text="a"))
            await covered(witnessing)
            assert {what for _, what in members.asked} == {"catalog1"}
            await grow(house)
            await witnessing.reach(2)
            nursery.cancel_scope.cancel()
        assert {what for _, what in members.asked} == {"catalog1", "audit2"}

    play(tmp_path, story)


def test_with_a_checkpoint_of_the_catalog_goes_what_is_new_to_whom_it_may(tmp_path):
    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await house.publish("policy", PolicyFields(text="a"))
            await witnessing.published(1)
            # What they have was not known: they say so with their first answer.
            assert sorted(members.shown) == [("St. Bruno", ()), ("St. Clara", ())]
            members.shown.clear()
            await house.publish("policy", PolicyFields(text="b"), audience=(CLARA.did,))
            await witnessing.published(2)
            await grow(house)
            await witnessing.reach(1)
            nursery.cancel_scope.cancel()
        catalog, audit = sorted(members.shown[:2]), members.shown[2:]
        assert [(who, [(row.index, row.body is None) for row in rows]) for who, rows in catalog] == [
            ("St. Bruno", [(1, True)]),
            ("St. Clara", [(1, False)]),
        ]
        assert [rows for _, rows in audit] == [(), ()]

    play(tmp_path, story)


@pytest.mark.parametrize("trouble", ["away", "stuck"])
def test_gossip_tells_what_does_not_get_on_by_being_put_before_the_members(tmp_path, monkeypatch, trouble):
    """Lost: who can be reached through others alone hears of a revocation late; or all hear all of it twice."""
    monkeypatch.setattr(witnessing, "TELL_SECONDS", 0.05)

    async def story(house: House) -> None:
        members = Members()
        here = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run)
            await house.publish("policy", PolicyFields(text="all have it"))
            await here.published(1)
            (members.away if trouble == "away" else members.stuck).add(CLARA.did)
            await house.publish("policy", PolicyFields(text="one has it not"))
            await members.hinted.wait()
            nursery.cancel_scope.cancel()
        assert members.hints == [house.catalog.note.encode()]

    play(tmp_path, story)


def test_who_is_away_or_never_answers_holds_up_nobody_and_is_named(tmp_path):
    """Lost: one hospital's network stops every other hospital's releases."""

    async def story(house: House) -> None:
        members = Members()
        members.stuck = {CLARA.did}
        witnessing = made(house, members, needed=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            for size in (1, 2, 3):
                await grow(house)
                await witnessing.reach(size)
            assert [who for who, _ in members.asked].count("St. Clara") == 1
            nursery.cancel_scope.cancel()

    play(tmp_path, story)


def test_what_no_quorum_can_cosign_waits_and_says_for_whom_and_goes_on_when_they_are_back(tmp_path):
    async def story(house: House) -> None:
        members = Members()
        members.away = {CLARA.did}
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            await grow(house)
            assert await witnessing.audit.aim()
            assert await witnessing.audit.push(BRUNO.did)
            with pytest.raises(Unreachable):
                await witnessing.audit.push(CLARA.did)
            assert witnessing.lacking(1) == ["St. Clara"]
            assert witnessing.covered() == 0
            assert await witnessing.cover(1, 0.0) == house.audit.note
            nursery.start_soon(witnessing.run)
            await members.failed.wait()
            members.away = set()
            witnessing.back(CLARA.did)
            await witnessing.reach(1)
            assert len((await witnessing.cover(1)).splitlines()) == len(house.audit.note.splitlines()) + 2
            nursery.cancel_scope.cancel()

    play(tmp_path, story)


def test_heads_carry_the_first_quorum_s_checkpoint_of_the_newest_beat(tmp_path):
    """Lost: nobody can tell how recent what it knows of this site is; or a site that says nothing is renewed."""

    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)

        async def cosigned(*by) -> None:
            await house.publish("policy", PolicyFields(text="x"))
            note = house.catalog.note
            for site in by:
                note = add_line(note, cosign(note, site.did, NODES[site.did], 1_700_000_000))
            if by:
                await house.catalog.add_cosignatures(note, witnesses(2).witnesses)
            await witnessing.load()

        def sizes(notes: tuple[str, ...]) -> list[str]:
            return [note.split("\n")[1] for note in notes]

        assert await witnessing.head(0) == ()
        await cosigned(BRUNO)
        assert await witnessing.head(0) == ()
        await cosigned(BRUNO, CLARA)
        assert sizes(await witnessing.head(0)) == ["2"]
        await cosigned(BRUNO, CLARA)
        assert sizes(await witnessing.head(1)) == ["2"]
        assert sizes(await witnessing.head(2)) == ["3"]
        await cosigned()
        assert sizes(await witnessing.head(3)) == ["3"]

    play(tmp_path, story)


def test_what_is_damaged_here_goes_with_no_checkpoint_and_holds_none_up(tmp_path):
    """Lost: one damaged body, and nothing that this site publishes is cosigned any more."""

    async def story(house: House) -> None:
        members = Members()
        witnessing = made(house, members)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(witnessing.run)
            await house.publish("policy", PolicyFields(text="a"))
            await covered(witnessing)
            with sqlite3.connect(house.catalog.folder / "bodies.db") as bodies:
                spoil = "UPDATE bodies SET body = x'00' WHERE leaf = NEW.leaf"
                bodies.execute(f"CREATE TRIGGER spoil AFTER INSERT ON bodies BEGIN {spoil}; END")
            await house.publish("policy", PolicyFields(text="b"))
            await witnessing.published(2)
            nursery.cancel_scope.cancel()
        assert dict(members.shown[-2:]) == {"St. Bruno": (), "St. Clara": ()}

    play(tmp_path, story)
