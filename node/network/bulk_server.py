"""The bulk server: bytes to whoever signs for them, over TLS 1.3 on the node key.

h11 over trio's TLS rather than an application server: hypercorn 0.18 waits for ever, through cancellation, for a
client that does not read, has no bound on connections, and answers malformed requests, websocket and h2c upgrades
before the application sees them (docs/decisions).
"""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from catalog.key import PrivateKey
from catalog.nonce import Nonces
from node.network.blob import Answer
from node.network.bulk_connection import BulkConnection, Service, Visit
from node.network.bulkhead import contain, log
from node.network.crowd import origin_of
from node.network.fair import Turns
from node.network.listening import listen
from node.network.tls import server_context
from node.network.tls_stream import TlsStream
from node.ports import Clock

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

MOST_CONNECTIONS: Final = 256
"""Connections open at once. One more makes an idle one leave: those that were never answered first, and of the address
that has most of them the one that has idled longest."""

AT_ONCE: Final = 64
"""Large answers sent at once, each by a worker thread."""

HANDSHAKE_SECONDS: Final = 10.0
"""For a TLS handshake."""


async def serve_bulk(
    host: str | None,
    port: int,
    key: PrivateKey,
    answer: Answer,
    *,
    clock: Clock,
    site_of: Callable[[str], str | None],
    rate: int = 0,
    most_connections: int = MOST_CONNECTIONS,
    incoming: trio.MemoryReceiveChannel[trio.SocketStream] | None = None,
    task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; ``task_status`` gets the port once connections are accepted.

    Args:
        host: an address of this machine; none to listen nowhere.
        port: 0 for any free one.
        key: the node key, for TLS and as the name that requests are signed for.
        answer: asked for each verified request, members' and strangers' alike; it decides who sees what.
        clock: for the freshness of requests.
        site_of: the member whose node has a did:key, none for strangers: they share one bound on requests, one turn.
        rate: bytes a second that all answers together may take; 0 bounds nothing.
        most_connections: open at once, without those that have left HTTP.
        incoming: brings connections that were accepted elsewhere.
        task_status: of ``nursery.start``.

    Raises:
        Conflict: the port is in use.
        BadInput: this machine has no such address, or the port needs rights that this process has not.
        Infeasible: TLS cannot start.
    """
    nonces = Nonces(clock.now, lambda did: site_of(did) is not None)
    service = Service(
        key.did, clock, nonces, answer, Turns(rate), site_of, trio.CapacityLimiter(AT_ONCE), {}, Counter()
    )
    context = server_context(key)
    door = _Door(most_connections)

    async def welcome(stream: trio.SocketStream) -> None:
        # Whatever a stranger does to a connection ends that connection, never the server.
        await contain("a bulk connection", key.did, partial(attend, stream), ours=True)

    async def attend(stream: trio.SocketStream) -> None:
        visit = door.enter(origin_of(stream))
        try:
            if visit is not None:
                with visit.scope:
                    tls = _begun(stream, context)
                    if tls is not None:
                        async with tls:
                            if await _shake_hands(tls):
                                await BulkConnection(tls, service, visit).serve()
        finally:
            if visit is not None:
                door.leave(visit)
            await trio.aclose_forcefully(stream)

    listeners = await listen(host, port, "bulk") if host is not None else ()
    bound: int = listeners[0].socket.getsockname()[1] if listeners else 0
    async with trio.open_nursery() as nursery:
        if listeners:
            nursery.start_soon(trio.serve_listeners, welcome, listeners)
            log.info("serving blobs on %s port %d", host, bound)
        task_status.started(bound)
        if incoming is not None:
            async for stream in incoming:
                nursery.start_soon(welcome, stream)


def _begun(stream: trio.SocketStream, context: ssl.SSLContext) -> TlsStream | None:
    """TLS over a connection; none if that has gone before it began."""
    try:
        return TlsStream(stream, context)
    except trio.BrokenResourceError as error:
        log.debug("a connection ended before TLS began: %s", error)
        return None


async def _shake_hands(tls: TlsStream) -> bool:
    with trio.move_on_after(HANDSHAKE_SECONDS) as slow:
        try:
            await tls.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
    return not slow.cancelled_caught


class _Door:
    """Bounds the connections, so that those who only hold them keep nobody out."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._visits: set[Visit] = set()

    def enter(self, origin: str) -> Visit | None:
        """Room for one more, if need be by sending one away; none when all are being answered."""
        if sum(not visit.upgraded for visit in self._visits) >= self._most:
            idle = [visit for visit in self._visits if not visit.busy]
            if not idle:
                return None
            crowds = Counter((visit.served, visit.origin) for visit in idle)
            leaver = min(idle, key=lambda each: (each.served, -crowds[each.served, each.origin], each.since))
            leaver.scope.cancel()
            self.leave(leaver)
        visit = Visit(origin)
        self._visits.add(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """The connection is over."""
        self._visits.discard(visit)
