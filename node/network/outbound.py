"""The lines of a node that only dials out: opened at every member that can be reached, and opened again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import trio

from catalog.error import ComityError
from node.network.bulkhead import contain, log
from node.network.dial import Endpoint
from node.network.line import LINE_PATH, LINE_PROTOCOL, MOST_OF_SITE, begun
from node.network.splice import pair, splice
from node.network.upgrade import Upgrades

IDLE: Final = 2
"""Lines kept idle at each member, so that one can be taken while another is opened."""

LOOK_SECONDS: Final = 0.25
"""How often it is seen which members there are."""

LEAST_WAIT: Final = 0.5
MOST_WAIT: Final = 4.0
"""Between tries to open a line that fail, in seconds; a wait doubles, and is shortened by up to a half at random.

The most is less than a member that starts waits for what others have seen of it (``node.site.standing``).
"""

PACE: Final = 0.05
"""The least time between lines that were used: whoever uses one up at once cannot keep this node opening them."""

_jitter: Final = random.SystemRandom()

Line = trio.SSLStream


class Outbound:
    """Keeps lines at the members of ``reachable()``, which names them by node key.

    ``welcome`` takes the connections that come over them, as it does those that were accepted here; it is told over
    whose line one came.
    """

    def __init__(
        self,
        upgrades: Upgrades,
        reachable: Callable[[], Mapping[str, Endpoint]],
        welcome: Callable[[trio.SocketStream, str], Awaitable[None]],
    ) -> None:
        self._upgrades = upgrades
        self._reachable = reachable
        self._welcome = welcome
        self._idle: Counter[str] = Counter()

    @property
    def waiting_at(self) -> frozenset[str]:
        """The nodes at which a line is open for whoever wants to reach this one."""
        return frozenset(node for node, count in self._idle.items() if count)

    async def run(self) -> None:
        """Keep lines open until cancelled; those to a node that is none of the members any more are cut."""
        kept: dict[str, trio.CancelScope] = {}
        async with trio.open_nursery() as nursery:
            while True:
                members = self._reachable()
                for gone in kept.keys() - members.keys():
                    kept.pop(gone).cancel()
                for node in members.keys() - kept.keys():
                    kept[node] = trio.CancelScope()
                    nursery.start_soon(self._keep, node, kept[node])
                await trio.sleep(LOOK_SECONDS)

    async def _keep(self, node: str, scope: trio.CancelScope) -> None:
        room = trio.Semaphore(MOST_OF_SITE)
        with scope:
            async with trio.open_nursery() as nursery:
                for _ in range(IDLE):
                    nursery.start_soon(self._keep_one, node, room, nursery)

    async def _keep_one(self, node: str, room: trio.Semaphore, nursery: trio.Nursery) -> None:
        while True:
            await contain("keeping a line", node, partial(self._open_lines, node, room, nursery), ours=True)
            await trio.sleep(MOST_WAIT)

    async def _open_lines(self, node: str, room: trio.Semaphore, nursery: trio.Nursery) -> None:
        wait = LEAST_WAIT
        while True:
            line = None
            async with room:
                line = await self._open(node)
                used = line is not None and await self._used(node, line)
            if line is not None and used:
                nursery.start_soon(self._serve, line, node, room)
                await trio.sleep(PACE)
            else:
                await trio.sleep(wait * _jitter.uniform(0.5, 1.0))
            wait = LEAST_WAIT if line is not None else min(2 * wait, MOST_WAIT)

    async def _open(self, node: str) -> Line | None:
        address = self._reachable().get(node)
        if address is None:
            return None
        try:
            return await self._upgrades.open(node, address, LINE_PATH, LINE_PROTOCOL)
        except ComityError as error:  # what a member says of its address included
            log.debug("no line: %s", error)
            return None

    async def _used(self, node: str, line: Line) -> bool:
        used = False
        self._idle[node] += 1
        try:
            used = await begun(line)
        finally:
            self._idle[node] -= 1
            if not used:
                await trio.aclose_forcefully(line)
        return used

    async def _serve(self, line: Line, node: str, room: trio.Semaphore) -> None:
        await contain("a line", node, partial(self._join, line, node, room))

    async def _join(self, line: Line, node: str, room: trio.Semaphore) -> None:
        try:
            async with room, trio.open_nursery() as nursery:
                ours, theirs = pair()
                nursery.start_soon(splice, line, ours)
                await self._welcome(theirs, node)
        finally:
            await trio.aclose_forcefully(line)
