"""One connection to the bulk server: HTTP/1.1 requests in, verified, and their answers out.

h11 reads and writes HTTP; what is here bounds it. Whatever is not answered, be it unsigned, malformed, replayed,
forbidden or unknown, gets the same bytes, and not before the same time has passed.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import h11
import trio

from catalog.error import ComityError, VerificationFailed
from catalog.httpsig import digest_of, kept_request, parse_range, split_target, verify_request
from catalog.key import short
from catalog.nonce import Nonces
from node.network.blob import PIECE, Answer, Blob, BulkRequest
from node.network.bulkhead import contain, log
from node.ports import Clock

REFUSAL: Final = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
"""All that anybody hears who is not answered."""

REFUSAL_SECONDS: Final = 0.005
"""The least time from a request's arrival to its refusal; looking up what is forbidden takes no longer than that."""

HEAD_SECONDS: Final = 30.0
"""For a request's head to arrive in full, counted from the answer before it: also how long a connection may idle."""

BODY_SECONDS: Final = 10.0
"""For a request's body to arrive in full."""

PIECE_SECONDS: Final = 30.0
"""For the asker to take one piece of 256 KiB."""

MAX_BODY: Final = 1 << 16
"""Bytes in a request's body, 64 KiB."""

MAX_HEAD: Final = 1 << 14
"""Bytes in a request's head, 16 KiB; h11 bounds what is incomplete, so one read more may pass."""

_RECEIVE: Final = 1 << 12


class GoneAway(Exception):
    """The other end closed, broke off, or took too long: there is nobody to tell."""


@dataclass(frozen=True, slots=True)
class Service:
    """What every connection needs: whose server this is, and who answers."""

    did: str
    clock: Clock
    nonces: Nonces
    answer: Answer


class Visit:
    """How far a connection has come: being answered now, ever answered, and since when it has not been (trio time).

    Cancelling ``scope`` ends it.
    """

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.busy = False
        self.served = False
        self.since = trio.current_time()


class BulkConnection:
    """Serves one connection until it ends, and keeps ``visit`` up to date."""

    def __init__(self, stream: trio.abc.Stream, service: Service, visit: Visit) -> None:
        self._stream = stream
        self._service = service
        self._visit = visit
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._answering = False

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
                blob = await self._service.answer(request)
                if blob is not None:
                    self._visit.served = True
                    await self._deliver(request, blob)
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
        if method not in {"GET", "POST"} or (method == "GET" and body):
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
        pending = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
        if end != first:
            async with aclosing(blob.read(first, end)) as pieces:
                async for piece in pieces:
                    framed = self._http.send_with_data_passthrough(h11.Data(data=piece)) or []
                    if pending or len(framed) > 1:
                        framed = [pending + b"".join(framed)]
                        pending = b""
                    for data in framed:
                        await self._send(data)
        await self._send(pending + (self._http.send(h11.EndOfMessage()) or b""))

    async def _send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), PIECE):
            with trio.move_on_after(PIECE_SECONDS) as slow:
                try:
                    await self._stream.send_all(view[start : start + PIECE])
                except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                    raise GoneAway from error
            if slow.cancelled_caught:
                raise GoneAway
