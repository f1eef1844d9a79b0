"""Pushing in a running site: at once, to everybody, past whoever is slow or away; and what is said of it meanwhile."""

import pytest
import trio

from catalog.checkpoint import add_line, cosign
from catalog.error import Unreachable, VerificationFailed
from catalog.policy import PolicyFields
from node.message import AddCheckpoint, Added, read_question, reply_bytes
from node.replicate.quorum import Quorum
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
        self.failed = trio.Event()

    async def ask(self, site: str, data: bytes, seconds: float = 30.0) -> bytes:
        question = read_question(data)
        assert isinstance(question, AddCheckpoint)
        self.asked.append((NAMES[site], question.note.split("\n")[0].split("/")[1] + question.note.split("\n")[1]))
        if site in self.stuck:
            await trio.sleep_forever()
        if site in self.away:
            self.failed.set()
            raise Unreachable("it is away")
        if self.refused and f"/{self.refused}/" in question.note:
            return reply_bytes(VerificationFailed("it signed two histories"))
        line = cosign(question.note, site, NODES[site], 1_700_000_000)
        return reply_bytes(Added(size=int(question.note.split("\n")[1]), line=line))

    async def hint(self, message: bytes) -> None:
        raise NotImplementedError


def witnesses(needed: int) -> Quorum:
    return Quorum(needed, {root: node.did for root, node in NODES.items() if root != ANNA.did})


def made(house: House, members: Members, needed: int = 2) -> Witnessing:
    told = Witnessing(house.catalog, house.audit, members, lambda: witnesses(needed), NAMES.__getitem__, lambda: None)
    house.catalog.appended = house.audit.appended = told.wake
    return told


async def covered(witnessing: Witnessing) -> None:
    """Come back once the catalog's first leaf is covered."""
    while witnessing.catalog.covered() < 1:
        await witnessing._moved.wait()


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
            assert witnessing.covered() == 0
            assert "two histories" in witnessing.refused[BRUNO.did]
            nursery.cancel_scope.cancel()

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
