"""The front door: connections whose first byte says for which of the node's two servers they are.

A libp2p connection begins with the 0x13 of multistream-select (the length of «/multistream/1.0.0» and a line feed),
a TLS one with the 0x16 of a handshake record (RFC 8446, 5.1). So both servers share one port if the operator wants
it so, and whoever is joined to a line of a site that only dials out finds both at its end.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

import trio

from node.network.bulkhead import log
from node.network.crowd import Crowd, origin_of
from node.network.listening import listen

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

FIRST_BYTE_SECONDS: Final = 10.0
"""For a connection's first byte to come, and for its server to take it."""

WAITING: Final = 64
"""Connections that may wait for that at once; one more ends the oldest of the address that has most of them."""

MULTISTREAM: Final = b"\x13"
HANDSHAKE: Final = b"\x16"


class Front:
    """Sorts connections; ``bulk`` and ``control`` are where the two servers receive theirs."""

    def __init__(self) -> None:
        to_bulk, self.bulk = trio.open_memory_channel[trio.SocketStream](0)
        to_control, self.control = trio.open_memory_channel[trio.SocketStream](0)
        self._servers = {HANDSHAKE: to_bulk, MULTISTREAM: to_control}
        self._waiting = Crowd[trio.CancelScope](WAITING)

    async def welcome(self, stream: trio.SocketStream, origin: str = "") -> None:
        """Hand a connection to its server; one that says nothing in time, or something else, is closed.

        ``origin`` says where it comes from if that is no address: over a line, the member that passed it on.
        """
        handed_on = False
        try:
            with trio.move_on_after(FIRST_BYTE_SECONDS) as scope:
                leaver = self._waiting.enter(scope, origin or origin_of(stream))
                if leaver is not None:
                    leaver.cancel()
                server = self._servers.get(await stream.socket.recv(1, socket.MSG_PEEK))
                if server is not None:
                    await server.send(stream)
                    handed_on = True
        except OSError as error:
            log.debug("a connection ended before it began: %s", error)
        finally:
            self._waiting.leave(scope)
            if not handed_on:
                await trio.aclose_forcefully(stream)

    async def _accept(self, stream: trio.SocketStream) -> None:
        # trio closes what it accepted when its handler returns; what is handed on lives longer.
        try:
            own = stream.socket.dup()
        except OSError as error:
            log.debug("a connection is dropped, for this process has no socket left: %s", error)
            return
        await self.welcome(trio.SocketStream(own))

    async def serve(self, host: str, port: int, *, task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; reports the port when connections are accepted.

        Raises:
            Conflict, BadInput: as :func:`node.network.listening.listen`.
        """
        listeners = await listen(host, port, "control] and [bulk")
        bound: int = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._accept, listeners)
            log.info("serving control connections and blobs on %s port %d", host, bound)
            task_status.started(bound)
