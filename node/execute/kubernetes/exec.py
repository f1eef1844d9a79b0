"""A process started in a container of a pod, and its standard streams, over the API server's WebSocket.

Of the official client only its settings serve: it follows a redirect, with the node's token, and its reading keeps all
that ever came in memory.
Kubernetes puts a byte with the number of a stream before the data of each (subprotocol ``v4.channel.k8s.io``).
Blocking: for threads.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from socket import SHUT_RDWR
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

import certifi
import kubernetes.client as official  # type: ignore[import-untyped]
import msgspec
import websocket
from kubernetes.stream.ws_client import websocket_proxycare  # type: ignore[import-untyped]

from catalog.error import Unreachable, shown
from node.execute.kubernetes.api import Api, refusal

SILENT_SECONDS: Final = 60.0
_PROTOCOL: Final = "v4.channel.k8s.io"
_IN, _OUT, _ERRORS, _STATUS = range(4)
_CHUNK: Final = 1 << 17
_MOST_ERRORS: Final = 4096


class _Status(msgspec.Struct, frozen=True):
    """How a process ended, as the API server says last."""

    status: str
    message: str = ""


class Exec:
    """``command`` in ``container`` of ``pod``: written to, read from, and told how it ended. A context manager.

    Raises:
        Denied: this account may not. Unreachable: the API server or the machine does not answer, or it broke off.
    """

    def __init__(self, api: Api, namespace: str, pod: str, container: str, command: Sequence[str]) -> None:
        asked = [("container", container), *(("command", word) for word in command)]
        asked += [(stream, "true") for stream in ("stdin", "stdout", "stderr")]
        scheme, _, host = api.host.partition("://")
        address = f"{'wss' if scheme == 'https' else 'ws'}://{host}/api/v1/namespaces/{namespace}/pods/{pod}/exec"
        token = api.settings.get_api_key_with_prefix("authorization")
        self._what = f"«{command[-1][:40]}» in the pod {pod}"
        self._errors = b""
        self._status: _Status | None = None
        try:
            self._socket = _opened(api.settings, f"{address}?{urlencode(asked)}", token)
        except websocket.WebSocketBadStatusException as error:
            if error.status_code == HTTPStatus.FORBIDDEN:
                raise refusal(error.status_code, error.resp_body, api.host, "pods/exec") from error
            raise self._broken(error) from error
        except (websocket.WebSocketException, OSError, ValueError) as error:  # an odd header is a ValueError
            raise self._broken(error) from error

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, though a thread reads from it; the process may go on."""
        line = self._socket.sock
        if line is not None:
            with suppress(OSError):
                line.shutdown(SHUT_RDWR)
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def wait_long(self) -> None:
        """From now on, wait for what it writes as long as that takes."""
        self._socket.settimeout(None)

    def write(self, data: bytes) -> None:
        """Give ``data`` to its standard input.

        Raises:
            Unreachable: it broke off.
        """
        for at in range(0, len(data), _CHUNK):
            try:
                self._socket.send_binary(bytes([_IN]) + data[at : at + _CHUNK])
            except (websocket.WebSocketException, OSError) as error:
                raise self._broken(error) from error

    def read(self, _most: int = 0) -> bytes:
        """Some of its standard output; nothing once it has ended.

        Raises:
            Unreachable: it broke off.
        """
        while self._status is None:
            stream, data = self._frame()
            if stream == _OUT and data:
                return data
            if stream == _ERRORS:
                self._errors = (self._errors + data)[-_MOST_ERRORS:]
            if stream == _STATUS:
                self._status = self._ended(data)
        return b""

    def finish(self) -> None:
        """Wait for its end.

        Raises:
            Unreachable: it broke off, or failed; with its last words.
        """
        while self._status is None:
            self.read()
        if self._status.status != "Success":
            said = self._errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Unreachable(f"{self._what} failed: {shown(said or self._status.message)}")

    def _ended(self, data: bytes) -> _Status:
        try:
            return msgspec.json.decode(data, type=_Status)
        except (ValueError, RecursionError) as error:
            raise self._broken(error) from error

    def _frame(self) -> tuple[int, bytes]:
        try:
            code, data = self._socket.recv_data()
        except (websocket.WebSocketException, OSError) as error:
            raise self._broken(error) from error
        if code == websocket.ABNF.OPCODE_CLOSE or not data:
            raise self._broken(EOFError())
        return data[0], data[1:]

    def _broken(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self._what}, over the cluster's API server, broke off ({type(error).__name__})")


def _opened(settings: official.Configuration, address: str, token: str | None) -> websocket.WebSocket:
    """A connection to ``address`` and nowhere else: whoever is redirected to would be given the token too."""
    headers = [f"sec-websocket-protocol: {_PROTOCOL}", *([f"authorization: {token}"] if token else [])]
    options: dict[str, Any] = {"header": headers, "timeout": SILENT_SECONDS, "redirect_limit": 0}
    opened = websocket.WebSocket(sslopt=_tls(settings), skip_utf8_validation=False)
    opened.connect(address, **websocket_proxycare(options, settings, address, {}))  # type: ignore[no-untyped-call]
    return opened


def _tls(settings: official.Configuration) -> dict[str, Any]:
    """How the server shows who it is, and this node if it does so by a certificate."""
    given = {
        "certfile": settings.cert_file,
        "keyfile": settings.key_file,
        "server_hostname": settings.tls_server_name,
    }
    if settings.verify_ssl:
        given |= {"ca_certs": settings.ssl_ca_cert or certifi.where(), "check_hostname": settings.assert_hostname}
    required = ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE
    return {"cert_reqs": required} | {name: value for name, value in given.items() if value is not None}
