"""The bulk client: bytes from other sites' nodes, by signed request over TLS 1.3 to a pinned key.

Bytes move through a blocking socket in a worker thread, which is several times faster than an asynchronous one;
trio watches, and ends the thread by shutting the socket down when it is cancelled or the other end is too slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import IO, Final, TypeVar

import outcome
import trio

from catalog.error import Unreachable, VerificationFailed
from catalog.httpsig import NONCE_BYTES, sign_request, split_target
from catalog.key import Signer, public_bytes
from node.network.bulk_exchange import Exchange, PinnedConnection, Stale
from node.network.dial import Dialer, Direct, Endpoint, https_endpoint
from node.network.tls import Interceptions, client_context
from node.ports import Clock, Random

T = TypeVar("T")

IDLE_SECONDS: Final = 15.0
"""How long an unused connection is kept: half of what a server allows, so that it is seldom closed in between."""

PER_NODE: Final = 4
"""Requests at once, and connections kept, to one node."""

WAYS: Final = 3
"""Ways tried to a node that only dials out: one may lead through a member that passes nothing on, or lies."""

AT_ONCE: Final = 32
"""Requests at once, to all nodes together: one worker thread each."""


class BulkClient:
    """Fetches from other nodes in the name of one key, for one event loop.

    Close it, or use it as a context manager, when it is done with.
    """

    def __init__(
        self,
        key: Signer,
        clock: Clock,
        random: Random,
        dialer: Dialer | None = None,
        interceptions: Interceptions | None = None,
    ) -> None:
        self._key = key
        self._clock = clock
        self._random = random
        self._dialer: Dialer = dialer or Direct()
        self._interceptions = interceptions or Interceptions()
        self._context = client_context()
        self._threads = trio.CapacityLimiter(AT_ONCE)
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._closed = False

    async def get(
        self, node: str, url_base: str, target: str, *, limit: int, range: tuple[int, int] | None = None
    ) -> bytes:
        """The bytes of ``target`` at ``node``; arguments and errors as for :meth:`stream`."""
        return await self.stream(node, url_base, target, _whole, limit=limit, range=range)

    async def stream(
        self,
        node: str,
        url_base: str,
        target: str,
        take: Callable[[IO[bytes]], T],
        *,
        limit: int,
        query: bytes = b"",
        range: tuple[int, int] | None = None,
    ) -> T:
        """Ask for ``target`` at ``node`` and let ``take`` read the answer as it arrives; what ``take`` returns.

        Args:
            node: the did:key of the node that must answer.
            url_base: where it listens, ``https://host:port``; empty for a node that only dials out.
            target: path and query, in normal form.
            take: called in a worker thread with the answer; it reads all of it. A read raises what is said below, and
                what ``take`` raises ends the exchange.
            limit: bytes that are accepted at most.
            query: says what is wanted where a path is too short for it (at most 64 KiB); sent by the method QUERY.
            range: first and last byte wanted, both included; fewer come when the blob ends before.

        Raises:
            Unreachable: no connection, it broke off, or bytes come too slowly.
            NotFound: the node has no such thing, or none that this key may see.
            VerificationFailed: another key than ``node``'s, more than ``limit`` bytes, or no proper answer.
            BadInput: an argument is malformed, or the range begins after the end.
        """
        method = "QUERY" if query else "GET"
        return await self._request(node, url_base, Exchange(method, target, query, range, limit, take))

    async def post(self, node: str, url_base: str, target: str, body: bytes, *, limit: int) -> bytes:
        """Send ``body`` (at most 64 KiB) to ``target`` and return the answer; never sent twice.

        Arguments and errors are those of :meth:`stream`; when it raises Unreachable, whether the node acted is
        not known.
        """
        return await self._request(node, url_base, Exchange("POST", target, body, None, limit, _whole))

    def close(self) -> None:
        """Close every connection that is not in use; those in use close when their request ends."""
        for known in self._nodes.values():
            known.close_idle(before=float("inf"))
        self._nodes.clear()
        self._closed = True

    def __enter__(self) -> BulkClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _request(self, node: str, url_base: str, exchange: Exchange[T]) -> T:
        public_bytes(node)
        split_target(exchange.target)
        address = https_endpoint(url_base)
        self._sweep()
        known = self._nodes.setdefault((node, url_base), _Node())
        async with known.turns:
            # A kept connection may have been closed by its server meanwhile; asking again is safe for what only asks.
            kept = known.take() if exchange.method != "POST" else None
            if kept is not None:
                try:
                    return await self._run(known, kept, exchange)
                except Stale:
                    pass
            with self._interceptions.watching(node):
                return await self._run_anew(known, node, address, exchange)

    async def _run_anew(self, known: _Node, node: str, address: Endpoint | None, exchange: Exchange[T]) -> T:
        """Over a new connection. While the node has not proved itself nothing was asked, and another may be tried."""
        left = 1 if address is not None else WAYS
        while True:
            left -= 1
            fresh = PinnedConnection(await self._dialer.dial(node, address), self._context, address, node)
            try:
                return await self._run(known, fresh, exchange)
            except (Unreachable, VerificationFailed):
                if fresh.proved or not left:
                    raise

    async def _run(self, known: _Node, connection: PinnedConnection, exchange: Exchange[T]) -> T:
        try:
            headers = sign_request(
                self._key,
                exchange.method,
                exchange.target,
                peer=connection.node,
                now=self._clock.now(),
                nonce=self._random.token(NONCE_BYTES),
                range=exchange.range,
                body=exchange.body,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.watch)
                result: outcome.Outcome[T] = await trio.to_thread.run_sync(
                    outcome.capture, partial(connection.carry_out, exchange, headers), limiter=self._threads
                )
                connection.watched = False
                nursery.cancel_scope.cancel()
            await trio.lowlevel.checkpoint_if_cancelled()
            return result.unwrap()
        finally:
            if self._closed:
                connection.close()
            else:
                known.keep(connection)

    def _sweep(self) -> None:
        before = trio.current_time() - IDLE_SECONDS
        for name, known in list(self._nodes.items()):
            known.close_idle(before)
            if known.unused:
                del self._nodes[name]


class _Node:
    """What is kept of one node: whose turn it is, and connections between requests, the last used at the end."""

    def __init__(self) -> None:
        self.turns = trio.CapacityLimiter(PER_NODE)
        self._idle: list[tuple[float, PinnedConnection]] = []

    @property
    def unused(self) -> bool:
        statistics = self.turns.statistics()
        return not self._idle and not statistics.borrowed_tokens and not statistics.tasks_waiting

    def take(self) -> PinnedConnection | None:
        while self._idle:
            _, connection = self._idle.pop()
            if connection.quiet():
                return connection
            connection.close()
        return None

    def keep(self, connection: PinnedConnection) -> None:
        if connection.reusable and len(self._idle) < PER_NODE:
            self._idle.append((trio.current_time(), connection))
        else:
            connection.close()

    def close_idle(self, before: float) -> None:
        for since, connection in self._idle:
            if since < before:
                connection.close()
        self._idle = [entry for entry in self._idle if entry[0] >= before]


def _whole(answer: IO[bytes]) -> bytes:
    return answer.read()
