"""Founding a consortium between sites: invitations used once, refusals that say why, and restarts at any moment."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import write_body
from catalog.dagcbor import decode, encode
from catalog.error import BadInput, ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import KeyFields, Member, Role, epoch_message
from node.founding import Founder, Founding, Invite, Knock
from node.keyfile import Identity
from node.message import read_reply, reply_bytes
from node.site.membership import Membership
from node.storage.database import Database
from node.storage.facts import Fact, Facts

DAY = 86_400_000


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000

    def now(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Random:
    def __init__(self) -> None:
        self.count = 0

    def token(self, count: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(count, "big")


class Town:
    """The sites of a test by their node keys, and the wires between them. ``answer`` may lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock, self.random = Clock(), Random()
        self.sites: dict[str, Site] = {}
        self.lie: Callable[[bytes], bytes] = lambda reply: reply
        self.away = False

    def site(self, name: str) -> "Site":
        return Site(self, name)


class Wire:
    """The bulk client of one site."""

    def __init__(self, town: Town, asker: str) -> None:
        self._town, self._asker = town, asker

    async def post(self, node: str, url_base: str, target: str, body: bytes, *, limit: int) -> bytes:
        if self._town.away or node not in self._town.sites:
            raise Unreachable("nobody answers")
        assert target == "/join"
        assert len(body) <= 64 << 10
        reply = self._town.lie(await self._town.sites[node].member.answer_knock(self._asker, body))
        assert len(reply) <= limit
        return reply


class Site:
    """A site of the test; ``restart`` forgets all but its database."""

    def __init__(self, town: Town, name: str) -> None:
        self.town, self.name = town, name
        self.root, self.node = PrivateKey(name.encode().ljust(32)), Identity(name, *_keys(name))
        self.control = "/ip4/127.0.0.1/tcp/1"
        self.database = Database.open(town.folder / f"{name}.db")
        town.sites[self.node.did] = self
        self._wake()

    def me(self) -> Founder:
        fields = KeyFields(did=self.node.did, role=Role.NODE, name=self.name, x25519=bytes(32))
        body = write_body("key", fields, site=self.root.did, at=1, by=self.root)
        member = Member(site=self.name, root=self.root.did)
        return Founder(member=member, enrolment=encode(body), control=self.control, bulk="https://127.0.0.1:2")

    def _wake(self) -> None:
        facts, town = Facts(self.database), self.town
        wire: object = Wire(town, self.node.did)
        self.member = Membership(self.me(), self.node, facts, wire, town.clock, town.random)  # type: ignore[arg-type]

    async def restart(self) -> None:
        self.database.close()
        self.database = Database.open(self.town.folder / f"{self.name}.db")
        self._wake()
        await self.member.load()

    async def sign(self) -> None:
        await self.member.sign(self.root.sign(epoch_message(self.member.founding.epoch())))


def _keys(name: str) -> tuple[PrivateKey, object]:
    made = Identity.new(name)
    return made.key, made.encryption


@pytest.fixture
def play(tmp_path):
    def run(story: Callable[[Town], Awaitable[None]]) -> None:
        async def main() -> None:
            town = Town(tmp_path)
            try:
                await story(town)
            finally:
                for site in town.sites.values():
                    site.database.close()

        trio.run(main)

    return run


async def begun(town: Town, founders: int = 2) -> tuple[Site, list[Site]]:
    anna = town.site("Anna")
    await anna.member.begin("Demo", founders)
    return anna, [town.site(name) for name in ("Bruno", "Clara")[: founders - 1]]


async def invitation(anna: Site) -> bytes:
    return encode(await anna.member.invite())


def test_a_founding_from_its_beginning_to_its_end_with_a_restart_after_every_step(play):
    """Lost: a consortium that a restart at the wrong moment makes impossible."""

    async def story(town: Town) -> None:
        anna, others = await begun(town, 3)
        for site in others:
            invite = await invitation(anna)
            await anna.restart()
            await site.member.join(invite)
            await site.restart()
            await anna.restart()
            await site.member.refresh()
        for site in (*others, anna):
            await site.member.refresh()
            assert site.member.consortium is None
            await site.sign()
            await site.restart()
            await anna.restart()
        for site in others:
            await site.member.refresh()
            await site.restart()
        found = {site.member.consortium for site in (anna, *others)}
        assert len(found) == 1
        assert None not in found
        for site in (anna, *others):
            assert site.member.names == {each.root.did: each.name for each in (anna, *others)}
            assert site.member.site_of(others[0].node.did) == others[0].root.did
            assert site.member.site_of(site.root.did) is None

    play(story)


def test_a_crash_while_joining_leaves_a_site_that_was_invited_and_not_one_that_invites(play, monkeypatch):
    """Lost: a site that takes itself for the gathering one, and can neither go on nor begin again."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        real = Facts.set

        async def dies(self: Facts, fact: Fact, value: object) -> None:
            if fact is Fact.FOUNDING and self._database is bruno.database:
                raise ComityError("the power went")
            await real(self, fact, value)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Facts, "set", dies)
            with pytest.raises(ComityError, match="power"):
                await bruno.member.join(invite)
        await bruno.restart()
        await bruno.member.refresh()
        assert bruno.member.founding.complete
        with pytest.raises(Conflict):
            await bruno.member.invite()
        await bruno.sign()
        await anna.sign()
        assert anna.member.consortium is not None

    play(story)


def test_what_the_gathering_site_could_not_keep_it_does_not_say(play, monkeypatch):
    """Lost: a signature that the others were told of, and that its keeper forgot at the next start."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        await bruno.member.join(await invitation(anna))
        await anna.sign()

        async def full(self: Facts, fact: Fact, value: object) -> None:
            raise ComityError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Facts, "set", full)
            with pytest.raises(ComityError, match="full"):
                await bruno.sign()
        assert anna.member.consortium is None
        assert bruno.member.consortium is None
        await bruno.sign()
        await anna.restart()
        assert anna.member.consortium == bruno.member.consortium is not None

    play(story)


def test_founders_at_the_door_at_once_all_get_in(play):
    """Lost: of two that come together, the second undoes the first."""

    async def story(town: Town) -> None:
        anna, others = await begun(town, 3)
        async with trio.open_nursery() as nursery:
            for site in others:
                nursery.start_soon(site.member.join, await invitation(anna))
        await anna.restart()
        assert anna.member.founding.complete

    play(story)


def test_an_answer_that_was_lost_is_asked_for_again(play):
    """Lost: an invitation that a broken connection used up."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)

        def lost(_reply: bytes) -> bytes:
            raise Unreachable("it broke off")

        town.lie = lost
        with pytest.raises(Unreachable):
            await bruno.member.join(invite)
        town.lie = lambda reply: reply
        await bruno.restart()
        town.clock.time += 30 * DAY
        with pytest.raises(Denied, match="expired"):
            await bruno.member.join(invite)
        town.clock.time -= 30 * DAY
        await bruno.member.join(invite)
        assert bruno.member.founding.complete

    play(story)


@pytest.mark.parametrize("place", [0, 5, 60, -80, -3])
def test_an_altered_invitation_is_refused_before_anybody_is_asked(play, place):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        data = bytearray(await invitation(anna))
        data[place] ^= 1
        town.away = True
        with pytest.raises(VerificationFailed, match="altered"):
            await bruno.member.join(bytes(data))
        for garbage in (b"", b"x" * 5000, bytes(data[:40])):
            with pytest.raises(VerificationFailed):
                await bruno.member.join(garbage)

    play(story)


def test_an_invitation_admits_one_site_once_and_for_a_week(play):
    async def story(town: Town) -> None:
        anna, (bruno, clara) = await begun(town, 3)
        first, second = await invitation(anna), await invitation(anna)
        await bruno.member.join(first)
        with pytest.raises(Denied, match="another site"):
            await clara.member.join(first)
        town.clock.time += 8 * DAY
        with pytest.raises(Denied, match="expired"):
            await clara.member.join(second)
        # A clock that is behind does not help: the inviting site looks at its own.
        behind = structs.replace(decode(Invite, second, 4096), not_after=town.clock.time + DAY)
        with pytest.raises(Denied, match="expired"):
            await clara.member.join(encode(signed(structs.replace(behind, sig=UNSIGNED), anna.node.key)))
        await bruno.member.refresh()  # who was let in comes again, however late
        assert len(anna.member.founding.founders) == 2

    play(story)


def test_an_invitation_that_was_not_given_admits_nobody(play):
    """Lost: whoever knows where a node is founds along."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        real = await anna.member.invite()
        guessed = signed(structs.replace(real, secret=bytes(32)), anna.node.key)
        for forged in (guessed, signed(structs.replace(real, node=bruno.node.did), bruno.node.key)):
            with pytest.raises(ComityError):
                await bruno.member.join(encode(forged))
            with pytest.raises(NotFound):
                _ = bruno.member.founding
        other = town.site("Dora")
        with pytest.raises(Denied, match="not given here"):
            await bruno.member.join(
                encode(signed(structs.replace(real, node=other.node.did, site="Dora"), other.node.key))
            )

    play(story)


def test_a_founder_at_the_door_is_who_signed_the_request(play):
    """Lost: whoever saw a founder's enrolment joins in its name."""

    async def story(town: Town) -> None:
        anna, (bruno, clara) = await begun(town, 3)
        secret = (await anna.member.invite()).secret
        knock = encode(Knock(secret=secret, founder=bruno.me(), signature=None))
        with pytest.raises(VerificationFailed, match="another than who signed"):
            read_reply(Founding, await anna.member.answer_knock(clara.node.did, knock))
        forged = structs.replace(clara.me(), member=bruno.me().member)
        with pytest.raises(VerificationFailed):
            read_reply(
                Founding,
                await anna.member.answer_knock(
                    clara.node.did, encode(Knock(secret=secret, founder=forged, signature=None))
                ),
            )
        for garbage in (b"", b"\xff", knock[:-1], knock + b"\0"):
            with pytest.raises(VerificationFailed):
                read_reply(Founding, await anna.member.answer_knock(clara.node.did, garbage))
        assert len(anna.member.founding.founders) == 1

    play(story)


def test_a_name_is_taken_once_and_the_invitation_is_good_for_another_name(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        bruno.name = "Anna"
        bruno._wake()
        with pytest.raises(Conflict, match="another name"):
            await bruno.member.join(invite)
        bruno.name = "Bruno"
        bruno._wake()
        await bruno.member.join(invite)
        assert bruno.member.founding.complete

    play(story)


def test_a_site_that_moved_before_the_founding_was_complete_goes_on(play):
    """Lost: the operator changes a port and the founding never ends."""

    async def story(town: Town) -> None:
        anna, (bruno, _clara) = await begun(town, 3)
        await bruno.member.join(await invitation(anna))
        bruno.control = "/ip4/127.0.0.1/tcp/9"
        await bruno.restart()
        await bruno.member.refresh()
        assert bruno.me() in anna.member.founding.founders
        assert len(anna.member.founding.founders) == 2

    play(story)


def test_a_signature_of_another_document_is_refused_on_both_sides(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        with pytest.raises(Conflict, match="not every founder"):
            await anna.member.sign(bytes(64))
        await bruno.member.join(await invitation(anna))
        message = epoch_message(bruno.member.founding.epoch())
        foreign = epoch_message(structs.replace(bruno.member.founding, consortium="Other").epoch())
        for site in (anna, bruno):
            other = bruno if site is anna else anna
            for wrong in (site.root.sign(foreign), other.root.sign(message), bytes(64)):
                with pytest.raises(VerificationFailed):
                    await site.member.sign(wrong)
        assert anna.member.founding.signatures == {}

    play(story)


@pytest.mark.parametrize("what", ["other name", "without me", "one node for two", "forged signature", "garbage"])
def test_the_gathering_site_cannot_lie_to_who_joins(play, what):
    """Lost: the site that gathers decides alone who is who. Nothing of a lie is kept."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        clara = town.site("Clara")

        def lie(reply: bytes) -> bytes:
            true = read_reply(Founding, reply)
            if what == "garbage":
                return b"\xff"
            if what == "other name":
                return reply_bytes(structs.replace(true, consortium="Other"))
            if what == "without me":
                return reply_bytes(structs.replace(true, founders=(anna.me(), clara.me())))
            if what == "one node for two":
                clara.node = bruno.node
                return reply_bytes(structs.replace(true, expected=3, founders=(clara.me(), *true.founders)))
            signatures = {root: bytes(64) for root in (anna.root.did, bruno.root.did)}
            return reply_bytes(structs.replace(true, signatures=signatures))

        town.lie = lie
        with pytest.raises(VerificationFailed):
            await bruno.member.join(invite)
        assert bruno.member.consortium is None
        town.lie = lambda reply: reply
        await bruno.restart()
        with pytest.raises(NotFound):
            _ = bruno.member.founding
        await bruno.member.join(invite)
        assert bruno.member.founding.complete

    play(story)


def test_a_founding_that_is_complete_does_not_change(play):
    """Lost: the gathering site exchanges a member after all have signed."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        await bruno.member.join(await invitation(anna))
        await bruno.sign()
        await anna.sign()
        await bruno.member.refresh()
        consortium = bruno.member.consortium
        assert consortium is not None
        clara = town.site("Clara")
        other = structs.replace(anna.member.founding, founders=(bruno.me(), clara.me()), signatures={})
        message = epoch_message(other.epoch())
        other = structs.replace(other, signatures={s.root.did: s.root.sign(message) for s in (bruno, clara)})
        town.lie = lambda _reply: reply_bytes(other)
        with pytest.raises(VerificationFailed, match="changed after it was complete"):
            await bruno.sign()
        assert bruno.member.consortium == consortium
        await bruno.restart()
        assert bruno.member.consortium == consortium
        town.lie = lambda _reply: _reply
        with pytest.raises(Conflict, match="until every founder"):
            await anna.member.invite()

    play(story)


def test_a_site_is_in_one_consortium(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        with pytest.raises(Conflict):
            await anna.member.begin("Other", 2)
        with pytest.raises(Conflict):
            await anna.member.join(invite)
        await bruno.member.join(invite)
        with pytest.raises(Conflict):
            await bruno.member.begin("Other", 2)
        dora = town.site("Dora")
        await dora.member.begin("Other", 2)
        with pytest.raises(Conflict, match="another invitation"):
            await bruno.member.join(await invitation(dora))

    play(story)


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "\u202e"])
def test_a_name_that_could_not_be_read_again_begins_nothing(play, name):
    """Lost: a site whose state cannot be read at its next start."""

    async def story(town: Town) -> None:
        anna = town.site("Anna")
        with pytest.raises(BadInput):
            await anna.member.begin(name, 2)
        for founders in (0, 1, 257):
            with pytest.raises(BadInput):
                await anna.member.begin("Demo", founders)
        await anna.restart()
        await anna.member.begin("Demo", 2)
        await anna.restart()
        assert anna.member.founding.consortium == "Demo"

    play(story)
