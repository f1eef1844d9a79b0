"""Control connections: who gets in, what gets answered, and what a hostile or lost peer cannot break."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import create_signed_peer_record
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.io import NoisePacketReadWriter, NoiseTransportReadWriter
from libp2p.security.secure_session import SecureSession
from libp2p.stream_muxer.mplex.mplex import Mplex
from libp2p.stream_muxer.mplex.mplex_stream import MplexStream
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from catalog.error import BadInput, Conflict, Unreachable, VerificationFailed
from catalog.key import PrivateKey, public_bytes
from node.network import control, streams, tcp
from node.network.control import MESSAGE_BYTES, PROTOCOL, ControlNetwork, ControlSettings
from node.network.gossip import Gossip
from node.network.links import LOST, Healing
from node.network.peer import did_of_peer, open_host, peer_id_of
from node.network.tcp import Tcp, TcpStream

if TYPE_CHECKING:
    from trio_typing import TaskStatus

QUICK = Healing(every=0.02, least=0.02, most=0.2)
GOSSIPSUB = TProtocol("/meshsub/1.1.0")


async def echo(asker: str, question: bytes) -> bytes:
    return question


@dataclass
class Site:
    """One node under test, with what it was asked and what it heard."""

    key: PrivateKey = field(default_factory=lambda: PrivateKey(os.urandom(32)))
    admitted: set[str] | None = None
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    answer: Callable[[str, bytes], Awaitable[bytes]] = echo
    port: int = 0
    host: str | None = "127.0.0.1"
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.did = self.key.did
        self.network = ControlNetwork(
            self.key,
            ControlSettings(self.host, self.port, QUICK),
            admits=lambda did: self.admitted is None or did in self.admitted,
            answer=self._answer,
            heard=self._hear,
            known=lambda: self.known,
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.network.addresses

    async def _answer(self, asker: str, question: bytes) -> bytes:
        self.asked.append((asker, question))
        return await self.answer(asker, question)

    async def _hear(self, teller: str, message: bytes) -> None:
        self.heard.append((teller, message))

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.network.serve)

    async def ask(self, other: Site, question: bytes = b"?", seconds: float = 20) -> bytes:
        return await self.network.ask(other.did, other.addresses, question, seconds)


def run(test: Callable[[trio.Nursery], Awaitable[None]]) -> None:
    """Run ``test`` with a nursery for the sites it starts, and stop them when it ends."""

    async def main() -> None:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await test(nursery)
                nursery.cancel_scope.cancel()

    trio.run(main)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task brings about; the enclosing deadline says when it never came."""
    while not condition():  # noqa: ASYNC110 -- what libp2p does inside sends no event
        await trio.sleep(0.005)


@asynccontextmanager
async def raw_host(key: PrivateKey, victim: Site) -> AsyncIterator[tuple[BasicHost, Swarm]]:
    """A libp2p host that its owner can make do anything, connected with ``victim``."""
    host, swarm = open_host(key, Tcp([]), lambda _: True, {PROTOCOL: _ignore})
    async with host.run([]):
        await swarm.dial_addr(Multiaddr(victim.addresses[0]), peer_id_of(victim.did))
        yield host, swarm


async def _ignore(stream: INetStream) -> None:
    await trio.sleep_forever()


async def ended(stream: INetStream) -> bool:
    """Whether the other end gives this stream up without a byte of answer."""
    try:
        return await stream.read(1) == b""
    except (StreamReset, StreamEOF):
        return True


def connection(swarm: Swarm, victim: Site) -> Mplex:
    muxed = swarm.get_connections(peer_id_of(victim.did))[0].muxed_conn
    assert isinstance(muxed, Mplex)
    return muxed


# --- who one is ---


def test_a_peer_id_and_a_did_name_the_same_key() -> None:
    """A member would be taken for another; the bytes are those of libp2p's specification of peer ids."""
    did = "did:key:z6MkpTHR8VNsBxYAAWHut2Geadd9jSwuBV8xRoAnwWsdvktH"
    assert did_of_peer(peer_id_of(did)) == did
    assert peer_id_of(did).to_bytes() == b"\x00\x24\x08\x01\x12\x20" + public_bytes(did)
    assert str(peer_id_of(did)).startswith("12D3KooW")
    with pytest.raises(BadInput):
        peer_id_of("did:web:example.org")


def test_a_peer_id_that_is_no_ed25519_key_is_nobody() -> None:
    for peer in (ID(b""), ID(b"\x12\x20" + bytes(32)), ID(b"\x00\x05hello")):
        with pytest.raises(VerificationFailed):
            did_of_peer(peer)


# --- asking and answering ---


def test_either_end_of_one_connection_asks_and_knows_who_asked() -> None:
    """A site that can only dial out would not be asked, and a decision would be taken for the wrong site."""

    async def test(nursery: trio.Nursery) -> None:
        hospital, outbound_only = Site(), Site(host=None)
        await hospital.start(nursery)
        await outbound_only.start(nursery)
        assert await outbound_only.ask(hospital, b"to you") == b"to you"
        assert outbound_only.addresses == ()
        assert await hospital.ask(outbound_only, b"and back") == b"and back"
        assert hospital.asked == [(outbound_only.did, b"to you")]
        assert outbound_only.asked == [(hospital.did, b"and back")]
        assert hospital.network.connected() == {outbound_only.did}
        assert outbound_only.network.connected() == {hospital.did}

    run(test)


def test_fifty_questions_at_once_are_all_answered() -> None:
    """Bounds against floods would refuse a busy member's honest questions, and answers would be mixed up."""

    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(), Site()
        await one.start(nursery)
        await other.start(nursery)
        answers: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            answers[number] = await one.ask(other, b"%d" % number * 1000)

        async with trio.open_nursery() as asking:
            for number in range(50):
                asking.start_soon(ask, number)
        assert answers == {number: b"%d" % number * 1000 for number in range(50)}

    run(test)


def test_a_whole_mebibyte_passes_and_one_byte_more_is_refused_before_it_is_sent() -> None:
    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(), Site()
        await one.start(nursery)
        await other.start(nursery)
        assert await one.ask(other, b"x" * MESSAGE_BYTES) == b"x" * MESSAGE_BYTES
        assert await one.ask(other, b"") == b""
        with pytest.raises(BadInput):
            await one.ask(other, b"x" * (MESSAGE_BYTES + 1))
        assert len(other.asked) == 2

    run(test)


def test_a_fault_in_answering_costs_that_answer_alone_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One bad question would take the node down, or fail without a trace."""

    async def answer(asker: str, question: bytes) -> bytes:
        if question == b"fault":
            raise KeyError("a bug of ours")
        return b"x" * (MESSAGE_BYTES + 1) if question == b"long" else b"fine"

    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(), Site(answer=answer)
        await one.start(nursery)
        await other.start(nursery)
        for question in (b"fault", b"long"):
            with pytest.raises(Unreachable, match="broke off"):
                await one.ask(other, question)
        assert await one.ask(other) == b"fine"
        assert one.network.connected() == {other.did}

    run(test)
    assert "a bug of ours" in caplog.text
    assert "at most" in caplog.text


def test_nobody_there_is_unreachable_and_says_which_address() -> None:
    async def test(nursery: trio.Nursery) -> None:
        one, absent = Site(), PrivateKey(os.urandom(32)).did
        with pytest.raises(Unreachable, match="not up"):
            await one.network.ask(absent, [], b"?", 5)
        await one.start(nursery)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            nowhere = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
            with pytest.raises(Unreachable, match=nowhere):
                await one.network.ask(absent, [nowhere], b"?", 5)
        for address in ("/ip4/127.0.0.1/udp/1/quic-v1", "/ip4/127.0.0.1/tcp/1/ws", "nonsense", "/unix/etc/passwd"):
            with pytest.raises(Unreachable, match="no connection"):
                await one.network.ask(absent, [address], b"?", 5)

    run(test)


def test_an_answer_that_never_comes_is_unreachable_in_time_and_the_connection_stays() -> None:
    """A node that hangs would hang those that ask it; a late question would cut off the others under way."""

    async def test(nursery: trio.Nursery) -> None:
        waits = trio.Event()

        async def answer(asker: str, question: bytes) -> bytes:
            if question == b"hang":
                waits.set()
                await trio.sleep_forever()
            return b"fine"

        one, other = Site(), Site(answer=answer)
        await one.start(nursery)
        await other.start(nursery)
        with pytest.raises(Unreachable, match="did not answer"):
            await one.ask(other, b"hang", seconds=0.5)
        assert waits.is_set()
        assert await one.ask(other) == b"fine"

    run(test)


def test_a_question_given_up_while_it_is_sent_leaves_the_connection_whole() -> None:
    """A write cut short would put the two ends' ciphers out of step, and end every other question under way."""

    async def test(nursery: trio.Nursery) -> None:
        one, outbound_only = Site(), Site(host=None)
        await one.start(nursery)
        await outbound_only.start(nursery)
        await outbound_only.ask(one)
        for number in range(25):
            with suppress(Unreachable):
                await one.ask(outbound_only, bytes(MESSAGE_BYTES), seconds=number / 2000)
        # there is no address to dial anew
        assert await one.ask(outbound_only) == b"?"

    run(test)


def test_an_answer_given_up_while_it_arrives_leaves_the_connection_whole() -> None:
    """In libp2p 0.8.1 a stream that is reset with data waiting for it takes the connection along."""

    async def answer(asker: str, question: bytes) -> bytes:
        return bytes(MESSAGE_BYTES)

    async def test(nursery: trio.Nursery) -> None:
        one = Site(answer=answer)
        await one.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), one) as (host, swarm):
            stream = await host.new_stream(peer_id_of(one.did), [PROTOCOL])
            assert isinstance(stream, NetStream)
            assert isinstance(stream.muxed_stream, MplexStream)
            await stream.write(b"\x00\x00\x00\x01?")
            arriving = stream.muxed_stream.incoming_data_channel
            await until(lambda: arriving.statistics().tasks_waiting_send == 1)
            await stream.reset()
            again = await host.new_stream(peer_id_of(one.did), [PROTOCOL])
            await again.write(b"\x00\x00\x00\x01?")
            assert await again.read(4) == b"\x00\x10\x00\x00"
            assert not connection(swarm, one).is_closed

    run(test)


# --- streams that are kept ---


def asking(site: Site, other: str) -> list[MplexStream]:
    """The streams that ``site`` has opened to the node ``other`` and not given up."""
    assert site.network._running is not None
    (link,) = site.network._running.host.get_network().get_connections(peer_id_of(other))
    return [stream for stream in link.muxed_conn.streams.values() if stream.is_initiator]


def test_questions_one_after_another_go_over_one_stream_and_many_at_once_leave_few() -> None:
    """Each question would cost both ends four times as much; or a busy hour would leave hundreds of streams."""

    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(), Site()
        await one.start(nursery)
        await other.start(nursery)
        await one.ask(other)
        before = asking(one, other.did)
        for number in range(20):
            assert await one.ask(other, b"%d" % number) == b"%d" % number
        assert asking(one, other.did) == before
        async with trio.open_nursery() as at_once:
            for _ in range(20):
                at_once.start_soon(one.ask, other)
        await until(lambda: len(asking(one, other.did)) <= len(before) + streams.KEPT)
        assert await one.ask(other) == b"?"

    run(test)


def test_a_stream_that_the_other_end_closed_is_not_asked_on() -> None:
    """Who wants no stream kept would be unreachable at every second question."""

    async def once(stream: INetStream) -> None:
        await stream.read(5)
        await stream.write(b"\x00\x00\x00\x01!")
        await stream.close()

    async def test(nursery: trio.Nursery) -> None:
        one, earlier = Site(), PrivateKey(os.urandom(32))
        await one.start(nursery)
        host, swarm = open_host(earlier, Tcp([]), lambda _: True, {PROTOCOL: once})
        async with host.run([]):
            await swarm.dial_addr(Multiaddr(one.addresses[0]), peer_id_of(one.did))
            for _ in range(3):
                assert await one.network.ask(earlier.did, [], b"?", 20) == b"!"
                await until(lambda: all(stream.event_remote_closed.is_set() for stream in asking(one, earlier.did)))

    run(test)


def test_a_stream_kept_from_before_the_other_node_was_killed_is_not_asked_on() -> None:
    """The first question after each restart would be lost."""

    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(), Site()
        first_life = await nursery.start(life, other)
        await one.start(nursery)
        await one.ask(other)
        first_life.cancel()
        await until(lambda: not one.network.connected())
        await nursery.start(life, Site(key=other.key, port=int(other.addresses[0].rsplit("/", 1)[1])))
        assert await one.ask(other) == b"?"

    run(test)


def test_a_silent_stream_is_asked_on_later_and_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept open for the next question would be cut off, or count as a question under way."""
    monkeypatch.setattr(control, "QUESTION_SECONDS", 0.1)
    monkeypatch.setattr(control, "ANSWERING", 1)

    async def test(nursery: trio.Nursery) -> None:
        victim = Site()
        await victim.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (host, _):
            silent, other = [await host.new_stream(peer_id_of(victim.did), [PROTOCOL]) for _ in range(2)]
            for _ in range(2):
                await trio.sleep(0.3)  # longer than a question may take once it has begun
                for stream in (silent, other):
                    await stream.write(b"\x00\x00\x00\x01?")
                    assert await stream.read(5) == b"\x00\x00\x00\x01?"

    run(test)


def test_a_taken_port_is_an_error_and_not_shared() -> None:
    """Two nodes would share a port unnoticed, and each get the other's connections."""

    async def test(nursery: trio.Nursery) -> None:
        one = Site()
        await one.start(nursery)
        port = int(one.addresses[0].rsplit("/", 1)[1])
        with pytest.raises(Conflict, match=f"{port} .* in use"):
            await Site(port=port).network.serve()

    run(test)


# --- who gets in ---


def test_a_stranger_is_refused_at_the_handshake_in_both_directions() -> None:
    """Whoever finds the port could ask, or be told what only members may hear."""

    async def test(nursery: trio.Nursery) -> None:
        member, stranger = Site(admitted=set()), Site()
        await member.start(nursery)
        await stranger.start(nursery)
        with pytest.raises(Unreachable):
            await stranger.ask(member)
        with pytest.raises(Unreachable, match="may not connect"):
            await member.ask(stranger)
        assert member.asked == stranger.asked == []
        assert member.network.connected() == frozenset()

    run(test)


def test_one_member_cannot_stand_in_for_another() -> None:
    """A false address would lead a question to the wrong site."""

    async def test(nursery: trio.Nursery) -> None:
        one, liar, victim = Site(), Site(), PrivateKey(os.urandom(32)).did
        await one.start(nursery)
        await liar.start(nursery)
        with pytest.raises(Unreachable):
            await one.network.ask(victim, liar.addresses, b"?", 5)
        assert liar.asked == []

    run(test)


def test_membership_is_asked_at_run_time() -> None:
    """Who is admitted later could not come in, and who is suspended would stay in."""

    async def test(nursery: trio.Nursery) -> None:
        one, other = Site(admitted=set()), Site()
        await one.start(nursery)
        await other.start(nursery)
        with pytest.raises(Unreachable):
            await other.ask(one)
        assert one.admitted is not None
        one.admitted.add(other.did)
        assert await other.ask(one, b"now") == b"now"
        one.admitted.remove(other.did)
        with pytest.raises(Unreachable):
            await other.ask(one, b"still?")
        await until(lambda: not one.network.connected() and not other.network.connected())
        assert one.asked == [(other.did, b"now")]

    run(test)


def test_plaintext_is_refused() -> None:
    """libp2p's plaintext lets anyone say any name: a member was impersonated that way."""

    async def test(nursery: trio.Nursery) -> None:
        member, friend = Site(), PrivateKey(os.urandom(32))
        await member.start(nursery)
        host, swarm = open_host(friend, Tcp([]), lambda _: True, {PROTOCOL: _ignore})
        private = host.get_private_key()
        plaintext = InsecureTransport(KeyPair(private, private.get_public_key()), peerstore=host.get_peerstore())
        muxers = swarm.upgrader.muxer_multistream.transports
        swarm.upgrader = TransportUpgrader({TProtocol(PLAINTEXT_PROTOCOL_ID): plaintext}, muxers)
        async with host.run([]):
            with pytest.raises(SwarmException, match="failed to upgrade security"):
                await swarm.dial_addr(Multiaddr(member.addresses[0]), peer_id_of(member.did))
        assert member.network.connected() == frozenset()

    run(test)


# --- what a stranger can send ---


def test_a_stranger_cannot_make_the_node_read_without_end() -> None:
    """Before it says who it is, anyone could fill the node's memory."""

    async def test(nursery: trio.Nursery) -> None:
        member, friend = Site(), Site()
        await member.start(nursery)
        await friend.start(nursery)
        _, port = tcp.endpoint(Multiaddr(member.addresses[0]))
        for start in (b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x80\x04", b"\x13/multistream/1.0.0\n\xff\xff\xff\x7f"):
            stranger = await trio.open_tcp_stream("127.0.0.1", port)
            async with stranger:
                with pytest.raises(trio.BrokenResourceError):
                    await stranger.send_all(start + b"x" * (32 << 20))
        assert await friend.ask(member) == b"?"

    run(test)


def test_what_is_read_before_the_other_end_is_known_is_bounded() -> None:
    """Each waiting stranger could leave megabytes with us."""

    async def test(nursery: trio.Nursery) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener, await trio.testing.open_stream_to_socket_listener(listener) as stranger:
            stream = Tcp([]).adopt(await listener.accept())
            nursery.start_soon(stranger.send_all, bytes(2 * tcp.HANDSHAKE_BYTES))
            for _ in range(tcp.HANDSHAKE_BYTES):
                await stream.read(1)
            with pytest.raises(ConnectionClosedError, match="before the handshake"):
                await stream.read(1)
            stream.settle()
            assert await stream.read(1) == b"\x00"
            await stream.close()

    run(test)


def test_idle_strangers_do_not_keep_members_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few silent connections would use up the places for handshakes."""
    monkeypatch.setattr(tcp, "WAITING", 4)
    monkeypatch.setattr("node.network.peer._CONNECTIONS", 8)

    async def test(nursery: trio.Nursery) -> None:
        member, friend = Site(), Site()
        await member.start(nursery)
        await friend.start(nursery)
        _, port = tcp.endpoint(Multiaddr(member.addresses[0]))
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(12)]
        assert await friend.ask(member) == b"?"
        while await idle[0].receive_some():
            pass  # ends: the oldest made room
        for stranger in idle:
            await stranger.aclose()

    run(test)


def test_ended_connections_give_their_places_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """In libp2p each inbound connection keeps a place for ever: after some hundreds the node is deaf."""
    monkeypatch.setattr("node.network.peer._CONNECTIONS", 4)

    async def test(nursery: trio.Nursery) -> None:
        member = Site()
        await member.start(nursery)
        for _ in range(10):
            friend = Site(host=None)
            async with trio.open_nursery() as short_lived:
                await friend.start(short_lived)
                assert await friend.ask(member) == b"?"
                short_lived.cancel_scope.cancel()
            await until(lambda: not member.network.connected())

    run(test)


# --- what a member can send ---


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\xff\xff\xff\xff", id="4 GiB announced"),
        pytest.param((MESSAGE_BYTES + 1).to_bytes(4, "big"), id="one byte too many announced"),
    ],
)
def test_a_length_beyond_the_bound_ends_the_stream_before_anything_is_read(sent: bytes) -> None:
    """A peer would choose how much memory we reserve."""

    async def test(nursery: trio.Nursery) -> None:
        victim = Site()
        await victim.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (host, _):
            stream = await host.new_stream(peer_id_of(victim.did), [PROTOCOL])
            await stream.write(sent)
            assert await ended(stream)
        assert victim.asked == []

    run(test)


def test_an_answer_beyond_the_bound_is_refused_by_who_asked() -> None:
    async def lie(stream: INetStream) -> None:
        await stream.write(b"\xff\xff\xff\xff")

    async def test(nursery: trio.Nursery) -> None:
        victim, liar = Site(), PrivateKey(os.urandom(32))
        await victim.start(nursery)
        host, swarm = open_host(liar, Tcp([]), lambda _: True, {PROTOCOL: lie})
        async with host.run([]):
            await swarm.dial_addr(Multiaddr(victim.addresses[0]), peer_id_of(victim.did))
            with pytest.raises(Unreachable, match="announced"):
                await victim.network.ask(liar.did, [], b"?", 20)

    run(test)


def test_a_question_said_too_slowly_is_given_up_and_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a byte a second, a peer would hold a place for days."""
    monkeypatch.setattr(control, "QUESTION_SECONDS", 0.3)

    async def test(nursery: trio.Nursery) -> None:
        victim, friend = Site(), Site()
        await victim.start(nursery)
        await friend.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (host, _):
            slow = await host.new_stream(peer_id_of(victim.did), [PROTOCOL])
            await slow.write(b"\x00\x00")
            assert await friend.ask(victim) == b"?"
            assert await ended(slow)

    run(test)


def test_one_peer_has_a_bounded_number_of_questions_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of slow questions would leave nothing for the others."""
    monkeypatch.setattr(control, "ANSWERING", 4)

    async def test(nursery: trio.Nursery) -> None:
        release = trio.Event()

        async def answer(asker: str, question: bytes) -> bytes:
            if question == b"slow":
                await release.wait()
            return b"fine"

        victim, friend = Site(answer=answer), Site()
        await victim.start(nursery)
        await friend.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (host, _):
            for _ in range(4):
                stream = await host.new_stream(peer_id_of(victim.did), [PROTOCOL])
                await stream.write(b"\x00\x00\x00\x04slow")
            await until(lambda: len(victim.asked) == 4)
            refused = await host.new_stream(peer_id_of(victim.did), [PROTOCOL])
            with suppress(*LOST):
                await refused.write(b"\x00\x00\x00\x04fast")
            assert await ended(refused)
            assert await friend.ask(victim) == b"fine"
            release.set()
            assert await stream.read(8) == b"\x00\x00\x00\x04fine"

    run(test)


def test_a_peer_cannot_pile_up_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that never say a protocol would each hold a task and a buffer."""
    monkeypatch.setattr("node.network.peer.STREAMS", 6)

    async def test(nursery: trio.Nursery) -> None:
        victim, friend = Site(), Site()
        await victim.start(nursery)
        await friend.start(nursery)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (_, swarm):
            muxed = connection(swarm, victim)
            streams = [await muxed.open_stream() for _ in range(7)]
            first, last = streams[0], streams[-1]
            assert isinstance(first, MplexStream)
            assert isinstance(last, MplexStream)
            await until(last.event_reset.is_set)
            assert not first.event_reset.is_set()
            assert await friend.ask(victim) == b"?"

    run(test)


def packets(swarm: Swarm, victim: Site) -> NoisePacketReadWriter:
    """Where bytes enter the connection below its encryption."""
    session = connection(swarm, victim).secured_conn
    assert isinstance(session, SecureSession)
    assert isinstance(session.conn, NoiseTransportReadWriter)
    return session.conn.read_writer


async def garbage_frames(swarm: Swarm, victim: Site) -> None:
    await connection(swarm, victim).secured_conn.write(b"\xff" * 64)


async def name_that_is_no_text(swarm: Swarm, victim: Site) -> None:
    await connection(swarm, victim).secured_conn.write(b"\x00\x02\xff\xfe")


async def forged_cipher_text(swarm: Swarm, victim: Site) -> None:
    await packets(swarm, victim).write_msg(b"not encrypted for you")


async def negotiation_that_is_no_text(swarm: Swarm, victim: Site) -> None:
    stream = await connection(swarm, victim).open_stream()
    await stream.write(b"\x13/multistream/1.0.0\n" + b"\x03\xff\xfe\n")
    while await stream.read(64):
        pass


async def unknown_protocol(swarm: Swarm, victim: Site) -> None:
    stream = await connection(swarm, victim).open_stream()
    await stream.write(b"\x13/multistream/1.0.0\n" + b"\x05nope\n")
    await stream.read(64)


async def sudden_end(swarm: Swarm, victim: Site) -> None:
    stream = await connection(swarm, victim).open_stream()
    await stream.write(b"\x13/multi")
    raw = packets(swarm, victim).read_write_closer
    assert isinstance(raw, RawConnection)
    assert isinstance(raw.stream, TcpStream)
    raw.stream.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    raw.stream.abort()


@pytest.mark.parametrize(
    "attack",
    [
        garbage_frames,
        name_that_is_no_text,
        forged_cipher_text,
        negotiation_that_is_no_text,
        unknown_protocol,
        sudden_end,
    ],
)
def test_a_hostile_member_breaks_its_own_connection_alone(
    attack: Callable[[Swarm, Site], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    """In libp2p 0.8.1 some of these end the whole host, and every member's connection with it."""

    async def test(nursery: trio.Nursery) -> None:
        victim, friend = Site(), Site(host=None)
        await victim.start(nursery)
        await friend.start(nursery)
        assert await friend.ask(victim, b"before") == b"before"
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (_, swarm):
            await until(lambda: len(victim.network.connected()) == 2)
            # what the attacker gets is its own business
            with trio.move_on_after(2), suppress(*LOST):
                await attack(swarm, victim)
        await until(lambda: victim.network.connected() == {friend.did})
        # friend listens nowhere: this goes over the connection that was there before
        assert await victim.ask(friend, b"after") == b"after"

    run(test)
    assert "the libp2p host" not in caplog.text


def test_a_hostile_member_cannot_break_gossip(caplog: pytest.LogCaptureFixture) -> None:
    """A malformed pubsub message would end the host; one in another's name would be believed."""

    async def test(nursery: trio.Nursery) -> None:
        victim, friend = Site(), Site(host=None)
        victim.network.join("t")
        friend.network.join("t")
        await victim.start(nursery)
        await friend.start(nursery)
        await friend.ask(victim)
        async with raw_host(PrivateKey(os.urandom(32)), victim) as (host, _):
            forged = rpc_pb2.RPC(
                publish=[
                    rpc_pb2.Message(from_id=b"\x00\x05hello", seqno=bytes(8), data=b"forged", topicIDs=["t"]),
                    rpc_pb2.Message(
                        from_id=peer_id_of(friend.did).to_bytes(),
                        seqno=bytes(8),
                        data=b"forged",
                        topicIDs=["t"],
                        signature=bytes(64),
                        key=b"no key",
                    ),
                ]
            ).SerializeToString()
            for sent in (b"\x04\xff\xff\xff\xff", b"\xff\xff\xff\x7f", len(forged).to_bytes(2, "little"), forged):
                stream = await host.new_stream(peer_id_of(victim.did), [GOSSIPSUB])
                await stream.write(sent if sent is not forged else varint(len(forged)) + forged)
        await gossip_until_heard(friend, victim)
        assert {teller for teller, _ in victim.heard} == {friend.did}
        assert all(message.startswith(b"hint") for _, message in victim.heard)

    run(test)
    assert "the libp2p host" not in caplog.text


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7])


# --- gossip ---


async def gossip_until_heard(teller: Site, listener: Site) -> None:
    """Gossip until something arrives: a hint may be lost, above all before the two know of each other's topic."""
    count = 0
    while not any(who == teller.did for who, _ in listener.heard):
        await teller.network.hint(b"hint %d" % count)
        count += 1
        await trio.sleep(0.05)


def test_gossip_arrives_through_others_with_the_name_of_who_said_it() -> None:
    """New checkpoints would wait for anti-entropy, or be laid at the door of whoever passed them on."""

    async def test(nursery: trio.Nursery) -> None:
        left, middle, right = Site(host=None), Site(), Site(host=None)
        for site in (left, middle, right):
            site.network.join("comity/test")
            await site.start(nursery)
        await left.ask(middle)
        await right.ask(middle)
        await gossip_until_heard(left, right)
        assert {teller for teller, _ in right.heard} == {left.did}
        assert left.heard == []

    run(test)


def test_a_hint_needs_no_listener_and_is_bounded() -> None:
    """A lone node would fail when it publishes, before its first peer is there."""

    async def test(nursery: trio.Nursery) -> None:
        alone = Site()
        await alone.network.hint(b"before it runs")
        await alone.start(nursery)
        await alone.network.hint(b"before it joins")
        alone.network.join("t")
        alone.network.join("t")
        await alone.network.hint(b"with nobody there")
        with pytest.raises(BadInput):
            await alone.network.hint(bytes((64 << 10) + 1))
        with pytest.raises(Conflict):
            alone.network.join("another")

    run(test)


def test_gossip_of_who_is_not_admitted_is_dropped_though_a_member_passes_it_on() -> None:
    """A suspended member would still be heard, through whoever has not yet learnt of it."""

    async def test(nursery: trio.Nursery) -> None:
        suspended, middle, member = Site(host=None), Site(), Site(host=None)
        member.admitted = {middle.did}
        for site in (suspended, middle, member):
            site.network.join("t")
            await site.start(nursery)
        await suspended.ask(middle)
        await member.ask(middle)
        await gossip_until_heard(suspended, middle)
        await gossip_until_heard(middle, member)
        assert {teller for teller, _ in member.heard} == {middle.did}

    run(test)


# --- healing ---


def test_a_node_that_was_killed_and_came_back_is_connected_again_by_itself() -> None:
    """After each restart or network fault somebody would have to ask first."""

    async def test(nursery: trio.Nursery) -> None:
        other = Site()
        first_life = await nursery.start(life, other)
        one = Site(known={other.did: other.addresses})
        await one.start(nursery)
        await until(lambda: one.network.connected() == {other.did})
        first_life.cancel()
        await until(lambda: not one.network.connected())
        port = int(other.addresses[0].rsplit("/", 1)[1])
        again = Site(key=other.key, port=port)
        await nursery.start(life, again)
        await until(lambda: one.network.connected() == {other.did})
        # over the connection that one made: again was given no address
        assert await again.network.ask(one.did, [], b"?", 20) == b"?"

    run(test)


async def life(site: Site, *, task_status: TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED) -> None:
    """Run ``site`` in a scope of its own, which ends it as a killed process ends: without a word."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await site.start(nursery)
            task_status.started(scope)


def test_two_nodes_that_know_each_other_find_each_other_at_the_first_try_of_either() -> None:
    async def test(nursery: trio.Nursery) -> None:
        sites = [Site(), Site(), Site()]
        for site in sites:
            await site.start(nursery)
        everyone = {site.did: site.addresses for site in sites}
        for site in sites:
            site.known = everyone
        await until(lambda: all(site.network.connected() == everyone.keys() - {site.did} for site in sites))

    run(test)


def test_a_host_that_fails_is_started_anew_on_the_same_port(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault in libp2p that no wall held would silence the node until somebody restarts it."""
    monkeypatch.setattr(control, "RESTART_SECONDS", 0.01)
    fault = trio.Event()

    async def broken(self: Gossip) -> None:
        await fault.wait()
        monkeypatch.undo()
        raise RuntimeError("libp2p is broken")

    async def test(nursery: trio.Nursery) -> None:
        monkeypatch.setattr(Gossip, "handle_dead_peer_queue", _also(Gossip.handle_dead_peer_queue, broken))
        one, other = Site(), Site(host=None)
        await one.start(nursery)
        await other.start(nursery)
        assert await other.ask(one, b"before") == b"before"
        before = one.addresses
        fault.set()
        await until(lambda: not other.network.connected())
        while True:
            try:
                assert await other.ask(one, b"after") == b"after"
            except Unreachable:
                await trio.sleep(0.01)
            else:
                break
        assert one.addresses == before

    run(test)
    assert "libp2p is broken" in caplog.text


def _also(
    original: Callable[[Gossip], Awaitable[None]], extra: Callable[[Gossip], Awaitable[None]]
) -> Callable[[Gossip], Awaitable[None]]:
    async def both(self: Gossip) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(original, self)
            nursery.start_soon(extra, self)

    return both


# --- hearsay ---


def test_addresses_that_a_peer_gives_are_not_dialled() -> None:
    """A member could make every node connect to whatever inside its hospital it names."""

    async def test(nursery: trio.Nursery) -> None:
        victim, bait = Site(), PrivateKey(os.urandom(32))
        victim.network.join("t")
        await victim.start(nursery)
        with socket.socket() as inside:
            inside.bind(("127.0.0.1", 0))
            inside.listen()
            inside.setblocking(False)
            target = Multiaddr(f"/ip4/127.0.0.1/tcp/{inside.getsockname()[1]}")
            host, swarm = open_host(bait, Tcp([]), lambda _: True, {PROTOCOL: _ignore})
            pair = create_new_key_pair()
            other = create_signed_peer_record(ID.from_pubkey(pair.public_key), [target], pair.private_key)
            own = create_signed_peer_record(host.get_id(), [target], host.get_private_key())
            peer = rpc_pb2.PeerInfo(
                peerID=ID.from_pubkey(pair.public_key).to_bytes(), signedPeerRecord=other.marshal_envelope()
            )
            prune = rpc_pb2.RPC(
                senderRecord=own.marshal_envelope(),
                control=rpc_pb2.ControlMessage(prune=[rpc_pb2.ControlPrune(topicID="t", peers=[peer])]),
            ).SerializeToString()
            async with host.run([]):
                await swarm.dial_addr(Multiaddr(victim.addresses[0]), peer_id_of(victim.did))
                stream = await host.new_stream(peer_id_of(victim.did), [GOSSIPSUB])
                await stream.write(varint(len(prune)) + prune)
                # a question after it, on the same connection, is answered when all before it was read
                question = await host.new_stream(peer_id_of(victim.did), [PROTOCOL])
                await question.write(b"\x00\x00\x00\x01?")
                assert await question.read(5) == b"\x00\x00\x00\x01?"
            await until(lambda: not victim.network.connected())
            with pytest.raises(BlockingIOError):
                inside.accept()

    run(test)
