"""The cluster's API server, asked over the official client: JSON in, JSON out, and errors in the cluster's own words.

All of it blocks: call it from threads. Its models are left alone, for what the server says of a pod is read here in a
few places, and to parse all of it takes longer than to transmit it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import kubernetes.client as official  # type: ignore[import-untyped]
import urllib3
import yaml  # type: ignore[import-untyped]  # by which the client reads kubeconfigs
from kubernetes.config import (  # type: ignore[import-untyped]
    ConfigException,
    load_incluster_config,
    load_kube_config,
)

from catalog.error import BadInput, ComityError, Conflict, Denied, NotFound, Unreachable, VerificationFailed, shown
from node.execute.kubernetes.answer import Event, Said, decode, read

Value = dict[str, Any]
"""An object of Kubernetes, as JSON has it."""

ANSWER_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 5.0
QUOTA: Final = "exceeded quota"
_SAID: Final = 300
_READ: Final = 4096
_READY: Final = "/readyz"
_READY_MOST: Final = 1024
_MOST_LINE: Final = 8 << 20
_MOST_ANSWER: Final = 64 << 20
_PART: Final = 64 << 10
_CONNECTIONS: Final = 32


class TooOldError(Unreachable):
    """What was seen last is forgotten there («410 Gone»): list again."""


class Api:
    """An API server, and who this node is to it."""

    def __init__(self, settings: official.Configuration) -> None:
        """Use :func:`connect`."""
        settings.retries = False
        settings.connection_pool_maxsize = _CONNECTIONS
        self.settings = settings
        self._client = official.ApiClient(settings)

    @property
    def host(self) -> str:
        """Its address."""
        return str(self.settings.host)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, path: str, **query: str | int) -> Value:
        """What lies at ``path``.

        Raises:
            NotFound, Denied, Unreachable: as :meth:`ask`.
        """
        return self.ask("GET", path, query=query)

    def create(self, path: str, value: Mapping[str, object]) -> Value:
        """Put ``value`` into the collection at ``path``.

        Raises:
            Conflict: it is there. Denied, Unreachable: as :meth:`ask`.
        """
        return self.ask("POST", path, value)

    def delete(self, path: str, propagation: str = "Background") -> None:
        """Delete what lies at ``path``, and what belongs to it; nothing if nothing is there.

        Raises:
            Denied, Unreachable: as :meth:`ask`.
        """
        try:
            self.ask("DELETE", path, {"propagationPolicy": propagation})
        except NotFound:
            return

    def apply(self, path: str, value: Mapping[str, object], manager: str, *, dry: bool = False) -> Value:
        """Let the server make what lies at ``path`` as ``value`` says, in all that ``manager`` says there.

        Raises:
            Conflict: somebody else says otherwise. Denied, Unreachable: as :meth:`ask`.
        """
        query: dict[str, str | int] = {"fieldManager": manager, "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry else {}
        return self.ask("PATCH", path, value, query, "application/apply-patch+yaml")

    def ask(
        self,
        verb: str,
        path: str,
        body: Mapping[str, object] | Sequence[object] | None = None,
        query: Mapping[str, str | int] | None = None,
        kind: str = "application/json",
    ) -> Value:
        """One request and its answer.

        A server that has just started has read neither accounts nor roles, and denies everybody everything.

        Raises:
            NotFound: nothing lies there. Conflict: something does already.
            Denied: this account may not, or is not known.
            BadInput: the server does not take it as it is.
            Unreachable: it does not answer, or cannot now.
            VerificationFailed: what answers is no API server.
        """

        def asked() -> Value:
            return _object(self._read(_MOST_ANSWER, verb, path, body, query or {}, kind), self.host)

        try:
            return asked()
        except Denied as error:
            self._check_ready(error)
        return asked()  # it may have been the last thing that was denied before it was ready

    def watch(self, path: str, since: str, seconds: int, **query: str | int) -> Watching:
        """What happens in the collection at ``path`` after the version ``since``, for ``seconds`` at most.

        Raises:
            TooOldError: the server does not know that version any more.
            Denied, Unreachable: as :meth:`ask`.
        """
        asked = {**query, "watch": "true", "resourceVersion": since, "timeoutSeconds": seconds}
        asked["allowWatchBookmarks"] = "true"

        def begun() -> Watching:
            with _told(self.host, "WATCH", path):
                timeouts = (CONNECT_SECONDS, seconds + ANSWER_SECONDS)
                return Watching(self._request("GET", path, None, asked, "application/json", timeouts), self.host)

        try:
            return begun()
        except Denied as error:
            self._check_ready(error)
        return begun()

    def _check_ready(self, denial: Denied) -> None:
        """Whether what was denied is to be believed.

        Raises:
            Unreachable: the server is not ready, or denies that too.
        """
        try:
            self._read(_READY_MOST, "GET", _READY)
        except ComityError as error:
            raise Unreachable(f"{denial}; but its API server is not ready, as when it has just started") from error

    def _read(
        self,
        most: int,
        verb: str,
        path: str,
        body: Mapping[str, object] | Sequence[object] | None = None,
        query: Mapping[str, str | int] | None = None,
        kind: str = "application/json",
    ) -> bytes:
        with _told(self.host, verb, path):
            answer = self._request(verb, path, body, query or {}, kind, (CONNECT_SECONDS, ANSWER_SECONDS))
            try:
                return answer.read(most, decode_content=False)
            finally:
                answer.release_conn()

    def _request(
        self,
        verb: str,
        path: str,
        body: Mapping[str, object] | Sequence[object] | None,
        query: Mapping[str, str | int],
        kind: str,
        seconds: tuple[float, float],
    ) -> urllib3.HTTPResponse:
        answer: urllib3.HTTPResponse = self._client.call_api(
            path,
            verb,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
            _return_http_data_only=True,
            _preload_content=False,
            _request_timeout=seconds,
        )
        return answer


class Watching:
    """A watch that goes on."""

    def __init__(self, answer: urllib3.HTTPResponse, host: str) -> None:
        """Use :meth:`Api.watch`."""
        self._answer = answer
        self._host = host
        self._stopped = False

    def events(self) -> Iterator[Event]:
        """What happens, until it breaks, ends, or is stopped by another thread.

        Raises:
            TooOldError: the server forgot what was to be watched.
            VerificationFailed: it says what no watch does. Denied, Unreachable: as :meth:`Api.ask`.
        """
        try:
            for line in _lines(self._answer):
                event = read(Event, _object(line, self._host))
                if event.type == "ERROR":
                    _raise_error(event.object, self._host)
                yield event
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            if not self._stopped:  # a closed file is a ValueError to whoever reads it
                raise _away(self._host, error) from error
        finally:
            self._answer.close()

    def stop(self) -> None:
        """End it, though a thread reads it."""
        self._stopped = True
        connection = self._answer.connection
        line = getattr(connection, "sock", None)
        if line is not None:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


def connect(config: Path | None) -> Api:
    """The API server that the kubeconfig ``config`` names; without one, that of the cluster that this node runs in.

    Raises:
        BadInput: there is none, or it is malformed.
    """
    settings = official.Configuration()
    try:
        if config is None:
            load_incluster_config(client_configuration=settings)
        else:
            load_kube_config(str(config), client_configuration=settings)
    except (ConfigException, OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        told = f"{config} is no kubeconfig that can be used" if config else "this node runs in no cluster"
        raise BadInput(f"{told} ({type(error).__name__})") from error
    return Api(settings)


class _told:  # noqa: N801 - read as a phrase: with _told(…)
    """The errors of the client in a block, as ours."""

    def __init__(self, host: str, verb: str, path: str) -> None:
        self._host = host
        self._what = f"{verb} {path}"

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, official.ApiException) and not error.status:
            raise _away(self._host, error) from error  # of TLS
        if isinstance(error, official.ApiException):
            raise refusal(int(error.status or 0), error.body, self._host, self._what) from error
        if isinstance(error, urllib3.exceptions.HTTPError | OSError):
            raise _away(self._host, error) from error


def _away(host: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"the cluster's API server at {host} does not answer ({type(error).__name__}):"
        " see whether it runs and is reached from here"
    )


def refusal(status: int, body: object, host: str, what: str) -> ComityError:
    """What an API server means that refuses ``what`` with ``status``, and whatever it is that ``body`` says."""
    return _refused(status, _message(body), host, what)


def _refused(status: int, said: str, host: str, what: str) -> ComityError:
    told = f"the cluster says «{shown(said, _SAID)}»" if said else f"the cluster refused {what} with {status}"
    if status == 404:
        return NotFound(told)
    if status == 409:
        return Conflict(told)
    if status == 410:
        return TooOldError(told)
    if status == 403 and QUOTA in said:
        return Unreachable(f"{told}: wait until other steps have ended, or raise the quota")
    if status == 403:
        return Denied(f"{told}: give this node's account the rights that «comity site deploy --show» lists")
    if status == 401:
        return Denied(f"the cluster at {host} does not know this node: run «comity site deploy» for a new token")
    if status == 429 or status >= 500:
        return Unreachable(f"{told}: the API server at {host} cannot answer now")
    return BadInput(told)


def _raise_error(status: Value, host: str) -> None:
    told = read(Said, status)
    raise _refused(told.code, told.message[:_READ], host, "a watch")


def _message(body: object) -> str:
    """What a refusal says, whose body may be anything.

    An API server's are JSON. Other text is not shown: whoever answers in its place may repeat the node's token in it.
    """
    if not isinstance(body, str | bytes):
        return ""
    try:
        return read(Said, decode(body)).message[:_READ]
    except VerificationFailed:
        return ""


def _object(data: bytes, host: str) -> Value:
    try:
        found = decode(data)
    except VerificationFailed as error:
        raise VerificationFailed(f"what answers at {host} is no API server: {error}") from error
    if not isinstance(found, dict):
        raise VerificationFailed(f"what answers at {host} is no API server: it sent no object")
    return found


def _lines(answer: urllib3.HTTPResponse) -> Iterator[bytes]:
    """The lines of an answer that goes on."""
    begun = b""
    for part in answer.stream(_PART, decode_content=False):
        *whole, begun = (begun + part).split(b"\n")
        if len(begun) > _MOST_LINE:
            raise VerificationFailed("the API server sends a line without end")
        yield from (line for line in whole if line)
