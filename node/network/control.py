"""Control connections: small questions and gossip between the nodes of members, over libp2p.

On a stream of ``/comity/control/1`` go four bytes of length (big-endian), a question, and back the same way its
answer, each at most :data:`MESSAGE_BYTES`; then whoever opened it may ask the next one there. Either end of a
connection may ask, so a site that can only dial out takes full part. A stream that breaks a bound is reset without an
answer; who asks is the key that the Noise handshake proved, never something in the question.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.multiaddr_utils import multiaddr_from_socket
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from catalog.error import BadInput, Conflict, Unreachable
from catalog.key import PrivateKey, short
from node.network.bulkhead import contain, log
from node.network.dial import Dialer, Direct, Endpoint
from node.network.gossip import HINT_BYTES, Gossip, router
from node.network.links import LOST, Healing, Links, cause
from node.network.listening import listen
from node.network.peer import did_of_peer, open_host, peer_id_of
from node.network.streams import MESSAGE_BYTES, Streams, read_message, read_start, reset, write_message
from node.network.tcp import Incoming, Tcp

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

PROTOCOL: Final = TProtocol("/comity/control/1")
QUESTION_SECONDS: Final = 10.0
"""How long a peer may take to say a question, once it has begun to."""
ANSWER_SECONDS: Final = 120.0
"""How long this node may take to answer."""
ANSWERING: Final = 32
"""Questions of one peer that are answered at once; one more is refused."""
ASKING: Final = 24
"""Questions to one peer that are asked at once; one more waits. Below :data:`ANSWERING`, so it is not refused."""
_NOWHERE: Final = "/ip4/127.0.0.1/tcp/1"
"""What libp2p is told of a listener without a socket; our own takes no notice, and nobody else hears of it."""
RESTART_SECONDS: Final = 1.0
"""The wait before a libp2p host that failed is started anew."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Where a node listens for control connections, and how it heals them.

    ``host`` is an IP address of this machine, or ``None`` to listen nowhere; ``port`` 0 takes any free port.
    """

    host: str | None
    port: int
    healing: Healing = field(default_factory=Healing)


@dataclass(frozen=True, slots=True)
class _Running:
    """A libp2p host that runs."""

    host: BasicHost
    links: Links
    pubsub: Gossip
    streams: Streams = field(default_factory=Streams)


class ControlNetwork:
    """This node's end of the control connections of its consortium.

    ``admits(did)`` is asked at every handshake and question, and again and again for those connected;
    ``answer(did, question)`` and ``heard(did, message)`` are called with the key proved (for gossip, that of whom
    the message is from, whoever passed it on); ``known()`` names the nodes to keep connections with, and their
    multiaddrs, empty for those that only dial out. None of them should raise: what they raise is logged, and the
    question or message is lost. ``incoming`` brings connections that were accepted elsewhere.
    """

    def __init__(
        self,
        key: PrivateKey,
        settings: ControlSettings,
        *,
        admits: Callable[[str], bool],
        answer: Callable[[str, bytes], Awaitable[bytes]],
        heard: Callable[[str, bytes], Awaitable[None]],
        known: Callable[[], Mapping[str, Sequence[str]]],
        dialer: Dialer | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        self._key = key
        self._did = key.did
        self._settings = settings
        self._admits = admits
        self._answer = answer
        self._heard = heard
        self._known = known
        self._dialer = dialer or Direct()
        self._incoming = incoming
        self._topic: str | None = None
        self._joined = trio.Event()
        self._answering: Counter[str] = Counter()
        self._turns: defaultdict[str, trio.Semaphore] = defaultdict(partial(trio.Semaphore, ASKING))
        self._running: _Running | None = None
        self.addresses: tuple[str, ...] = ()
        """The multiaddrs that this node listens on, once :meth:`serve` is ready."""

    def join(self, topic: str) -> None:
        """Gossip under ``topic`` from now on, or from when the node runs.

        Raises:
            Conflict: it gossips under another topic already.
        """
        if self._topic not in (None, topic):
            raise Conflict(f"this node gossips under «{self._topic}» already, and a node is in one consortium")
        self._topic = topic
        self._joined.set()

    def connected(self) -> frozenset[str]:
        """The nodes that there is a connection with, whoever opened it."""
        return self._running.links.connected() if self._running is not None else frozenset()

    async def serve(self, *, task_status: TaskStatus[tuple[str, ...]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, answer and heal connections until cancelled; reports :attr:`addresses` when it is ready.

        Raises:
            BadInput: the address is not this machine's. Conflict: its port is in use.
        """
        # What a peer does wrong is logged by this room, in one line with its key; libp2p's own lines name no site.
        logging.getLogger("libp2p").setLevel(logging.CRITICAL)
        started = trio.Event()
        async with AsyncExitStack() as stack:
            listeners = await self._open_listeners()
            for listener in listeners:
                await stack.enter_async_context(listener)
            self.addresses = tuple(str(multiaddr_from_socket(listener.socket)) for listener in listeners)
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(self._run, listeners, started)
            await started.wait()
            task_status.started(self.addresses)

    async def ask(self, node: str, addresses: Sequence[str], question: bytes, seconds: float) -> bytes:
        """Send ``question`` to the node with the key ``node`` and return its answer.

        Uses the connection that there is, whoever opened it, or dials ``addresses`` (multiaddrs) one by one. Never
        asks twice: when it fails, whether the other node acted on the question is not known.

        Raises:
            Unreachable: no connection, or no answer within ``seconds``.
            BadInput: ``question`` is larger than :data:`MESSAGE_BYTES`, or ``node`` is no key.
        """
        if len(question) > MESSAGE_BYTES:
            raise BadInput(f"a question is at most {MESSAGE_BYTES} bytes, and this one has {len(question)}")
        peer_id_of(node)
        with trio.move_on_after(seconds):
            async with self._turns[node]:
                return await self._exchange(node, addresses, question)
        raise Unreachable(f"the node {short(node)} did not answer within {seconds:g} s; try again, or ask its site")

    async def hint(self, message: bytes) -> None:
        """Gossip ``message`` to whoever listens; it may be lost, doubled or late. Before :meth:`join` it is dropped.

        Raises:
            BadInput: ``message`` is larger than :data:`node.network.gossip.HINT_BYTES`.
        """
        if len(message) > HINT_BYTES:
            raise BadInput(f"a hint is at most {HINT_BYTES} bytes, and this one has {len(message)}")
        if self._running is not None and self._topic is not None:
            await self._running.pubsub.publish(self._topic, message)

    async def _open_listeners(self) -> Sequence[trio.SocketListener]:
        if self._settings.host is None:
            return []
        return await listen(self._settings.host, self._settings.port, "control")

    async def _dial(self, peer: str, address: Endpoint | None) -> trio.SocketStream:
        return await self._dialer.dial(did_of_peer(ID.from_string(peer)), address)

    async def _run(self, listeners: Sequence[trio.SocketListener], started: trio.Event) -> None:
        while True:
            await contain("the libp2p host", self._did, partial(self._run_host, listeners, started), ours=True)
            await trio.sleep(RESTART_SECONDS)

    async def _run_host(self, listeners: Sequence[trio.SocketListener], started: trio.Event) -> None:
        transport = Tcp(listeners, self._dial, self._incoming)
        host, swarm = open_host(self._key, transport, self._admits, {PROTOCOL: self._take})
        routing = router()
        pubsub = Gossip(host, routing, self._admits)
        links = Links(self._did, swarm, self._admits)
        accepts = [Multiaddr(next(iter(self.addresses), _NOWHERE))] if listeners or self._incoming else []
        async with host.run(accepts), background_trio_service(pubsub), background_trio_service(routing):
            try:
                await pubsub.wait_until_ready()
                self._running = _Running(host, links, pubsub)
                started.set()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(links.heal, self._known, self._settings.healing)
                    nursery.start_soon(self._listen, pubsub)
            finally:
                self._running = None
                # First of all: the services end only when nothing is being written any more.
                transport.cut()

    async def _listen(self, pubsub: Gossip) -> None:
        await self._joined.wait()
        async for node, message in pubsub.messages(str(self._topic)):
            await contain("taking a hint", node, partial(self._heard, node, message), ours=True)

    async def _take(self, stream: INetStream) -> None:
        """Answer the questions that come on one stream, until its other end closes it."""
        node = did_of_peer(stream.muxed_conn.peer_id)
        done = False
        try:
            while start := await read_start(stream):
                if not await self._take_question(node, stream, start):
                    return
            await stream.close()
            done = True
        except LOST as error:
            log.debug("%s asked badly or went away: %s", node, cause(error))
        finally:
            if not done:
                await reset(stream)

    async def _take_question(self, node: str, stream: INetStream, start: bytes) -> bool:
        self._answering[node] += 1
        try:
            return self._answering[node] <= ANSWERING and self._admits(node) and await self._reply(node, stream, start)
        finally:
            self._answering[node] -= 1

    async def _reply(self, node: str, stream: INetStream, start: bytes) -> bool:
        with trio.move_on_after(QUESTION_SECONDS) as patience:
            question = await read_message(stream, start)
        if patience.cancelled_caught:
            return False
        answers: list[bytes] = []

        async def answer() -> None:
            with trio.fail_after(ANSWER_SECONDS):
                answers.append(await self._answer(node, question))
            if len(answers[0]) > MESSAGE_BYTES:
                raise BadInput(f"an answer is at most {MESSAGE_BYTES} bytes, and this one has {len(answers[0])}")

        if not await contain("answering", node, answer, ours=True):
            return False
        await write_message(stream, answers[0])
        return True

    async def _exchange(self, node: str, addresses: Sequence[str], question: bytes) -> bytes:
        running = self._running
        if running is None:
            raise Unreachable("this node's control connections are not up; see its log")
        await running.links.connect(node, addresses)
        stream = running.streams.take(node)
        try:
            if stream is None:
                stream = await running.host.new_stream(peer_id_of(node), [PROTOCOL])
            await write_message(stream, question)
            answer = await read_message(stream)
            await running.streams.keep(node, stream)
        except LOST as error:
            raise Unreachable(f"the node {short(node)} broke off ({cause(error)}); try again") from error
        else:
            stream = None
            return answer
        finally:
            if stream is not None:
                await reset(stream)
