"""Dialling: a TCP connection to a node's door, straight or through the proxy that this machine must use."""

from __future__ import annotations

from typing import Final, Protocol
from urllib.parse import urlsplit

import trio

from catalog.error import BadInput, Unreachable
from catalog.key import short
from node.network.proxy import Proxy

CONNECT_SECONDS: Final = 10.0
"""For name look-up and TCP, and the proxy's answer if there is one."""

Endpoint = tuple[str, int]
"""A host and a port."""


class Dialer(Protocol):
    """Opens connections to nodes; what is at their other end proves itself afterwards, by TLS or Noise."""

    async def dial(self, node: str, address: Endpoint | None) -> trio.SocketStream:
        """A connection to the node with the key ``node``; ``address`` is none for one that only dials out.

        Raises:
            Unreachable: no connection. BadInput: the host is no name.
        """


class Direct:
    """Dials addresses, by ``proxy`` if one is set and meant for them."""

    def __init__(self, proxy: Proxy | None = None) -> None:
        self.proxy = proxy

    async def dial(self, node: str, address: Endpoint | None) -> trio.SocketStream:
        """As :class:`Dialer` says; a node without an address is unreachable here."""
        if address is None:
            raise Unreachable("it only dials out, and nothing here keeps lines yet; try again")
        host, port = address
        proxy = self.proxy if self.proxy is not None and self.proxy.serves(host, port) else None
        way = "" if proxy is None else f" through the proxy {proxy.name}"
        with trio.move_on_after(CONNECT_SECONDS):
            try:
                host.encode("idna")
                if proxy is not None:
                    return await proxy.connect(host, port)
                return await trio.open_tcp_stream(host, port)
            except UnicodeError as error:
                raise BadInput(f"«{host[:80]}» is not a name of a machine") from error
            except OSError as error:
                raise Unreachable(f"{short(node)} cannot be reached at {host} port {port}{way}: {error}") from error
        raise Unreachable(f"{short(node)} does not answer at {host} port {port}{way} within {CONNECT_SECONDS:.0f} s")


def https_endpoint(url_base: str) -> Endpoint | None:
    """Host and port of ``https://host:port``; none for the empty text of a node that only dials out.

    Raises:
        BadInput: it is something else.
    """
    if not url_base:
        return None
    try:
        parts = urlsplit(url_base)
        port = 443 if parts.port is None else parts.port
    except ValueError as error:
        raise BadInput(f"«{url_base[:80]}» is not an address; it should be https://host:port") from error
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme != "https" or not parts.hostname or not bare:
        raise BadInput(f"«{url_base[:80]}» is not an address; it should be https://host:port")
    return parts.hostname, port
