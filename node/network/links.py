"""Links: the connections with other nodes, opened when needed and opened again when they broke."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.swarm import Swarm
from libp2p.tools.anyio_service.exceptions import ServiceException
from multiaddr import Multiaddr  # type: ignore[import-untyped]

from catalog.error import ComityError, Unreachable, shown
from catalog.key import short
from node.network.bulkhead import log
from node.network.peer import did_of_peer, peer_id_of

DIAL_SECONDS: Final = 10
"""How long one address may take to give a connection, handshake included."""

LOST: Final = (
    BaseLibp2pError,
    ServiceException,
    OSError,
    ValueError,
    RuntimeError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What libp2p raises for a peer that is away, went away or misbehaves.

``RuntimeError`` is its ``MplexStream.close``, ``ServiceException`` a host that is being restarted.
"""

_jitter: Final = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Healing:
    """How often connections are looked after, and the waits between tries that fail. Seconds.

    A wait doubles from ``least`` to ``most``, each time shortened by up to a half at random.
    """

    every: float = 1.0
    least: float = 0.5
    most: float = 30.0


@dataclass(slots=True)
class _Retry:
    """When a node that is away is tried next, on trio's clock, and how long to wait after that."""

    due: float
    wait: float


class Links:
    """The connections of one running libp2p host."""

    def __init__(self, did: str, swarm: Swarm, admits: Callable[[str], bool]) -> None:
        self._did = did
        self._swarm = swarm
        self._admits = admits
        self._dialling: defaultdict[str, trio.Lock] = defaultdict(trio.Lock)
        self._away: dict[str, _Retry] = {}

    def linked(self, node: str) -> bool:
        """Whether there is a connection with ``node``, whoever opened it."""
        return any(not connection.is_closed for connection in self._swarm.get_connections(peer_id_of(node)))

    def connected(self) -> frozenset[str]:
        """The nodes that there is a connection with."""
        return frozenset(filter(self.linked, map(did_of_peer, list(self._swarm.connections))))

    async def connect(self, node: str, addresses: Sequence[str]) -> None:
        """See to a connection with ``node``, trying ``addresses`` (multiaddrs) one by one if there is none.

        An empty address is that of a node which only dials out: it is come to over its lines.

        Raises:
            Unreachable: no address led to that node, or it refused us.
        """
        failure = "it has no known address"
        if self.linked(node):
            return
        async with self._dialling[node]:
            for address in addresses:
                if self.linked(node):
                    return
                with trio.move_on_after(DIAL_SECONDS) as patience:
                    try:
                        where = address or f"/p2p/{peer_id_of(node)}"
                        await self._swarm.dial_addr(Multiaddr(where), peer_id_of(node))
                    except LOST as error:
                        failure = f"{address}: {cause(error)}" if address else cause(error)
                    else:
                        return
                if patience.cancelled_caught:
                    failure = f"{address or 'over a line'}: nothing within {DIAL_SECONDS} s"
            if self.linked(node):
                return
        raise Unreachable(f"no connection with the node {short(node)} ({failure}); see whether it runs and admits us")

    async def heal(self, known: Callable[[], Mapping[str, Sequence[str]]], healing: Healing) -> None:
        """Until cancelled: keep a connection with every node of ``known``, and none with whom is not admitted."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._expel()
                wanted = {node: tuple(where) for node, where in known().items() if where and self._admits(node)}
                wanted.pop(self._did, None)
                for node in self._away.keys() - wanted.keys():
                    del self._away[node]
                for node, where in wanted.items():
                    if self.linked(node):
                        self._away.pop(node, None)
                    elif self._is_due(node, healing):
                        nursery.start_soon(self._try, node, where)
                await trio.sleep(healing.every)

    def _is_due(self, node: str, healing: Healing) -> bool:
        now = trio.current_time()
        # Of two nodes that miss each other one dials first: if both did, there would be two connections.
        head_start = 0.0 if self._did > node else 2 * healing.every
        retry = self._away.setdefault(node, _Retry(now + head_start, healing.least))
        if now < retry.due or self._dialling[node].locked():
            return False
        retry.due = now + retry.wait * _jitter.uniform(0.5, 1.0)
        retry.wait = min(2 * retry.wait, healing.most)
        return True

    async def _try(self, node: str, addresses: Sequence[str]) -> None:
        try:
            await self.connect(node, addresses)
        except Unreachable as error:
            log.debug("%s", error)

    async def _expel(self) -> None:
        for node in self.connected():
            if not self._admits(node):
                log.info("closing the connections with %s, which is not admitted any more", node)
                await self._swarm.close_peer(peer_id_of(node))


def cause(error: BaseException) -> str:
    """What an error of libp2p was about, from the innermost of its causes, in one short line."""
    while error.__cause__ is not None or isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error
    if isinstance(error, ComityError):
        return shown(str(error), 300)
    if isinstance(error, OSError):
        return str(error).rpartition(": ")[2][:100].lower() or type(error).__name__
    return f"{type(error).__name__} {str(error)[:100]}".strip()
