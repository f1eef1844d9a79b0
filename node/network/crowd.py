"""Who makes room when too many wait: not whoever came first, but somebody from where most of them came.

Without that one machine that opens connections quickly enough sends everybody else's away before they have spoken.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from typing import Final, Generic, TypeVar

import trio

T = TypeVar("T")

_NETWORK: Final = 64
"""Bits of an IPv6 address that are the network's: whoever has one has all the addresses in it."""


class Crowd(Generic[T]):
    """Those that wait, at most ``most`` of them, and the origin of each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._there: dict[T, str] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._there)

    def enter(self, who: T, origin: str) -> T | None:
        """Count one more; who has to go for it: of the origin that has most here, the one that came first."""
        self._there[who] = origin
        if len(self._there) <= self._most:
            return None
        counts = Counter(self._there.values())
        most = max(counts.values())
        leaver = next(each for each, of in self._there.items() if counts[of] == most)
        del self._there[leaver]
        return leaver

    def leave(self, who: T) -> None:
        """It waits no more; nothing if it did not."""
        self._there.pop(who, None)


def origin_of(stream: trio.SocketStream) -> str:
    """Where a connection comes from: an address, or a network of IPv6; empty if not known, as over a line."""
    try:
        address = ipaddress.ip_address(stream.socket.getpeername()[0].partition("%")[0])
    except (OSError, ValueError, IndexError):
        return ""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _NETWORK), strict=False))
