"""The client's end of the local interface: HTTP to one node, signed where a person is needed."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import httpx
from nacl.utils import random

from catalog.dagcbor import Value, from_json, to_json
from catalog.error import BadInput, ComityError, Denied, Unreachable, VerificationFailed
from catalog.httpsig import NONCE_BYTES, sign_request
from catalog.key import Signer
from node.api.operation import STATUS, WHO, Operation
from node.api.schema import ErrorView, SiteRows, StatusView
from node.config import Folder, read_config

A = TypeVar("A")

CONNECT_SECONDS: Final = 5.0
_LOOPBACK: Final = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}")
_ERRORS: Final[dict[str, type[ComityError]]] = {kind.__name__: kind for kind in ComityError.__subclasses__()}


class Connection:
    """One node's local interface, asked as ``person`` where an operation needs one. ``place`` names it to people."""

    def __init__(self, base: str, token: str, place: str, person: Signer | None) -> None:
        self.place = place
        self.person = person
        self._peer: str | None = None
        # Proxies of the environment are for other hosts: the token must not travel through one.
        self._http = httpx.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
            follow_redirects=False,
            verify=_trusted(base),
        )

    @classmethod
    def to(
        cls, site: str | Path | None, person: Signer | None, environment: Mapping[str, str] = os.environ
    ) -> Connection:
        """A connection to the node of a site folder, or to ``http://127.0.0.1:PORT`` with ``COMITY_TOKEN_FILE``.

        Without ``site``, ``COMITY_SITE`` says which.

        Raises:
            BadInput: none is named, or it is no loopback address.
            NotFound: the folder is no site.
            Unreachable: no node ever ran there.
        """
        where = site or environment.get("COMITY_SITE")
        if not where:
            raise BadInput("no site is named; give --site DIR, or set COMITY_SITE")
        if isinstance(where, str) and where.startswith(("http://", "https://")):
            file = environment.get("COMITY_TOKEN_FILE")
            if not file:
                raise BadInput(f"{where} needs a token; set COMITY_TOKEN_FILE to the path of the site's api.token")
            return cls(_loopback(where), _token(Path(file), where), where, person)
        folder = Folder(Path(where))
        config = read_config(folder)
        host = f"[{config.api.host}]" if ":" in config.api.host else config.api.host
        return cls(f"http://{host}:{config.api.port}", _token(folder.token, str(where)), str(where), person)

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def status(self) -> StatusView:
        """What the node is and how it fares; needs no person."""
        return self.ask(STATUS)

    def ask(self, operation: Operation[A], request: Value | None = None, **parameters: str) -> A:
        """Ask, and return the typed answer.

        Raises:
            ComityError: what the node answered, as its own class.
            BadInput: nobody to sign it, or larger than the operation takes.
            Unreachable: no node answers.
        """
        prepared = self._request(operation, request, parameters)
        try:
            answer = self._http.send(prepared)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if answer.status_code != httpx.codes.OK:
            raise _error(answer.content)
        if operation.answer is bytes:
            return answer.content  # type: ignore[return-value]  # A is bytes here
        return _read(operation.answer, answer.content)

    def stream(self, request: Value) -> Iterator[SiteRows]:
        """Ask who accessed a dataset, and yield the sites' answers as they arrive.

        Raises:
            ComityError: as for :meth:`ask`.
        """
        prepared = self._request(WHO, request, {})
        try:
            answer = self._http.send(prepared, stream=True)
            try:
                if answer.status_code != httpx.codes.OK:
                    raise _error(answer.read())
                for line in answer.iter_lines():
                    streamed = _read(WHO.answer, line.encode())
                    if streamed.error is not None:
                        raise _as_error(streamed.error)
                    if streamed.rows is not None:
                        yield streamed.rows
            finally:
                answer.close()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _request(
        self, operation: Operation[object], request: Value | None, parameters: Mapping[str, str]
    ) -> httpx.Request:
        body = b"" if request is None else to_json(request)
        if len(body) > operation.limit:
            raise BadInput(
                f"this is too large for the node: {len(body):,} bytes, at most {operation.limit:,} are taken"
            )
        path, query = operation.path, []
        for each in operation.parameters:
            value = parameters.get(each.name, each.default or "")
            if each.place == "path":
                path = path.replace(f"{{{each.name}}}", quote(value, safe=""))
            elif value:
                query.append(f"{each.name}={quote(value, safe='/')}")
        target = path + ("?" + "&".join(query) if query else "")
        headers = {"Content-Type": "application/json"} if body else {}
        if operation.person:
            headers |= self._signature(operation.method, target, body)
        patience = httpx.Timeout(operation.seconds, connect=CONNECT_SECONDS)
        return self._http.build_request(operation.method, target, content=body, headers=headers, timeout=patience)

    def _signature(self, method: str, target: str, body: bytes) -> dict[str, str]:
        if self.person is None:
            raise BadInput("this needs a person's signature; say as whom with --as PERSON, or set COMITY_PERSON")
        if self._peer is None:
            self._peer = self.status().node
        now = time.time_ns() // 1_000_000
        return sign_request(self.person, method, target, peer=self._peer, now=now, nonce=random(NONCE_BYTES), body=body)

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return _no_node(self.place)
        if isinstance(error, httpx.TimeoutException):
            return Unreachable(f"the node of {self.place} did not answer in time; see: comity site status")
        return Unreachable(f"the node of {self.place} ended the connection; see whether it still runs and ask again")


def _no_node(place: str) -> Unreachable:
    if "://" in place:
        return Unreachable(f"no node answers at {place}; check the address, or start the node there")
    return Unreachable(f"no node runs on {place}; start it with: comity site run {place}")


def _trusted(base: str) -> ssl.SSLContext | bool:
    """Whose certificates count: nobody's where there is no TLS, for to load all authorities costs 50 ms each time."""
    return base.startswith("https://") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _loopback(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise BadInput(f"«{text}» is no address; write http://127.0.0.1:PORT") from error
    if url.scheme != "http" or not _LOOPBACK.fullmatch(url.host):
        raise BadInput(f"«{text}» is not on this machine: a node's local interface is http://127.0.0.1:PORT")
    return str(url.copy_with(path="", query=None, fragment=None))


def _token(path: Path, place: str) -> str:
    try:
        with path.open("rb") as stream:
            token = stream.read(4096).strip()
    except FileNotFoundError as error:
        raise _no_node(place) from error
    except OSError as error:
        raise Denied(f"the token {path} cannot be read ({error.strerror}): this user may not use that node") from error
    if not token.isascii() or not token.decode("ascii").isprintable() or not token:
        raise BadInput(f"the token {path} is damaged; restart the node, which writes it anew")
    return token.decode("ascii")


def _read(kind: type[A], data: bytes) -> A:
    try:
        return from_json(kind, data)
    except BadInput as error:
        raise VerificationFailed(f"the node's answer cannot be read; is it of this version? ({error})") from error


def _error(data: bytes) -> ComityError:
    try:
        return _as_error(from_json(ErrorView, data))
    except BadInput:
        return ComityError("what answers there is no Comity node; check the address")


def _as_error(view: ErrorView) -> ComityError:
    return _ERRORS.get(view.kind, ComityError)(view.message)
