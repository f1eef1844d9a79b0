"""TLS on a socket that trio waits for and worker threads send large answers through.

trio's own TLS keeps its records in buffers in memory, each piece copied four times and handed to the event loop; on the
socket itself OpenSSL writes where it reads, and a thread needs no event loop. Sending 1 GiB costs a third of the
processor that way.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Final

import trio

from node.network.bulkhead import log

SEND_SECONDS: Final = 30.0
"""How long a thread waits for the other end to take anything at all."""


_WRITE: Final = 1 << 18
_LARGE: Final = 1 << 15


class TlsStream(trio.abc.Stream):
    """The server's end of a TLS connection over ``stream``, whose socket it takes over; shake hands first.

    One task uses it at a time. It tells nobody that it closes: HTTP says itself where an answer ends.
    """

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        """Raises ``trio.BrokenResourceError`` where the other end has gone already, or reset the connection."""
        raw = socket.socket(fileno=stream.socket.detach())
        try:
            raw.setblocking(False)
            raw.getpeername()  # fails where it was reset: the ssl module would leave a socket behind that nobody closes
            self._tls = context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            raw.close()
            raise trio.BrokenResourceError("gone before TLS began") from error
        self.sent = 0
        """Bytes that were handed to the socket; a thread counts on while it sends."""

    async def do_handshake(self) -> None:
        """Shake hands.

        Raises:
            trio.BrokenResourceError: the other end does not speak TLS as it must, or went away.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._tls.fileno())
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._tls.fileno())
            except (OSError, ValueError) as error:
                raise trio.BrokenResourceError("no handshake") from error
            else:
                return

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """At most ``max_bytes``; empty at the end.

        Raises:
            trio.BrokenResourceError: it broke off. trio.ClosedResourceError: it was closed here.
        """
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self._tls.recv(max_bytes or 1 << 16)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._tls.fileno())
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._tls.fileno())
            except OSError as error:
                raise self._lost(error) from error

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``; raises as :meth:`receive_some` does."""
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            try:
                count = self._tls.send(view)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._tls.fileno())
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._tls.fileno())
            except OSError as error:
                raise self._lost(error) from error
            else:
                self.sent += count
                view = view[count:]

    def send_from_thread(self, pieces: Iterable[bytes]) -> None:
        """Send ``pieces`` from a worker thread, while no task uses the stream; :meth:`cut` ends it from outside.

        Raises:
            trio.BrokenResourceError: it broke off, was cut, or the other end takes nothing.
        """
        try:
            self._tls.settimeout(SEND_SECONDS)
            for piece in _joined(pieces):
                view = memoryview(piece)
                while view:
                    count = self._tls.send(view[:_WRITE])
                    self.sent += count
                    view = view[count:]
            self._tls.settimeout(0)
        except OSError as error:
            raise self._lost(error) from error

    def cut(self) -> None:
        """End the connection under a thread that sends."""
        try:
            # Not SSLSocket.shutdown, which forgets the TLS state that the thread is using.
            socket.socket.shutdown(self._tls, socket.SHUT_RDWR)
        except OSError as error:
            log.debug("a connection was gone already: %s", error)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until the socket takes something."""
        await trio.lowlevel.wait_writable(self._tls.fileno())

    async def aclose(self) -> None:
        """Close the socket."""
        trio.lowlevel.notify_closing(self._tls.fileno())
        self._tls.close()
        await trio.lowlevel.checkpoint()

    def _lost(self, error: OSError) -> trio.BrokenResourceError | trio.ClosedResourceError:
        if self._tls.fileno() < 0:
            return trio.ClosedResourceError("closed here")
        return trio.BrokenResourceError(f"it broke off: {error}")


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Small pieces together, for each costs a record and a packet; large ones as they are, for joining copies them."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > _WRITE or len(piece) >= _LARGE:
            yield b"".join(small)
            small, size = [], 0
        if len(piece) >= _LARGE:
            yield piece
        else:
            small.append(piece)
            size += len(piece)
    yield b"".join(small)
