"""Nodes that only dial out: reached over lines that they opened, by the member there and, through it, by others."""

from __future__ import annotations

import errno
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from trio.abc import Stream

from catalog.error import NotFound, Unreachable, VerificationFailed
from catalog.httpsig import sign_request
from catalog.key import PrivateKey
from node.network import line, relay, splice
from node.network.blob import Blob, BulkRequest, Upgrade, blob_of
from node.network.bulk_connection import REFUSAL
from node.network.line import LINE_PATH, LINE_PROTOCOL, MOST_OF_SITE, Lines
from node.network.relay import RELAY_PATH, RELAY_PROTOCOL, Relay
from node.network.tls import client_context, server_context
from tests.node.network.station import Clock, Consortium, Entropy, Station, run, started, until


class Seen(Stream):
    """A stream that keeps all that passes, as its owner sees it; ``change`` alters what comes in."""

    def __init__(self, stream: Stream, change: Callable[[bytes], bytes] = bytes) -> None:
        self._stream = stream
        self._change = change
        self.passed = bytearray()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = self._change(bytes(await self._stream.receive_some(max_bytes)))
        self.passed += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self.passed += data
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


def relayed(member: Station, how: Callable[[Callable[[Stream], Awaitable[None]], Stream], Awaitable[None]]) -> None:
    """Have ``member`` treat each connection that it relays in its own way; the honest one is handed to it."""

    async def answer(request: BulkRequest) -> Blob | Upgrade | None:
        answered = await member.answers(request)
        if not isinstance(answered, Upgrade) or answered.protocol != RELAY_PROTOCOL:
            return answered
        honest = answered.run
        return Upgrade(RELAY_PROTOCOL, lambda stream: how(honest, stream))

    member.answer = answer


def test_a_member_fetches_from_and_asks_a_node_that_only_dials_out() -> None:
    """A hospital that opens no port could hold data, and nobody would get or ask anything."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = await started(nursery, consortium, True, False)
        assert hospital.base == ""
        assert await member.get(hospital) == hospital.did.encode()
        assert hospital.asked[-1].asker == member.did
        assert await hospital.get(member) == member.did.encode()
        assert await member.ask(hospital, b"over the line") == b"over the line"
        assert hospital.network.connected() == {member.did}

    run(test)


def test_two_that_only_dial_out_meet_through_a_member_that_sees_no_plaintext() -> None:
    """Two hospitals behind firewalls could exchange nothing, or the member between them would read what they do."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one, other = await started(nursery, consortium, True, False, False)
        seen: list[Seen] = []

        async def tap(honest: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
            seen.append(Seen(stream))
            await honest(seen[-1])

        relayed(member, tap)
        other.blobs["/data"] = blob_of(b"a patient's name" * 10_000)
        assert await one.get(other) == b"a patient's name" * 10_000
        assert other.asked[-1].asker == one.did
        assert await one.ask(other, b"a question in confidence") == b"a question in confidence"
        passed = b"".join(each.passed for each in seen)
        assert member.relay.carried > 160_000
        assert len(passed) > 160_000
        for word in (b"a patient's name", b"HTTP/1.1", b"GET ", b"/data", b"Signature", b"in confidence"):
            assert word not in passed

    run(test)


def test_a_hundred_requests_at_once_over_few_lines_are_all_answered() -> None:
    """Lines are few; whoever finds none free would fail instead of waiting for the next one."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        _member, one, other, third = await started(nursery, consortium, True, False, False, False)
        answers: list[bytes] = []

        async def get(asker: Station) -> None:
            answers.append(await asker.get(other))

        async with trio.open_nursery() as asking:
            for _ in range(50):
                asking.start_soon(get, one)
                asking.start_soon(get, third)
        assert answers == [other.did.encode()] * 100

    run(test)


def lies() -> dict[str, Callable[[Callable[[Stream], Awaitable[None]], Stream], Awaitable[None]]]:
    """What a member that relays may do to a connection."""

    async def cut(_honest: Callable[[Stream], Awaitable[None]], _stream: Stream) -> None:
        """End it at once."""

    async def alter(honest: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
        await honest(Seen(stream, lambda data: data[:-1] + bytes([data[-1] ^ 1]) if data else data))

    async def stand_in(_honest: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
        """Answer as if it were the node asked for."""
        tls = trio.SSLStream(stream, server_context(PrivateKey(bytes(32))), server_side=True)
        try:
            await tls.do_handshake()
            await tls.receive_some(1)
        except (trio.BrokenResourceError, ssl.SSLError):
            pass

    async def garbage(_honest: Callable[[Stream], Awaitable[None]], stream: Stream) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nall is well")

    return {"cut": cut, "alter": alter, "stand in": stand_in, "garbage": garbage}


@pytest.mark.parametrize("lie", lies())
def test_a_relay_that_lies_is_found_out_and_another_one_taken(lie: str) -> None:
    """A member between two hospitals could alter what they exchange, answer in one's name, or keep them apart."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        liar, honest, one, other = await started(nursery, consortium, True, True, False, False)
        relayed(liar, lies()[lie])
        for _ in range(4):  # whichever member is asked first
            assert await one.get(other) == other.did.encode()
            one.client = one.fresh_client()
        assert any(request.path == RELAY_PATH + other.did for request in liar.asked)
        assert any(request.path == RELAY_PATH + other.did for request in honest.asked)
        assert {request.asker for request in other.asked} == {one.did}

    run(test)


@pytest.mark.parametrize("lie", lies())
def test_where_every_relay_lies_nothing_comes_and_nothing_wrong(lie: str) -> None:
    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        liar, one, other = await started(nursery, consortium, True, False, False)
        relayed(liar, lies()[lie])
        with pytest.raises((Unreachable, VerificationFailed)):
            await one.get(other)
        with pytest.raises(Unreachable):
            await one.ask(other, b"?", 5)
        assert other.asked == []

    run(test)


def test_a_relay_is_for_members_alone_and_joins_to_members_alone() -> None:
    """A stranger could have a hospital's node carry its traffic, or reach hospitals through it."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = await started(nursery, consortium, True, False)
        stranger, other = Station(consortium, inbound=False), Station(consortium, inbound=False)
        consortium.members.add(other.did)
        where = consortium.reachable[member.did]
        asked = [
            (stranger, LINE_PATH, LINE_PROTOCOL, "a stranger's line"),
            (stranger, RELAY_PATH + hospital.did, RELAY_PROTOCOL, "a stranger who asks for a member"),
            (other, RELAY_PATH + stranger.did, RELAY_PROTOCOL, "a member who asks for a stranger"),
            (other, RELAY_PATH + member.did, RELAY_PROTOCOL, "for the relay itself"),
            (other, RELAY_PATH + other.did, RELAY_PROTOCOL, "for the asker itself"),
            (other, RELAY_PATH + "127.0.0.1:22", RELAY_PROTOCOL, "for any machine"),
            (other, LINE_PATH + "/" + hospital.did, LINE_PROTOCOL, "another's line"),
            (other, LINE_PATH + "?node=" + hospital.did, LINE_PROTOCOL, "another's line, by query"),
        ]
        for asker, target, protocol, what in asked:
            with pytest.raises(NotFound):
                pytest.fail(f"{what}: {await asker.upgrades.open(member.did, where, target, protocol)}")
        assert member.lines.counts.keys() == {hospital.did}
        assert member.relay.carried == 0

    run(test)


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 0",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0",
        "Connection: upgrade\r\nUpgrade: comity-relay\r\nContent-Length: 0",
        "Connection: upgrade\r\nUpgrade: comity-line\r\nUpgrade: h2c\r\nContent-Length: 0",
        "Connection: close\r\nContent-Length: 0",
    ],
)
def test_a_request_that_asks_for_no_line_in_so_many_words_gets_what_strangers_get(headers: str) -> None:
    """A node and something between it and the asker could differ about where a request ends."""
    assert refused(headers, b"").startswith(REFUSAL)


def test_what_comes_before_the_answer_to_an_upgrade_is_no_line() -> None:
    headers = "Connection: upgrade\r\nUpgrade: comity-line\r\nContent-Length: 0"
    assert refused(headers, b"\x00").startswith(REFUSAL)


def refused(headers: str, behind: bytes) -> bytes:
    """What a member hears to ``POST /line`` with these headers and something behind them."""
    heard = bytearray()

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, other = Station(consortium, inbound=True), Station(consortium, inbound=False)
        await member.start(nursery)
        consortium.members.add(other.did)
        stream = await trio.open_tcp_stream(*consortium.reachable[member.did])
        async with trio.SSLStream(stream, client_context(), https_compatible=True) as tls:
            signature = sign_request(
                other.key, "POST", LINE_PATH, peer=member.did, now=Clock().now(), nonce=Entropy().token(16)
            )
            lines = [
                "POST /line HTTP/1.1",
                "Host: x",
                headers,
                *(f"{name}: {value}" for name, value in signature.items()),
            ]
            await tls.send_all("\r\n".join(lines).encode() + b"\r\n\r\n" + behind)
            while len(heard) < len(REFUSAL) and (data := await tls.receive_some()):
                heard.extend(data)
        assert not member.lines.counts

    run(test)
    return bytes(heard)


def test_without_sockets_left_a_dial_fails_and_the_node_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes a node open many connections could end it."""

    def none() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one, other = await started(nursery, consortium, True, False, False)
        with monkeypatch.context() as full:
            full.setattr(trio.socket, "socketpair", none)
            for asker in (member, one):
                with pytest.raises(Unreachable, match=r"no socket left|broke off"):
                    await asker.get(other)
        assert await one.get(other) == other.did.encode()

    run(test)


def test_a_line_counts_for_the_key_that_signed_for_it() -> None:
    """A member could place itself where another is looked for; it would at least keep others from it."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = await started(nursery, consortium, True, False)
        rogue = Station(consortium, inbound=False)
        consortium.members.add(rogue.did)
        where = consortium.reachable[member.did]
        async with await rogue.upgrades.open(member.did, where, LINE_PATH, LINE_PROTOCOL):
            await until(lambda: rogue.did in member.lines.counts)
            assert await member.get(hospital) == hospital.did.encode()

    run(test)


def test_lines_and_relayed_connections_of_one_member_are_bounded_and_others_have_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One member could use up what the relay has for all."""
    monkeypatch.setattr(relay, "MOST_OF_ASKER", 2)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one, other = await started(nursery, consortium, True, False, False)
        flood = Station(consortium, inbound=False)
        consortium.members.add(flood.did)
        where = consortium.reachable[member.did]
        for _ in range(MOST_OF_SITE):
            nursery.start_soon(_hold, await flood.upgrades.open(member.did, where, LINE_PATH, LINE_PROTOCOL))
        await until(lambda: member.lines.counts[flood.did] == MOST_OF_SITE)
        with pytest.raises(NotFound):
            await flood.upgrades.open(member.did, where, LINE_PATH, LINE_PROTOCOL)
        for _ in range(2):
            target = RELAY_PATH + other.did
            nursery.start_soon(_hold, await flood.upgrades.open(member.did, where, target, RELAY_PROTOCOL))
        await until(lambda: member.relay._askers[flood.did] == 2)
        with pytest.raises(NotFound):
            await flood.upgrades.open(member.did, where, RELAY_PATH + other.did, RELAY_PROTOCOL)
        assert await one.get(other) == other.did.encode()

    run(test)


def test_several_who_hold_lines_of_one_site_leave_some_to_others() -> None:
    """Two members together could hold all the lines of a hospital, and nobody else would reach it by that relay."""

    class Held(Lines):
        def expects(self, node: str) -> bool:
            return True

        @asynccontextmanager
        async def taken(self, node: str) -> AsyncIterator[Stream]:
            ours, theirs = trio.testing.memory_stream_pair()
            async with ours:
                yield theirs

    async def test(nursery: trio.Nursery, _consortium: Consortium) -> None:
        members = Relay("relay", Held(bool), bool)

        def wants(asker: str) -> BulkRequest:
            return BulkRequest(asker, "POST", f"{RELAY_PATH}hospital", "", None, b"")

        for asker, most in (("one", 8), ("another", 4), ("third", 2), ("fourth", 1), ("fifth", 1), ("sixth", 1)):
            for _ in range(most):
                stream, end = trio.testing.memory_stream_pair()
                nursery.start_soon(_hold, end)
                nursery.start_soon(members.answer(wants(asker)).run, stream)
                await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(NotFound):
                members.answer(wants(asker))
        assert members._askers.total() == MOST_OF_SITE + 1, "who has none waits for one"

    run(test)


async def _hold(stream: Stream) -> None:
    async with stream:
        await trio.sleep_forever()


def test_a_line_whose_other_end_is_silent_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a hospital's network broke, everybody would be joined to lines that lead nowhere."""
    monkeypatch.setattr(line, "BEGIN_SECONDS", 0.2)
    monkeypatch.setattr("node.network.outbound.begun", _silent_once())

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, hospital = await started(nursery, consortium, True, False)
        assert await member.get(hospital) == hospital.did.encode()

    run(test)


def _silent_once() -> Callable[[Stream], Awaitable[bool]]:
    """``begun`` as it is, but that the first line answers a beat and then nothing."""
    lines: list[Stream] = []

    async def begun(stream: Stream) -> bool:
        lines.append(stream)
        if len(lines) == 1:
            await stream.send_all(await stream.receive_some(1))
            await trio.sleep_forever()
        return await line.begun(stream)

    return begun


def test_a_line_that_beats_no_more_is_given_up_by_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead lines would be counted as waiting, at the hospital and at the member."""
    monkeypatch.setattr(line, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(line, "ECHO_SECONDS", 0.1)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member = Station(consortium, inbound=True)
        await member.start(nursery)
        mute = Station(consortium, inbound=False)
        consortium.members.add(mute.did)
        where = consortium.reachable[member.did]
        async with await mute.upgrades.open(member.did, where, LINE_PATH, LINE_PROTOCOL) as stream:
            await stream.send_all(await stream.receive_some(1))  # one beat, and then none
            await until(lambda: not member.lines.counts)
        near, far = trio.testing.memory_stream_pair()
        monkeypatch.setattr(line, "LOST_SECONDS", 0.05)
        assert not await line.begun(near)
        await far.aclose()

    run(test)


def test_who_is_no_member_any_more_is_cut_off_while_bytes_pass() -> None:
    """A member that was removed would keep being served by connections that it had."""

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one, other = await started(nursery, consortium, True, False, False)
        where = consortium.reachable[member.did]
        stream = await one.upgrades.open(member.did, where, RELAY_PATH + other.did, RELAY_PROTOCOL)
        consortium.members.remove(one.did)
        await stream.send_all(b"\x16 a handshake")
        assert await stream.receive_some(1) == b""
        await trio.aclose_forcefully(stream)
        await until(lambda: one.did not in member.lines.counts or not member.relay._askers)

    run(test)


def test_what_is_joined_and_silent_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that nobody uses would fill the relay's bounds for ever."""
    monkeypatch.setattr(splice, "IDLE_SECONDS", 0.05)

    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one, other = await started(nursery, consortium, True, False, False)
        where = consortium.reachable[member.did]
        stream = await one.upgrades.open(member.did, where, RELAY_PATH + other.did, RELAY_PROTOCOL)
        assert await stream.receive_some(1) == b""
        await trio.aclose_forcefully(stream)
        await until(lambda: not member.relay._askers)

    run(test)


def test_a_node_without_lines_is_unreachable_and_the_message_says_so() -> None:
    async def test(nursery: trio.Nursery, consortium: Consortium) -> None:
        member, one = await started(nursery, consortium, True, False)
        away = Station(consortium, inbound=False)
        consortium.members.add(away.did)
        for asker in (member, one):
            with pytest.raises(Unreachable, match="only dials out"):
                await asker.get(away)
            with pytest.raises(Unreachable, match="only dials out"):
                await asker.ask(away, b"?")

    run(test)
