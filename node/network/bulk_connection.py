"""One connection to the bulk server: HTTP/1.1 requests in, verified, and their answers out.

h11 reads and writes HTTP; what is here bounds it. Whatever is not answered, be it unsigned, malformed, replayed,
forbidden or unknown, gets the same bytes, and not before the same time has passed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import h11
import outcome
import trio

from catalog.error import ComityError, NotFound, VerificationFailed
from catalog.httpsig import digest_of, kept_request, parse_range, split_target, verify_request
from catalog.key import short
from catalog.nonce import Nonces
from node.network.blob import Answer, Blob, BulkRequest, Upgrade
from node.network.bulkhead import contain, log
from node.network.fair import Turns
from node.network.tls_stream import TlsStream
from node.ports import Clock

REFUSAL: Final = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
"""All that anybody hears who is not answered."""

REFUSAL_SECONDS: Final = 0.005
"""The least time from a request's arrival to its refusal; looking up what is forbidden takes no longer than that."""

HEAD_SECONDS: Final = 30.0
"""For a request's head to arrive in full, counted from the answer before it: also how long a connection may idle."""

BODY_SECONDS: Final = 10.0
"""For a request's body to arrive in full."""

LEAST: Final = 1 << 18
PIECE_SECONDS: Final = 30.0
"""For the asker to take 256 KiB."""

STANDS_SECONDS: Final = 1.0
"""How often it is asked whether what is sent may be sent still."""

SMALL: Final = 1 << 18
"""An answer of no more bytes is sent by the event loop, a larger one by a worker thread."""

MOST_OF_SITE: Final = 64
"""Connections of one site that are answered at once, a quarter of all; a node of ours has four to another."""

OF_SITE: Final = 8
"""Large answers to one site at once; what comes beyond waits."""

TURN: Final = 1 << 20
"""Bytes that are made ready in one turn."""

MAX_BODY: Final = 1 << 16
"""Bytes in a request's body, 64 KiB."""

MAX_HEAD: Final = 1 << 14
"""Bytes in a request's head, 16 KiB; h11 bounds what is incomplete, so one read more may pass."""

_RECEIVE: Final = 1 << 12


class GoneAway(Exception):
    """The other end closed, broke off, or took too long: there is nobody to tell."""


@dataclass(frozen=True, slots=True)
class Service:
    """What every connection needs: whose server this is, who answers, and whose turn it is.

    ``site_of`` gives the site of a node's key; strangers share one turn.
    """

    did: str
    clock: Clock
    nonces: Nonces
    answer: Answer
    turns: Turns
    site_of: Callable[[str], str | None]
    threads: trio.CapacityLimiter
    senders: dict[str, trio.CapacityLimiter]
    answering: Counter[str]

    @contextmanager
    def counted(self, asker: str) -> Iterator[None]:
        """Count a request that is answered for the site of ``asker``.

        Raises:
            NotFound: as many as it may are being answered.
        """
        site = self.site_of(asker) or ""
        if self.answering[site] >= MOST_OF_SITE:
            raise NotFound("as many requests of one site are answered as it may have at once")
        self.answering[site] += 1
        try:
            yield
        finally:
            self.answering[site] -= 1

    def sending(self, asker: str) -> trio.CapacityLimiter:
        """The bound on large answers to the site of ``asker`` at once: slow readers take no more threads than that."""
        return self.senders.setdefault(self.site_of(asker) or "", trio.CapacityLimiter(OF_SITE))


class Visit:
    """How far a connection has come, and from where: being answered now, ever answered, since when it has not been
    (trio time), and whether it has left HTTP.

    Cancelling ``scope`` ends it.
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.scope = trio.CancelScope()
        self.busy = False
        self.served = False
        self.upgraded = False
        self.since = trio.current_time()


@dataclass(slots=True)
class _Ready:
    """Pieces that are sent together."""

    pieces: list[bytes]
    size: int

    def __len__(self) -> int:
        return self.size


class BulkConnection:
    """Serves one connection until it ends, and keeps ``visit`` up to date."""

    def __init__(self, stream: TlsStream, service: Service, visit: Visit) -> None:
        self._stream = stream
        self._service = service
        self._visit = visit
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._answering = False
        self._watched = False

    async def serve(self) -> None:
        """Answer requests one after the other; returns when the connection is at its end, and never raises."""
        ended_well = await contain("a bulk connection", self._service.did, self._exchanges, ours=True)
        if not ended_well and not self._answering:
            await trio.sleep(REFUSAL_SECONDS)
            await self._last_words()

    async def _exchanges(self) -> None:
        try:
            while await self._exchange():
                self._http.start_next_cycle()
        except GoneAway:
            return

    async def _last_words(self) -> None:
        try:
            await self._send(REFUSAL)
        except GoneAway:
            return

    async def _exchange(self) -> bool:
        self._answering = False
        try:
            head = await self._head()
            if head is None:
                return False
            arrived = trio.current_time()
            body = await self._body()
        except h11.RemoteProtocolError as error:
            log.debug("a malformed request was refused: %s", error)
            await trio.sleep(REFUSAL_SECONDS)
            await self._last_words()
            return False
        try:
            request = self._verify(head, body)
            self._visit.busy = True
            try:
                with self._service.counted(request.asker):
                    blob = await self._service.answer(request)
                    if blob is not None and not isinstance(blob, Upgrade):
                        self._visit.served = True
                        await self._deliver(request, blob)
                if isinstance(blob, Upgrade):
                    await self._upgrade(head, blob)
                    return False
            finally:
                self._visit.busy = False
                self._visit.since = trio.current_time()
        except ComityError as error:
            if self._answering:
                raise
            log.debug("a request was refused: %s", error)
            blob = None
        if blob is None:
            await trio.sleep_until(arrived + REFUSAL_SECONDS)
            self._http.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
            self._http.send(h11.EndOfMessage())
            await self._send(REFUSAL)
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE

    async def _head(self) -> h11.Request | None:
        with trio.move_on_after(HEAD_SECONDS):
            event = await self._event()
            if isinstance(event, h11.Request):
                if event.http_version != b"1.1":
                    raise h11.RemoteProtocolError("only HTTP/1.1 is spoken here")
                return event
            return None
        raise GoneAway

    async def _body(self) -> bytes:
        body = bytearray()
        with trio.move_on_after(BODY_SECONDS):
            while isinstance(event := await self._event(), h11.Data):
                body += event.data
                if len(body) > MAX_BODY:
                    raise h11.RemoteProtocolError(f"a body is larger than {MAX_BODY:,} bytes")
            return bytes(body)
        raise GoneAway

    async def _event(self) -> object:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                raise h11.RemoteProtocolError("«Expect» is not served here")
            try:
                received = await self._stream.receive_some(_RECEIVE)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise GoneAway from error
            self._http.receive_data(bytes(received))
        return event

    def _verify(self, head: h11.Request, body: bytes) -> BulkRequest:
        method, target = head.method.decode(), head.target.decode()
        headers = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        signed_by = verify_request(
            method,
            target,
            headers,
            body_digest=digest_of(body),
            peer=self._service.did,
            now=self._service.clock.now(),
        )
        self._service.nonces.take(signed_by)
        if method not in {"GET", "QUERY", "POST"} or (method == "GET" and body):
            raise VerificationFailed(f"{short(signed_by.did)} sent a {method} that is not served here")
        path, query = split_target(target)
        ranges = [parse_range(value) for name, value in headers if name == "range"]
        kept = kept_request(method, target, headers, body_digest=digest_of(body), peer=self._service.did)
        return BulkRequest(signed_by.did, method, path, query, ranges[0] if ranges else None, body, kept)

    async def _deliver(self, request: BulkRequest, blob: Blob) -> None:
        first, end = 0, blob.size
        status, headers = 200, [("content-type", "application/octet-stream")]
        if request.range is not None and blob.size is not None:
            first, end = request.range[0], min(request.range[1] + 1, blob.size)
            if first >= blob.size:
                first, end, status = 0, 0, 416
                headers.append(("content-range", f"bytes */{blob.size}"))
            else:
                status = 206
                headers.append(("content-range", f"bytes {first}-{end - 1}/{blob.size}"))
        headers.append(("transfer-encoding", "chunked") if end is None else ("content-length", str(end - first)))
        self._answering = True
        # The head travels with the first piece: a small answer is one packet.
        head = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
        if end is not None and end - first <= SMALL and blob.ready:
            body = b"".join(blob.read(first, end)) if end > first else b""
            body = (self._http.send(h11.Data(data=body)) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
            await self._send(head + body)
        else:
            await self._send_large(request.asker, head, blob.read(first, end), blob.stands)

    def _framed(self, ready: _Ready) -> Iterator[bytes]:
        """The pieces as HTTP frames them, uncopied: one chunk where there are chunks."""
        # h11 takes whatever has a length for the data, and gives it back where it belongs.
        framed: list[object] = [*(self._http.send_with_data_passthrough(h11.Data(data=ready)) or ())]  # type: ignore[arg-type]
        for each in framed:
            yield from (each.pieces if isinstance(each, _Ready) else [each] if isinstance(each, bytes) else [])

    async def _send_large(self, asker: str, head: bytes, pieces: Iterator[bytes], stands: Callable[[], bool]) -> None:
        """Read and send in a worker thread, in turn with other sites.

        It ends when the asker takes too little, or may not have it any more.
        """

        def parts() -> Iterator[bytes]:
            yield head
            while ready := self._ready(asker, pieces):
                yield from self._framed(ready)
            yield self._http.send(h11.EndOfMessage()) or b""

        async with self._service.sending(asker), trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, stands)
            try:
                sent: outcome.Outcome[None] = await trio.to_thread.run_sync(
                    outcome.capture, self._stream.send_from_thread, parts(), limiter=self._service.threads
                )
            finally:
                self._watched = False
            nursery.cancel_scope.cancel()
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            sent.unwrap()
        except trio.BrokenResourceError as error:
            raise GoneAway from error

    def _ready(self, asker: str, pieces: Iterator[bytes]) -> _Ready:
        """The next pieces, made ready when it is the turn of the asker's site; sending them holds up nobody else."""
        turns = self._service.turns
        ready = _Ready([], 0)
        turns.take(self._service.site_of(asker) or "")
        try:
            for piece in pieces:
                if piece:
                    ready.pieces.append(piece)
                    ready.size += len(piece)
                if ready.size >= TURN:
                    break
        finally:
            turns.give(ready.size)
        return ready

    async def _watch(self, stands: Callable[[], bool]) -> None:
        """Cut the connection under the thread when too little is taken, ``stands`` says no, or this is cancelled."""
        self._watched = True
        sent, until = self._stream.sent, trio.current_time() + PIECE_SECONDS
        try:
            while stands():
                await trio.sleep(min(STANDS_SECONDS, PIECE_SECONDS))
                if trio.current_time() >= until:
                    if self._stream.sent - sent < LEAST:
                        return
                    sent, until = self._stream.sent, trio.current_time() + PIECE_SECONDS
        except ComityError as error:
            log.debug("what was being sent is not to be any more: %s", error)
        finally:
            if self._watched:
                self._stream.cut()

    async def _upgrade(self, head: h11.Request, upgrade: Upgrade) -> None:
        wanted = [value for name, value in head.headers if name == b"upgrade"]
        if wanted != [upgrade.protocol.encode()] or self._http.trailing_data[0]:
            raise VerificationFailed(f"a request does not ask for «{upgrade.protocol}», or did not wait for the answer")
        headers = [("connection", "upgrade"), ("upgrade", upgrade.protocol)]
        switching = self._http.send(h11.InformationalResponse(status_code=101, headers=headers))
        self._answering = self._visit.served = self._visit.upgraded = True
        await self._send(switching or b"")
        await upgrade.run(self._stream)

    async def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), LEAST):
            with trio.move_on_after(PIECE_SECONDS) as slow:
                try:
                    await self._stream.send_all(view[start : start + LEAST])
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    raise GoneAway from error
            if slow.cancelled_caught:
                raise GoneAway
