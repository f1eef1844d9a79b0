"""TCP below libp2p: the sockets of control connections, bounded before their other end is known.

libp2p 0.8.1 has its own transport, which this one replaces because there

- a second process may listen on the same port unnoticed (SO_REUSEPORT), and a taken port is no error;
- the listener is a trio system task, whose failure ends the process;
- a connection that ended keeps its slot and its task until the node stops: after some 250 the node is deaf;
- a stranger may have any number of bytes read, and as many connections waiting, before it says who it is;
- a write cancelled half-way leaves the two ends' Noise counters apart: one late question breaks the connection;
- a peer that vanished without a word is noticed after many minutes.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio
from libp2p.abc import IListener, IRawConnection, ITransport
from libp2p.custom_types import THandler
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.utils.multiaddr_utils import multiaddr_from_socket
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from catalog.error import BadInput, Unreachable
from node.network.bulkhead import contain
from node.network.crowd import Crowd, origin_of
from node.network.dial import Endpoint

HANDSHAKE_BYTES: Final = 16 << 10
"""What may be received before the other end is admitted; Noise XX with multistream takes under 1 KiB."""
WAITING: Final = 64
"""Connections that may be in their handshake at once; one more ends the oldest of the address that has most of them."""
STALL_SECONDS: Final = 30
"""How long a peer may leave what we sent untaken before the connection ends."""
_READ_BYTES: Final = 64 << 10
_HOSTS: Final = frozenset({"ip4", "ip6", "dns", "dns4", "dns6"})
_OUT_OF_SOCKETS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


Dial = Callable[[str, Endpoint | None], Awaitable[trio.SocketStream]]
Incoming = trio.MemoryReceiveChannel[trio.SocketStream]


class TcpStream(TrioTCPStream):
    """One connected socket. Until :meth:`settle`, it reads :data:`HANDSHAKE_BYTES` and no more."""

    def __init__(self, stream: trio.SocketStream, settled: Callable[[TcpStream], None]) -> None:
        super().__init__(stream)
        self._settled = settled
        self._allowance: int | None = HANDSHAKE_BYTES
        self.life = trio.CancelScope()
        """What waits for this connection's end, and nothing else, runs in this scope."""
        if stream.socket.family != socket.AF_UNIX:  # the socket of a line, within this process
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALL_SECONDS * 1000)

    def settle(self) -> None:
        """The other end is admitted: lift the handshake's bounds."""
        self._allowance = None
        self._settled(self)

    async def read(self, n: int | None = None) -> bytes:
        """At most ``n`` bytes; empty at the end.

        Raises:
            ConnectionClosedError: reset, or too much was sent before the handshake ended.
        """
        data = await super().read(_READ_BYTES if n is None else min(n, _READ_BYTES))
        if self._allowance is not None:
            self._allowance -= len(data)
            if self._allowance < 0:
                raise ConnectionClosedError("too many bytes before the handshake ended", transport="tcp")
        return data

    async def write(self, data: bytes) -> None:
        """Send all of ``data``, also when the caller is cancelled meanwhile.

        Raises:
            ConnectionClosedError: reset, or the peer took nothing for :data:`STALL_SECONDS`.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + STALL_SECONDS) as patience:
            await super().write(data)
        if patience.cancelled_caught:
            self.abort()
            raise ConnectionClosedError("the peer takes nothing of what is sent", transport="tcp")

    async def close(self) -> None:
        """Close the socket."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close the socket now."""
        self.stream.socket.close()
        self._settled(self)
        self.life.cancel()


class Tcp(ITransport):
    """libp2p's transport over sockets that were opened, and stay owned, by the caller.

    ``dial`` connects to a peer id (as text) at an address, if it has one; ``incoming`` brings connections that were
    accepted elsewhere.
    """

    def __init__(
        self,
        listeners: Sequence[trio.SocketListener],
        dial: Dial | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        self._listeners = listeners
        self._dial = dial or _straight
        self._incoming = incoming
        self._waiting = Crowd[TcpStream](WAITING)
        self._open: set[TcpStream] = set()

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        """Connect to ``/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT``, or to ``/p2p/PEER``, which only dials out.

        Raises:
            OpenConnectionError: another kind of address, or nobody listens there.
        """
        address = endpoint(maddr)
        try:
            stream = await self._dial(maddr.value_for_protocol("p2p") or "", address)
        except (OSError, Unreachable, BadInput) as error:
            raise OpenConnectionError(f"{maddr}: {error}") from error
        return RawConnection(self.adopt(stream), True)

    def adopt(self, stream: trio.SocketStream) -> TcpStream:
        """Take a connected socket into the books."""
        tcp = TcpStream(stream, self._forget)
        self._open = {other for other in self._open if not other.life.cancel_called} | {tcp}
        return tcp

    def wait_for_handshake(self, stream: TcpStream) -> None:
        """Count a stranger among those waiting; one from where most of them come makes room."""
        leaver = self._waiting.enter(stream, origin_of(stream.stream))
        if leaver is not None:
            leaver.abort()

    def _forget(self, stream: TcpStream) -> None:
        self._waiting.leave(stream)

    def cut(self) -> None:
        """Close every connection now; nothing waits for a peer any longer."""
        for stream in self._open:
            stream.abort()

    def create_listener(self, handler_function: THandler) -> IListener:
        """A listener over the sockets given; ``handler_function`` runs once per connection, until its end."""
        return Listener(self, self._listeners, handler_function, self._incoming)

    def can_dial(self, maddr: Multiaddr) -> bool:
        """Whether ``maddr`` is plain TCP, or a peer alone."""
        try:
            endpoint(maddr)
        except OpenConnectionError:
            return False
        return True

    def can_listen(self, maddr: Multiaddr) -> bool:
        """Whether ``maddr`` is plain TCP."""
        return self.can_dial(maddr)

    def protocols(self) -> list[str]:
        """The protocols of this transport."""
        return ["tcp", "p2p"]


class Listener(IListener):
    """Accepts connections until it is closed."""

    def __init__(
        self,
        transport: Tcp,
        listeners: Sequence[trio.SocketListener],
        handler: THandler,
        incoming: Incoming | None = None,
    ) -> None:
        self._transport = transport
        self._listeners = listeners
        self._handler = handler
        self._incoming = incoming
        self._accepting = trio.CancelScope()
        self.background_nursery: trio.Nursery | None = None
        """Set by libp2p's swarm before :meth:`listen`."""

    async def listen(self, maddr: Multiaddr) -> None:
        """Start to accept; the sockets are bound already, ``maddr`` is what they are bound to.

        Raises:
            OpenConnectionError: libp2p's swarm is not running.
        """
        if self.background_nursery is None:
            raise OpenConnectionError(f"the swarm does not run, so nothing can listen on {maddr}")
        self.background_nursery.start_soon(contain, "listening", str(maddr), self._accept_all)
        await trio.lowlevel.checkpoint()

    async def _accept_all(self) -> None:
        with self._accepting:
            async with trio.open_nursery() as nursery:
                for listener in self._listeners:
                    nursery.start_soon(self._accept, listener, nursery)
                if self._incoming is not None:
                    nursery.start_soon(self._receive, self._incoming, nursery)

    async def _receive(self, incoming: Incoming, nursery: trio.Nursery) -> None:
        async for stream in incoming:
            nursery.start_soon(self._welcome, stream)

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _OUT_OF_SOCKETS:
                    raise
                # Sockets come back as connections end; until then newcomers wait in the kernel's queue.
                await trio.sleep(0.1)
                continue
            nursery.start_soon(self._welcome, stream)

    async def _welcome(self, stream: trio.SocketStream) -> None:
        try:
            tcp = self._transport.adopt(stream)
        except OSError:  # reset before we came to it
            stream.socket.close()
            return
        self._transport.wait_for_handshake(tcp)
        # libp2p's handler waits for the swarm's end, not the connection's.
        with tcp.life:
            await contain("a connection", str(tcp.get_remote_address()), partial(self._handler, tcp))
        tcp.abort()

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """The addresses bound."""
        return tuple(multiaddr_from_socket(listener.socket) for listener in self._listeners)

    async def close(self) -> None:
        """Stop accepting; connections and the sockets given stay."""
        self._accepting.cancel()
        await trio.lowlevel.checkpoint()


async def _straight(peer: str, address: Endpoint | None) -> trio.SocketStream:  # noqa: ARG001 -- Noise asks for it
    if address is None:
        raise Unreachable("it only dials out")
    return await trio.open_tcp_stream(*address)


def endpoint(maddr: Multiaddr) -> Endpoint | None:
    """Host and port of ``/ip4|ip6|dns|dns4|dns6/HOST/tcp/PORT``, with or without a ``/p2p/…`` behind.

    None for a ``/p2p/…`` alone.

    Raises:
        OpenConnectionError: it is another kind of address.
    """
    names = [protocol.name for protocol in maddr.protocols()]
    if names == ["p2p"]:
        return None
    if names[1:2] != ["tcp"] or names[0] not in _HOSTS or names[2:] not in ([], ["p2p"]):
        raise OpenConnectionError(f"«{maddr}» is not a TCP address, which is like /dns4/node.example.org/tcp/4001")
    host, port = maddr.value_for_protocol(names[0]), maddr.value_for_protocol("tcp")
    if host is None or port is None:
        raise OpenConnectionError(f"«{maddr}» names no host or no port")
    return host, int(port)
