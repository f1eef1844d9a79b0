"""The HTTP proxy that connections out of an institution may have to go through: CONNECT (RFC 9110, 9.3.6)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass

import trio

from catalog.error import BadInput, Unreachable, shown

MOST_HEAD: Final = 8 << 10
"""Bytes of a proxy's answer."""

_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]{0,120}))?\r?\n")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``exceptions`` is the text of ``NO_PROXY``. What it is told to let us through is never shown."""

    host: str
    port: int
    exceptions: str = ""
    authorization: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The proxy as messages name it."""
        return f"{self.host}:{self.port}"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Proxy | None:
        """The proxy of ``https_proxy`` or ``HTTPS_PROXY``; none if neither is set.

        Raises:
            BadInput: it is not like ``http://host:port``; the message does not repeat it, for it may hold a password.
        """
        text = environment.get("https_proxy") or environment.get("HTTPS_PROXY")
        if not text:
            return None
        exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port or 80
        except ValueError:
            raise BadInput("HTTPS_PROXY cannot be read; it should be http://host:port") from None
        if parts.scheme != "http" or not parts.hostname:
            raise BadInput("HTTPS_PROXY names no HTTP proxy; it should be http://host:port")
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        return cls(parts.hostname, port, exceptions, authorization)

    def serves(self, host: str, port: int) -> bool:
        """Whether connections to ``host`` go through it: not those to this machine, nor the exceptions."""
        if host == "localhost" or host.startswith("127.") or host == "::1":
            return False
        return not proxy_bypass(f"{host}:{port}", {"no": self.exceptions})

    async def connect(self, host: str, port: int) -> trio.SocketStream:
        """A connection to ``host`` through the proxy.

        Raises:
            OSError: the proxy cannot be reached. Unreachable: it answers otherwise than with a connection.
        """
        stream = await trio.open_tcp_stream(self.host, self.port)
        try:
            there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            head = f"CONNECT {there} HTTP/1.1\r\nHost: {there}\r\n"
            if self.authorization:
                head += f"Proxy-Authorization: {self.authorization}\r\n"
            await stream.send_all(f"{head}\r\n".encode())
            self._check(await _head(stream), there)
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(stream)
            raise Unreachable(f"the proxy {self.name} broke off") from error
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    def _check(self, head: bytes, there: str) -> None:
        status = _STATUS.match(head)
        if status is None or not head.endswith(_END):
            raise Unreachable(f"{self.name}, which HTTPS_PROXY names, does not answer as an HTTP proxy does")
        if status[1] != b"200":
            said = shown(f"{status[1].decode()} {(status[2] or b'').decode('latin-1')}".strip(), 80)
            what = "its name and password in HTTPS_PROXY are missing or wrong" if status[1] == b"407" else said
            raise Unreachable(
                f"the proxy {self.name} gives no connection to {there} ({what}); ask who runs it to allow that address"
            )


async def _head(stream: trio.SocketStream) -> bytes:
    """The head of the answer and not one byte more: what follows is the other end's."""
    head = bytearray()
    while not head.endswith(_END) and len(head) < MOST_HEAD:
        octet = await stream.receive_some(1)
        if not octet:
            break
        head += octet
    return bytes(head)
