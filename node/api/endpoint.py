"""One operation as an ASGI endpoint: bounded body, the person's signature, typed arguments, the service, the answer.

It runs in one task from end to end, so that a service may stream answers out of a nursery of its own.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Final

import trio
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from catalog.cid import Cid
from catalog.dagcbor import Value, from_json, to_json
from catalog.error import BadInput, ComityError, Denied, VerificationFailed
from catalog.httpsig import SignedRequest, digest_of, kept_request, verify_request
from catalog.nonce import Nonces
from node.api.operation import MAX_WAIT, Operation, Parameter, Streamed
from node.api.schema import ErrorView, SiteRows
from node.api.service import Service

log = logging.getLogger("comity.api")

BODY_SECONDS: Final = 60.0
"""For a request's body to arrive."""

_SMALL: Final = 64 << 10
_JSON: Final = "application/json"
_LINES: Final = b"application/x-ndjson"


class Unsigned(Denied):
    """A request lacks a person's signature that counts."""


class TooLarge(BadInput):
    """A request's body exceeds what its operation takes."""


class Endpoint:
    """Answers one operation of the table from the service's method of the same name."""

    def __init__(
        self,
        operation: Operation[object],
        service: Service,
        node_did: str,
        nonces: Nonces,
        now: Callable[[], int],
    ) -> None:
        self._operation = operation
        self._method = getattr(service, operation.name)
        self._node_did = node_did
        self._nonces = nonces
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; errors are the application's to tell."""
        body = await self._body(scope, receive)
        arguments: list[object] = []
        if self._operation.person:
            person, signed = await self._person(scope, body)
            arguments += [person, signed] if self._operation.keeps else [person]
        arguments += self._parameters(scope)
        if self._operation.request is not None:
            arguments.append(await _decoded(self._operation.request, body))
        elif body:
            raise BadInput(f"«{self._operation.name}» takes no body")
        if self._operation.streams:
            await _stream(self._method(*arguments), send)
            return
        answer = await self._method(*arguments)
        raw = isinstance(answer, bytes)
        data = answer if isinstance(answer, bytes) else to_json(answer)
        await Response(data, media_type="application/octet-stream" if raw else _JSON)(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit, parts, size = self._operation.limit, [], 0
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or len(declared) > 12 or int(declared) > limit:
            raise TooLarge(f"this request is too large: at most {limit:,} bytes are taken")
        with trio.move_on_after(BODY_SECONDS) as slow:
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    raise BadInput("the request ended before its body did")
                size += len(message.get("body", b""))
                if size > limit:
                    raise TooLarge(f"this request is too large: at most {limit:,} bytes are taken")
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
        if slow.cancelled_caught:
            raise BadInput("the request's body did not arrive in time")
        return b"".join(parts)

    async def _person(self, scope: Scope, body: bytes) -> tuple[str, SignedRequest]:
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        if not any(name == "signature" for name, _ in headers):
            raise Unsigned("this needs a person's signature; say as whom with --as PERSON, or set COMITY_PERSON")
        digest = digest_of(body) if len(body) <= _SMALL else await trio.to_thread.run_sync(_digest, body)
        try:
            by = verify_request(
                scope["method"], target, headers, body_digest=digest, peer=self._node_did, now=self._now()
            )
            kept = kept_request(scope["method"], target, headers, body_digest=digest, peer=self._node_did)
            self._nonces.take(by)
        except VerificationFailed as error:
            log.warning("a request for «%s» was refused: %s", self._operation.name, error)
            raise Unsigned("the request's signature does not count here; sign anew, with the right time") from error
        return by.did, kept

    def _parameters(self, scope: Scope) -> list[object]:
        query = QueryParams(scope["query_string"]).multi_items()
        known = {each.name for each in self._operation.parameters if each.place == "query"}
        given = dict(query)
        if len(given) != len(query) or not known.issuperset(given):
            raise BadInput(
                f"«{self._operation.name}» takes each of these once: {', '.join(sorted(known)) or 'nothing'}"
            )
        return [_argument(each, {**given, **scope["path_params"]}) for each in self._operation.parameters]


def error_response(status: int, error: ComityError) -> Response:
    """An error as JSON, under the name of the public class that it is or extends."""
    return Response(to_json(_view(error)), status, media_type=_JSON)


def _view(error: ComityError) -> ErrorView:
    public = next(kind for kind in type(error).__mro__ if kind.__module__ == ComityError.__module__)
    return ErrorView(kind=public.__name__, message=" ".join(str(error).split()))


async def _stream(answers: object, send: Send) -> None:
    """Lines of JSON as answers arrive; an error after the first of them is the last line."""
    if not isinstance(answers, AsyncGenerator):
        raise TypeError("a streamed answer must be an asynchronous generator, which can be closed")
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", _LINES)]}
    started = False
    try:
        async for rows in answers:
            line = to_json(Streamed(rows=_rows(rows), error=None)) + b"\n"
            if not started:
                await send(start)
                started = True
            await send({"type": "http.response.body", "body": line, "more_body": True})
    except ComityError as error:
        if not started:
            raise
        line = to_json(Streamed(rows=None, error=_view(error))) + b"\n"
        await send({"type": "http.response.body", "body": line, "more_body": True})
    finally:
        await answers.aclose()
    if not started:
        await send(start)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _rows(value: object) -> SiteRows:
    if not isinstance(value, SiteRows):
        raise TypeError(f"a {type(value).__name__} came where rows of a site were due")
    return value


async def _decoded(kind: type[Value], body: bytes) -> Value:
    if len(body) <= _SMALL:
        return from_json(kind, body)
    return await trio.to_thread.run_sync(from_json, kind, body)


def _argument(parameter: Parameter, given: dict[str, str]) -> object:
    text = given.get(parameter.name, parameter.default)
    if text is None:
        raise BadInput(f"«{parameter.name}» is missing")
    if parameter.type is Cid:
        return Cid.parse(text)
    if parameter.type is str:
        return text
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_WAIT:
        raise BadInput(f"«{parameter.name}» must be a number from 0 to {MAX_WAIT:g}")
    return number


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
