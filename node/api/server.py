"""The server of the local interface: HTTP on a loopback address for the people who use this machine.

The token in the site's folder admits to the transport only. What needs a person is signed by the person's own key
(RFC 9421, ``catalog/httpsig.py``). Other web pages in a browser on this machine get nothing: the ``Host`` must be
a loopback name (DNS rebinding), and no answer carries a CORS header.
"""

from __future__ import annotations

import errno
import hmac
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import wrap_app
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from catalog.dagcbor import to_json
from catalog.error import (
    BadInput,
    ComityError,
    Conflict,
    Denied,
    Infeasible,
    NotFound,
    Unreachable,
    VerificationFailed,
)
from catalog.nonce import Nonces
from node.api.endpoint import Endpoint, TooLarge, Unsigned, error_response
from node.api.openapi import openapi
from node.api.operation import OPERATIONS
from node.api.service import Service
from node.config import Address

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

log = logging.getLogger("comity.api")

MOST_CONNECTIONS: Final = 64
"""Connections open at once; one more waits for none, it is ended."""

IDLE_SECONDS: Final = 60

_STATUS: Final[dict[type[ComityError], int]] = {
    BadInput: 400,
    Unsigned: 401,
    TooLarge: 413,
    Denied: 403,
    NotFound: 404,
    Conflict: 409,
    VerificationFailed: 422,
    Infeasible: 422,
    Unreachable: 503,
}


class Connection(TCPServer):
    """One connection, over as soon as its client has closed it.

    hypercorn waits for its idle timer first, so that a minute's worth of commands would fill the room there is.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


async def serve_api(
    service: Service,
    address: Address,
    token: str,
    node_did: str,
    *,
    version: str = "0",
    task_status: TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; ``task_status`` gets the address once connections are accepted (port 0: any free one).

    Args:
        service: what answers.
        address: a loopback address.
        token: what ``Authorization: Bearer`` must carry.
        node_did: the node's key, for which persons sign their requests.
        version: the node's, for the OpenAPI document.
        task_status: of ``nursery.start``.

    Raises:
        Conflict: the port is in use.
        BadInput: not a loopback address, or none of this machine.
    """
    if not address.loopback:
        raise BadInput(f"the local interface must be on a loopback address, not {address.host}; set [api] host")
    config = _config()
    framework = application(service, token, node_did, version)
    app = wrap_app(framework, config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # two spellings of ASGI
    context = WorkerContext(None)
    open_streams: set[trio.SocketStream] = set()

    async def welcome(stream: trio.SocketStream) -> None:
        if len(open_streams) >= MOST_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        open_streams.add(stream)
        try:
            # hypercorn's own type says TLS; without it the stream is a socket's, as in its own worker.
            await Connection(app, config, context, ConnectionState({}), stream)  # type: ignore[arg-type]
        finally:
            open_streams.discard(stream)

    listeners = await _listen(address)
    bound: int = listeners[0].socket.getsockname()[1]
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, welcome, listeners)
            task_status.started(Address(address.host, bound))
            try:
                await trio.sleep_forever()
            finally:
                # hypercorn shields what it sends from cancellation: a client that stopped reading would hold the
                # node for ever. Closing the socket under it ends that.
                for stream in open_streams:
                    stream.socket.close()
    finally:
        for listener in listeners:
            listener.socket.close()


def application(service: Service, token: str, node_did: str, version: str = "0") -> ASGIApp:
    """The ASGI application: routes from the table, behind the token and the check of the Host."""
    # Whoever has the token can make any number of keys, so no key has a bound of its own.
    nonces = Nonces(_now, lambda _did: False)
    document = to_json(openapi(version))

    async def describe(_request: Request) -> Response:
        return Response(document, media_type="application/json")

    routes = [
        Route(each.path, Endpoint(each, service, node_did, nonces, _now), methods=[each.method]) for each in OPERATIONS
    ]
    return Starlette(
        routes=[Route("/openapi.json", describe, methods=["GET"]), *_merged(routes)],
        middleware=[Middleware(Gate, token=token)],
        exception_handlers={HTTPException: _on_http, ComityError: _on_error, Exception: _on_surprise},
    )


class Gate:
    """Lets through what is addressed to this machine by a loopback name and carries the token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            # Neither websockets nor lifespan events have a place here.
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        refusal = self._refusal(scope)
        await (refusal(scope, receive, send) if refusal else self._app(scope, receive, send))

    def _refusal(self, scope: Scope) -> Response | None:
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not _is_loopback(hosts[0].decode("latin-1")):
            return error_response(421, Denied("this is a local interface; ask for it as http://127.0.0.1:PORT"))
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        admitted = len(given) == 1 and hmac.compare_digest(given[0], self._wanted)
        if admitted or scope["path"] == "/openapi.json":
            return None
        return error_response(401, Denied("the token is missing or wrong; it is in the site's file api.token"))


def _merged(routes: Sequence[Route]) -> list[Route]:
    """Routes in the order in which they must be tried: fixed paths before those with parameters."""
    return sorted(routes, key=lambda route: "{" in route.path)


def _is_loopback(host: str) -> bool:
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name, port = host, "0"
    return name in ("127.0.0.1", "localhost", "[::1]") and port.isascii() and port.isdigit()


async def _on_http(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    told = BadInput("this path is asked with another method") if status == 405 else NotFound("there is no such path")
    return error_response(status, told)


async def _on_error(_request: Request, error: Exception) -> Response:
    kind = type(error)
    status = next((_STATUS[each] for each in kind.__mro__ if each in _STATUS), 500)
    return error_response(status, error if isinstance(error, ComityError) else ComityError(str(error)))


async def _on_surprise(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(500, ComityError("the node failed at this; its log says why, please report it"))


def _config() -> Config:
    config = Config()
    # Failures are logged above, once; what was asked is not logged: queries name data.
    config.accesslog = None
    config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_SECONDS
    return config


async def _listen(address: Address) -> Sequence[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"port {address.port} on {address.host} is in use; stop what uses it, or set another under [api]"
            raise Conflict(told) from error
        told = f"cannot listen on {address.host} port {address.port}: {error.strerror}; set another under [api]"
        raise BadInput(told) from error


def _now() -> int:
    return time.time_ns() // 1_000_000
