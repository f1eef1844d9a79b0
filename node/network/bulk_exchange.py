"""One request and its answer over one pinned TLS connection: the part of the bulk client that runs in a thread."""

from __future__ import annotations

import http.client
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from typing import IO, Final, Generic, TypeVar

import trio

from catalog.error import BadInput, NotFound, Unreachable, VerificationFailed
from catalog.key import short
from node.network.dial import Endpoint
from node.network.tls import check_peer

PATIENCE_SECONDS: Final = 30.0
"""How long an answer may take before its bytes count, and how long a socket may be silent."""

SLOWEST: Final = 8 << 10
"""Bytes per second that an answer must bring on average, once the patience is used up."""

_RECEIVE: Final = 1 << 16
"""Bytes read ahead; a node that has come waits for so many after it, and is lost with them when this process ends."""

T = TypeVar("T")

_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,16})-([0-9]{1,16})/([0-9]{1,16})")


class Stale(Exception):
    """A kept connection was closed before the request reached anybody; a new one may be tried."""


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """What is asked, how many bytes are accepted, and what takes them.

    ``take`` reads the answer, in a worker thread; a read raises what :meth:`PinnedConnection.carry_out` does. What it
    leaves unread costs the connection.
    """

    method: str
    target: str
    body: bytes
    range: tuple[int, int] | None
    limit: int
    take: Callable[[IO[bytes]], T]


class _Http(http.client.HTTPConnection):
    # The library would open a plain connection to the same address when ours is closed.
    auto_open = 0


class PinnedConnection:
    """A connection to ``node``, whose key is checked before anything is sent.

    One thread at a time calls :meth:`carry_out`; :meth:`watch` runs in trio meanwhile.
    """

    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext, address: Endpoint | None, node: str) -> None:
        """Take over ``stream``'s socket, connected to ``address`` or, without one, over a line.

        The handshake is left to the first :meth:`carry_out`.

        Raises:
            Unreachable: it has gone already.
        """
        raw = socket.socket(fileno=stream.socket.detach())
        self.node = node
        self.reusable = False
        self.watched = True
        host, port = address or (node.rpartition(":")[2].lower(), 443)
        self._place = f"{short(node)} at {host} port {port}" if address else f"{short(node)}, which only dials out,"
        name = host if address else None
        try:
            raw.settimeout(PATIENCE_SECONDS)
            raw.getpeername()  # fails where it was reset: the ssl module would leave a socket that nobody closes
            self._tls = context.wrap_socket(raw, server_hostname=name, do_handshake_on_connect=False)
        except (OSError, ValueError) as error:
            raw.close()
            raise Unreachable(f"{self._place} broke off before TLS began; try again") from error
        self._http = _Http(host, port)
        self.proved = False
        self._received = 0
        self._given_up = False

    def carry_out(self, exchange: Exchange[T], headers: Mapping[str, str]) -> T:
        """Send the request, let its answer be taken, and return what became of it.

        Raises:
            Stale: nothing came back over a connection that was used before.
            Unreachable, NotFound, VerificationFailed, BadInput: as ``BulkClient.stream`` says.
        """
        self.reusable = False
        self._received = 0
        with self._faults():
            response = self._ask(exchange, headers)
        with closing(response):
            with self._faults():
                length = self._check_head(response, exchange)
            answer = _Reader(lambda buffer: self._receive(response, buffer, length, exchange.limit))
            taken = exchange.take(BufferedReader(answer, _RECEIVE))
            self.reusable = response.isclosed() and not response.will_close
            return taken

    async def watch(self) -> None:
        """End :meth:`carry_out` from outside when its answer comes too slowly, or when this is cancelled."""
        self.watched = True
        started = trio.current_time()
        until = started + PATIENCE_SECONDS
        try:
            while until > trio.current_time():
                await trio.sleep_until(until)
                until = started + PATIENCE_SECONDS + self._received / SLOWEST
        finally:
            if self.watched:
                self._shut_down()

    def quiet(self) -> bool:
        """Whether nothing waits to be read: between requests, that could only be an end or a fault."""
        poll = select.poll()
        poll.register(self._tls, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the socket."""
        self._http.close()
        self._tls.close()

    def _shut_down(self) -> None:
        self._given_up = True
        # Not SSLSocket.shutdown, which forgets the TLS state that the thread is using.
        try:
            socket.socket.shutdown(self._tls, socket.SHUT_RDWR)
        except OSError:
            return  # it is not connected any more, so nobody can be waiting on it

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say of what a socket, TLS or HTTP raises what it means."""
        try:
            yield
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.IncompleteRead) as error:
            raise Unreachable(f"{self._place} broke off; try again") from error
        except ssl.SSLError as error:
            raise VerificationFailed(
                f"{self._place} does not speak TLS 1.3 as a node does ({error.reason}): its address is wrong, "
                "or something between intercepts TLS"
            ) from error
        except http.client.HTTPException as error:
            raise VerificationFailed(f"{self._place} does not speak HTTP as a node does ({error!r:.80})") from error
        except OSError as error:
            raise Unreachable(f"{self._place} broke off, or is too slow ({error}); try again") from error

    def _ask(self, exchange: Exchange[T], headers: Mapping[str, str]) -> http.client.HTTPResponse:
        used_before = self.proved
        if not self.proved:
            self._tls.do_handshake()
            check_peer(self._tls, self.node)
            self._http.sock = self._tls
            self.proved = True
        try:
            self._http.request(exchange.method, exchange.target, exchange.body or None, dict(headers))
            return self._http.getresponse()
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            if used_before and not self._given_up:
                raise Stale from error
            raise Unreachable(f"{self._place} broke off; try again") from error

    def _check_head(self, response: http.client.HTTPResponse, exchange: Exchange[T]) -> int | None:
        """The answer's length, none if it says its end itself."""
        length = response.length
        if response.status in {404, 416} and length == 0:
            response.read()
            self.reusable = not response.will_close
            if response.status == 416 and exchange.range is not None:
                raise BadInput(f"the range asked of {self._place} begins after the end of «{exchange.target[:120]}»")
            raise NotFound(f"{self._place} has no «{exchange.target[:120]}», or none that this key may see")
        if response.status != (200 if exchange.range is None else 206):
            raise VerificationFailed(f"{self._place} answered with status {response.status}, which is not foreseen")
        if length is None and not response.chunked:
            raise VerificationFailed(f"{self._place} did not say how long its answer is")
        if length is not None and length > exchange.limit:
            raise VerificationFailed(
                f"{self._place} announced {length:,} bytes for «{exchange.target[:120]}»; at most "
                f"{exchange.limit:,} are accepted"
            )
        if exchange.range is not None:
            found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            first, last = (int(found[1]), int(found[2])) if found else (-1, -1)
            if first != exchange.range[0] or last > exchange.range[1] or length != last - first + 1:
                raise VerificationFailed(f"{self._place} answered with another range than was asked")
        return length

    def _receive(self, response: http.client.HTTPResponse, buffer: memoryview, length: int | None, limit: int) -> int:
        """Bytes of the answer's body into ``buffer``; how many, none at its end."""
        with self._faults():
            count = response.readinto(buffer)
        self._received += count
        if self._received > limit:
            raise VerificationFailed(f"{self._place} sent more than the {limit:,} bytes that are accepted")
        if not count and buffer and length is not None and self._received != length:
            raise Unreachable(f"{self._place} broke off after {self._received:,} of {length:,} bytes; try again")
        return count


class _Reader(RawIOBase):
    """An answer's body as Python's buffers read it."""

    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._receive(buffer)
