"""Founding a consortium between sites: invitations used once, refusals that say why, and restarts at any moment."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from msgspec import structs

from catalog.body import read_body, write_body
from catalog.dagcbor import decode, encode
from catalog.epoch import next_epoch, sign_epoch
from catalog.error import BadInput, ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed
from catalog.index import Index
from catalog.key import UNSIGNED, PrivateKey, signed
from catalog.member import Epoch, KeyFields, Member, Role, epoch_message
from node.admission import Announcement, Standing
from node.founding import Founder, Founding, Invite, Knock
from node.keyfile import Identity
from node.message import Done, read_reply, reply_bytes
from node.site.entrance import Entrance
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
        reply = self._town.lie(await self._town.sites[node].entrance.answer_knock(self._asker, body))
        assert len(reply) <= limit
        return reply


class Site:
    """A site of the test; ``restart`` forgets all but its database."""

    def __init__(self, town: Town, name: str) -> None:
        self.town, self.name = town, name
        self.root, self.node = PrivateKey(name.encode().ljust(32)), Identity(name, *_keys(name))
        self.control, self.bulk = "/ip4/127.0.0.1/tcp/1", "https://127.0.0.1:2"
        self.database = Database.open(town.folder / f"{name}.db")
        town.sites[self.node.did] = self
        self._wake()

    def me(self) -> Founder:
        fields = KeyFields(did=self.node.did, role=Role.NODE, name=self.name, x25519=bytes(32))
        body = write_body("key", fields, site=self.root.did, at=1, by=self.root)
        member = Member(site=self.name, root=self.root.did)
        return Founder(member=member, enrolment=encode(body), control=self.control, bulk=self.bulk)

    def _wake(self) -> None:
        facts, town = Facts(self.database), self.town
        wire: object = Wire(town, self.node.did)
        self.index = Index([self.root.did])
        me = Announcement(founder=self.me())
        self.member = Membership(me, facts, wire, self.index)  # type: ignore[arg-type]
        means = (self.member, self.node, facts, wire, town.clock, town.random, self.index)
        self.entrance = Entrance(*means)  # type: ignore[arg-type]

    async def restart(self) -> None:
        self.database.close()
        self.database = Database.open(self.town.folder / f"{self.name}.db")
        self._wake()
        await self.member.load()
        await self.entrance.load()

    async def sign(self) -> None:
        await self.entrance.sign(self.root.sign(epoch_message(self.entrance.founding.epoch())))


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
    await anna.entrance.begin("Demo", founders)
    return anna, [town.site(name) for name in ("Bruno", "Clara")[: founders - 1]]


async def invitation(anna: Site) -> bytes:
    return encode(await anna.entrance.invite())


def test_a_founding_from_its_beginning_to_its_end_with_a_restart_after_every_step(play):
    """Lost: a consortium that a restart at the wrong moment makes impossible."""

    async def story(town: Town) -> None:
        anna, others = await begun(town, 3)
        for site in others:
            invite = await invitation(anna)
            await anna.restart()
            await site.entrance.join(invite)
            await site.restart()
            await anna.restart()
            await site.entrance.refresh()
        for site in (*others, anna):
            await site.entrance.refresh()
            assert site.member.consortium is None
            await site.sign()
            await site.restart()
            await anna.restart()
        for site in others:
            await site.entrance.refresh()
            await site.restart()
        found = {site.member.consortium for site in (anna, *others)}
        assert len(found) == 1
        assert None not in found
        for site in (anna, *others):
            assert site.member.names == {each.root.did: each.name for each in (anna, *others)}
            assert site.member.site_of(others[0].node.did) == others[0].root.did
            assert site.member.site_of(site.root.did) is None

    play(story)


def test_a_site_that_only_dials_out_joins_and_neither_begins_nor_invites(play):
    """Lost: invitations that lead nowhere, or a hospital behind a firewall that cannot be a founder."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        bruno.control = bruno.bulk = ""
        await bruno.restart()
        await bruno.entrance.join(await invitation(anna))
        await bruno.sign()
        await anna.sign()
        assert anna.member.founders[bruno.root.did].bulk == ""
        await bruno.entrance.refresh()
        for refused in (bruno.entrance.invite(), bruno.entrance.begin("Another", 2)):
            with pytest.raises(Conflict, match="only dials out"):
                await refused

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
                await bruno.entrance.join(invite)
        await bruno.restart()
        await bruno.entrance.refresh()
        assert bruno.entrance.founding.complete
        with pytest.raises(Conflict):
            await bruno.entrance.invite()
        await bruno.sign()
        await anna.sign()
        assert anna.member.consortium is not None

    play(story)


def test_what_the_gathering_site_could_not_keep_it_does_not_say(play, monkeypatch):
    """Lost: a signature that the others were told of, and that its keeper forgot at the next start."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        await bruno.entrance.join(await invitation(anna))
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
                nursery.start_soon(site.entrance.join, await invitation(anna))
        await anna.restart()
        assert anna.entrance.founding.complete

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
            await bruno.entrance.join(invite)
        town.lie = lambda reply: reply
        await bruno.restart()
        town.clock.time += 30 * DAY
        with pytest.raises(Denied, match="expired"):
            await bruno.entrance.join(invite)
        town.clock.time -= 30 * DAY
        await bruno.entrance.join(invite)
        assert bruno.entrance.founding.complete

    play(story)


@pytest.mark.parametrize("place", [0, 5, 60, -80, -3])
def test_an_altered_invitation_is_refused_before_anybody_is_asked(play, place):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        data = bytearray(await invitation(anna))
        data[place] ^= 1
        town.away = True
        with pytest.raises(VerificationFailed, match="altered"):
            await bruno.entrance.join(bytes(data))
        for garbage in (b"", b"x" * 5000, bytes(data[:40])):
            with pytest.raises(VerificationFailed):
                await bruno.entrance.join(garbage)

    play(story)


def test_an_invitation_admits_one_site_once_and_for_a_week(play):
    async def story(town: Town) -> None:
        anna, (bruno, clara) = await begun(town, 3)
        first, second = await invitation(anna), await invitation(anna)
        await bruno.entrance.join(first)
        with pytest.raises(Denied, match="another site"):
            await clara.entrance.join(first)
        town.clock.time += 8 * DAY
        with pytest.raises(Denied, match="expired"):
            await clara.entrance.join(second)
        # A clock that is behind does not help: the inviting site looks at its own.
        behind = structs.replace(decode(Invite, second, 4096), not_after=town.clock.time + DAY)
        with pytest.raises(Denied, match="expired"):
            await clara.entrance.join(encode(signed(structs.replace(behind, sig=UNSIGNED), anna.node.key)))
        await bruno.entrance.refresh()  # who was let in comes again, however late
        assert len(anna.entrance.founding.founders) == 2

    play(story)


def test_an_invitation_that_was_not_given_admits_nobody(play):
    """Lost: whoever knows where a node is founds along."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        real = await anna.entrance.invite()
        guessed = signed(structs.replace(real, secret=bytes(32)), anna.node.key)
        for forged in (guessed, signed(structs.replace(real, node=bruno.node.did), bruno.node.key)):
            with pytest.raises(ComityError):
                await bruno.entrance.join(encode(forged))
            with pytest.raises(NotFound):
                _ = bruno.entrance.founding
        other = town.site("Dora")
        with pytest.raises(Denied, match="not given here"):
            await bruno.entrance.join(
                encode(signed(structs.replace(real, node=other.node.did, site="Dora"), other.node.key))
            )

    play(story)


def test_a_founder_at_the_door_is_who_signed_the_request(play):
    """Lost: whoever saw a founder's enrolment joins in its name."""

    async def story(town: Town) -> None:
        anna, (bruno, clara) = await begun(town, 3)
        secret = (await anna.entrance.invite()).secret
        knock = encode(Knock(secret=secret, founder=bruno.me(), signature=None))
        with pytest.raises(VerificationFailed, match="another than who signed"):
            read_reply(Founding, await anna.entrance.answer_knock(clara.node.did, knock))
        forged = structs.replace(clara.me(), member=bruno.me().member)
        with pytest.raises(VerificationFailed):
            read_reply(
                Founding,
                await anna.entrance.answer_knock(
                    clara.node.did, encode(Knock(secret=secret, founder=forged, signature=None))
                ),
            )
        for garbage in (b"", b"\xff", knock[:-1], knock + b"\0"):
            with pytest.raises(VerificationFailed):
                read_reply(Founding, await anna.entrance.answer_knock(clara.node.did, garbage))
        assert len(anna.entrance.founding.founders) == 1

    play(story)


def test_a_name_is_taken_once_and_the_invitation_is_good_for_another_name(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        bruno.name = "Anna"
        bruno._wake()
        with pytest.raises(Conflict, match="another name"):
            await bruno.entrance.join(invite)
        bruno.name = "Bruno"
        bruno._wake()
        await bruno.entrance.join(invite)
        assert bruno.entrance.founding.complete

    play(story)


def test_a_site_that_moved_before_the_founding_was_complete_goes_on(play):
    """Lost: the operator changes a port and the founding never ends."""

    async def story(town: Town) -> None:
        anna, (bruno, _clara) = await begun(town, 3)
        await bruno.entrance.join(await invitation(anna))
        bruno.control = "/ip4/127.0.0.1/tcp/9"
        await bruno.restart()
        await bruno.entrance.refresh()
        assert bruno.me() in anna.entrance.founding.founders
        assert len(anna.entrance.founding.founders) == 2

    play(story)


def test_a_signature_of_another_document_is_refused_on_both_sides(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        with pytest.raises(Conflict, match="not every founder"):
            await anna.entrance.sign(bytes(64))
        await bruno.entrance.join(await invitation(anna))
        message = epoch_message(bruno.entrance.founding.epoch())
        foreign = epoch_message(structs.replace(bruno.entrance.founding, consortium="Other").epoch())
        for site in (anna, bruno):
            other = bruno if site is anna else anna
            for wrong in (site.root.sign(foreign), other.root.sign(message), bytes(64)):
                with pytest.raises(VerificationFailed):
                    await site.entrance.sign(wrong)
        assert anna.entrance.founding.signatures == {}

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
            await bruno.entrance.join(invite)
        assert bruno.member.consortium is None
        town.lie = lambda reply: reply
        await bruno.restart()
        with pytest.raises(NotFound):
            _ = bruno.entrance.founding
        await bruno.entrance.join(invite)
        assert bruno.entrance.founding.complete

    play(story)


def test_a_founding_that_is_complete_does_not_change(play):
    """Lost: the gathering site exchanges a member after all have signed."""

    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        await bruno.entrance.join(await invitation(anna))
        await bruno.sign()
        await anna.sign()
        await bruno.entrance.refresh()
        consortium = bruno.member.consortium
        assert consortium is not None
        clara = town.site("Clara")
        other = structs.replace(anna.entrance.founding, founders=(bruno.me(), clara.me()), signatures={})
        message = epoch_message(other.epoch())
        other = structs.replace(other, signatures={s.root.did: s.root.sign(message) for s in (bruno, clara)})
        town.lie = lambda _reply: reply_bytes(other)
        with pytest.raises(VerificationFailed, match="changed after it was complete"):
            await bruno.sign()
        assert bruno.member.consortium == consortium
        await bruno.restart()
        assert bruno.member.consortium == consortium
        town.lie = lambda _reply: _reply
        assert (await anna.entrance.invite()).founded == consortium

    play(story)


def test_a_site_is_in_one_consortium(play):
    async def story(town: Town) -> None:
        anna, (bruno,) = await begun(town)
        invite = await invitation(anna)
        with pytest.raises(Conflict):
            await anna.entrance.begin("Other", 2)
        with pytest.raises(Conflict):
            await anna.entrance.join(invite)
        await bruno.entrance.join(invite)
        with pytest.raises(Conflict):
            await bruno.entrance.begin("Other", 2)
        dora = town.site("Dora")
        await dora.entrance.begin("Other", 2)
        with pytest.raises(Conflict, match="another invitation"):
            await bruno.entrance.join(await invitation(dora))

    play(story)


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "\u202e"])
def test_a_name_that_could_not_be_read_again_begins_nothing(play, name):
    """Lost: a site whose state cannot be read at its next start."""

    async def story(town: Town) -> None:
        anna = town.site("Anna")
        with pytest.raises(BadInput):
            await anna.entrance.begin(name, 2)
        for founders in (0, 1, 257):
            with pytest.raises(BadInput):
                await anna.entrance.begin("Demo", founders)
        await anna.restart()
        await anna.entrance.begin("Demo", 2)
        await anna.restart()
        assert anna.entrance.founding.consortium == "Demo"

    play(story)


# --- after the founding ----------------------------------------------------------------------------------------------


async def founded(town: Town, *names: str) -> list[Site]:
    """A founded consortium of ``names``, each of which has the others' enrolments in its index."""
    anna = town.site(names[0])
    await anna.entrance.begin("Demo", len(names))
    others = [town.site(name) for name in names[1:]]
    for site in others:
        await site.entrance.join(await invitation(anna))
    for site in (*others, anna):
        await site.entrance.refresh()
        await site.sign()
    for site in others:
        await site.entrance.refresh()
    sites = [anna, *others]
    for site in sites:
        for other in sites:
            site.index.site(other.root.did).add(0, "key", read_body(other.me().enrolment))
        await site.member.advance()
    return sites


def proposes(sites: list[Site], by: Site, document: Epoch) -> None:
    """``by`` signs in its log, and all replicate it."""
    body = write_body("epoch-signature", sign_epoch(document, by.root), site=by.root.did, at=1, by=by.root)
    for site in sites:
        index = site.index.site(by.root.did)
        index.add(index.size, "epoch-signature", read_body(encode(body)))


def announcement(of: Site, key: PrivateKey, *, by: PrivateKey | None = None, **more: object) -> bytes:
    fields = KeyFields(did=key.did, role=Role.NODE, name="node", x25519=bytes(32))
    body = write_body("key", fields, site=of.root.did, at=1, by=by or of.root)
    founder = structs.replace(of.me(), enrolment=encode(body), **more)
    return encode(Announcement(founder=founder))


def test_an_epoch_is_adopted_with_more_than_half_is_durable_and_puts_who_left_out_at_once(play):
    """Lost: a minority decides; or a member that was put out is let in again after a restart."""

    async def story(town: Town) -> None:
        sites = await founded(town, "Anna", "Bruno", "Clara", "Dora")
        anna, bruno, clara, dora = sites
        epoch = anna.member.epoch
        assert epoch is not None
        left = [member for member in epoch.members if member.root != dora.root.did]
        document = next_epoch(epoch, left, gone={dora.root.did: 1})
        for by in (anna, bruno):
            proposes(sites, by, document)
            assert not await anna.member.advance()
        assert anna.member.site_of(dora.node.did) == dora.root.did
        proposes(sites, clara, document)
        assert await anna.member.advance()
        assert anna.member.epoch is not None
        assert anna.member.epoch.number == 1
        assert anna.member.site_of(dora.node.did) is None
        assert anna.index.site(dora.root.did).stale == "it left the consortium in epoch 1"
        assert await dora.member.advance()
        assert dora.member.nodes == {}
        await anna.restart()
        assert anna.member.epoch.number == 1
        assert anna.member.site_of(dora.node.did) is None
        assert anna.member.site_of(bruno.node.did) == bruno.root.did

    play(story)


def test_who_was_put_out_learns_it_from_any_member_by_the_signatures_and_nothing_after_it(play):
    """Lost: a site that was cut off before it had read the signatures asks for ever, and calls the others unreachable.

    Or a single member makes it believe that it was put out; or who left goes on hearing what the members decide.
    """

    async def story(town: Town) -> None:
        sites = await founded(town, "Anna", "Bruno", "Clara", "Dora")
        anna, bruno, clara, dora = sites
        first = anna.member.epoch
        assert first is not None
        left = [member for member in first.members if member.root != dora.root.did]
        document = next_epoch(first, left, gone={dora.root.did: 1})
        alone = structs.replace(document, signatures={anna.root.did: anna.root.sign(epoch_message(document))})
        with pytest.raises(VerificationFailed, match="signed by 1 member;"):
            await dora.member.hear([alone])
        assert not await dora.member.hear(anna.member.told(dora.node.did, 1).epochs)
        assert dora.member.left is None
        for by in (anna, bruno, clara):
            proposes([anna], by, document)
        assert await anna.member.advance()
        second = anna.member.epoch
        assert second is not None
        for by in (anna, bruno):
            proposes([anna], by, next_epoch(second, second.members, floor="forbid(principal, action, resource);"))
        assert await anna.member.advance()
        assert anna.member.former == {dora.root.did: 1}
        assert anna.index.site(dora.root.did).stale == "it left the consortium in epoch 1"
        assert anna.member.names[dora.root.did] == "Dora"
        assert dora.root.did not in anna.member.members
        assert [each.number for each in anna.member.told(bruno.node.did, 1).epochs] == [1, 2]
        told = anna.member.told(dora.node.did, 1)
        assert ([each.number for each in told.epochs], told.members) == ([1], ())
        with pytest.raises(NotFound):
            anna.member.told(town.site("Eve").node.did, 0)
        assert await dora.member.hear(told.epochs)
        for restarted in (False, True):
            if restarted:
                await dora.restart()
            assert (dora.member.left, dora.member.nodes) == (1, {})
            assert dora.member.members == {each.root.did: each.name for each in sites}
        assert anna.member.told(dora.node.did, 2).epochs == ()

    play(story)


def test_a_suspended_member_stays_connected_and_is_relied_on_again_when_that_ends(play):
    async def story(town: Town) -> None:
        sites = await founded(town, "Anna", "Bruno", "Clara")
        anna, bruno, clara = sites
        for number, suspended in ((1, True), (2, False)):
            epoch = anna.member.epoch
            assert epoch is not None
            members = [structs.replace(m, suspended=suspended and m.root == clara.root.did) for m in epoch.members]
            for by in (anna, bruno):
                proposes(sites, by, next_epoch(epoch, members))
            assert await anna.member.advance()
            assert anna.member.epoch is not None
            assert anna.member.epoch.number == number
            assert ("suspended" in anna.index.site(clara.root.did).stale) is suspended
            assert anna.member.site_of(clara.node.did) == clara.root.did

    play(story)


def test_a_newcomer_takes_the_chain_from_its_sponsor_and_checks_it_and_is_a_member_only_by_signatures(play):
    """Lost: the sponsor decides alone who is a member, or tells a newcomer of a consortium of its own making."""

    async def story(town: Town) -> None:
        sites = await founded(town, "Anna", "Bruno", "Clara")
        anna, bruno, clara = sites
        dora = town.site("Dora")
        await dora.entrance.join(await invitation(anna), witness_only=True)
        assert dora.member.consortium is None
        assert anna.member.site_of(dora.node.did) is None
        epoch = anna.member.epoch
        assert epoch is not None
        candidate = anna.member.candidates[dora.root.did].member
        assert candidate.witness_only
        await dora.restart()
        await anna.restart()
        anna.index.site(anna.root.did).add(0, "key", read_body(anna.me().enrolment))
        document = next_epoch(epoch, (*epoch.members, candidate))
        forged = structs.replace(document, signatures={anna.root.did: anna.root.sign(epoch_message(document))})
        town.lie = lambda reply: reply_bytes(
            structs.replace(read_reply(Standing, reply), epochs=(*read_reply(Standing, reply).epochs, forged))
        )
        with pytest.raises(VerificationFailed, match="signed by 1"):
            await dora.entrance.refresh()
        town.lie = lambda reply: reply
        assert dora.member.consortium is None
        for by in (anna, bruno):
            proposes([anna], by, document) if by is anna else None
        proposes([bruno, clara], anna, document)
        proposes([bruno, clara], bruno, document)
        anna.index.site(bruno.root.did).add(0, "key", read_body(bruno.me().enrolment))
        proposes([anna], bruno, document)
        assert await anna.member.advance()
        await dora.entrance.refresh()
        assert dora.member.consortium == anna.member.consortium
        assert dora.member.witness_only
        assert anna.member.site_of(dora.node.did) == dora.root.did
        await dora.restart()
        assert dora.member.names == anna.member.names
        assert dora.member.site_of(bruno.node.did) == bruno.root.did
        # Bruno was not the sponsor: it takes the newcomer's own announcement, by its root.
        assert await bruno.member.advance()
        assert bruno.member.site_of(dora.node.did) is None
        read_reply(Done, await bruno.member.answer_key(dora.node.did, announcement(dora, dora.node.key)))
        assert bruno.member.site_of(dora.node.did) == dora.root.did

    play(story)


def test_a_node_that_lost_its_key_is_taken_at_the_door_by_its_root_s_word_and_no_old_key_comes_back(play):
    """Lost: a broken disk puts a site out; or a thief with an old key comes in by the old enrolment."""

    async def story(town: Town) -> None:
        sites = await founded(town, "Anna", "Bruno")
        anna, bruno = sites
        fresh, thief = PrivateKey(b"f" * 32), PrivateKey(b"t" * 32)
        knock = anna.member.answer_key

        async def refused(asker: str, data: bytes, why: str) -> None:
            with pytest.raises((Denied, VerificationFailed), match=why):
                read_reply(Done, await knock(asker, data))
            assert anna.member.nodes[bruno.root.did] == before

        before = bruno.node.did
        await refused(thief.did, announcement(bruno, thief, by=thief), "no root key")
        await refused(thief.did, announcement(bruno, fresh), "another than who signed")
        await refused(thief.did, announcement(bruno, thief, by=anna.root), "no root key")
        await refused(anna.node.did, announcement(bruno, anna.node.key), "another member's")
        stranger = town.site("Eve")
        await refused(stranger.node.did, announcement(stranger, stranger.node.key), "no other member")
        for garbage in (b"", b"\xff", bytes(70_000)):
            with pytest.raises(VerificationFailed):
                read_reply(Done, await knock(thief.did, garbage))
        read_reply(Done, await knock(fresh.did, announcement(bruno, fresh, bulk="https://127.0.0.1:9")))
        assert anna.member.nodes[bruno.root.did] == fresh.did
        assert anna.member.founders[bruno.root.did].bulk == "https://127.0.0.1:9"
        assert anna.member.site_of(bruno.node.did) is None
        before = fresh.did
        await refused(bruno.node.did, announcement(bruno, bruno.node.key), "does not come back")
        await anna.restart()
        assert anna.member.nodes[bruno.root.did] == fresh.did
        assert set(anna.member.directory.keys_of(bruno.root.did)) >= {fresh.did, bruno.node.did}

    play(story)


def test_a_member_whose_root_enrols_no_node_any_more_is_unreachable_and_breaks_nobody(play):
    """Lost: one member's odd entry ends the tasks of every other node."""

    async def story(town: Town) -> None:
        anna, bruno = await founded(town, "Anna", "Bruno")
        fields = KeyFields(did=bruno.node.did, role=Role.NODE, name="Bruno", x25519=bytes(32), removed=True)
        body = write_body("key", fields, site=bruno.root.did, at=1, by=bruno.root, previous=0)
        assert anna.index.site(bruno.root.did).add(1, "key", read_body(encode(body))) is not None
        await anna.member.advance()
        assert anna.member.site_of(bruno.node.did) is None
        with pytest.raises(Unreachable, match="no node key"):
            _ = anna.member.nodes[bruno.root.did]

    play(story)
