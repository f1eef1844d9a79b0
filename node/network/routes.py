"""Routes: how this node comes to any other.

A node with an address is dialled there. One without has opened lines: here, or at another member, which joins us to
one and does not learn what passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import trio
from trio.abc import Stream

from catalog.error import ComityError, NotFound, Unreachable
from catalog.key import short
from node.network.bulkhead import contain
from node.network.dial import Dialer, Endpoint
from node.network.line import Lines
from node.network.relay import RELAY_PATH, RELAY_PROTOCOL
from node.network.splice import pair, splice
from node.network.upgrade import Upgrades

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

RELAYS_TRIED: Final = 3
"""Members asked for a connection that is wanted."""


class Routes:
    """Dials any member's node. ``reachable()`` names the others that have an address, by node key."""

    def __init__(
        self, direct: Dialer, upgrades: Upgrades, lines: Lines, reachable: Callable[[], Mapping[str, Endpoint]]
    ) -> None:
        self._direct = direct
        self._upgrades = upgrades
        self._lines = lines
        self._reachable = reachable
        self._tasks: trio.Nursery | None = None
        self._turn = 0

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry what is dialled over lines and relays, until cancelled."""
        async with trio.open_nursery() as self._tasks:
            task_status.started()
            await trio.sleep_forever()

    async def dial(self, node: str, address: Endpoint | None) -> trio.SocketStream:
        """As :class:`~node.network.dial.Dialer` says. Asked again, it takes another member to relay."""
        if address is not None or self._tasks is None:
            return await self._direct.dial(node, address)
        try:
            stream: trio.SocketStream = await self._tasks.start(self._take_line, node)
        except NotFound:
            return await self._ask_relays(node, self._tasks)
        return stream

    async def _take_line(
        self, node: str, *, task_status: TaskStatus[trio.SocketStream] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with self._lines.taken(node) as line:
            ours, theirs = pair()
            task_status.started(theirs)
            await contain("a line", short(node), partial(splice, ours, line))

    async def _ask_relays(self, node: str, tasks: trio.Nursery) -> trio.SocketStream:
        failure = "no member can be reached that could pass a connection on"
        members = sorted((did, address) for did, address in self._reachable().items() if did != node)
        self._turn += 1
        for step in range(min(RELAYS_TRIED, len(members))):
            relay, address = members[(self._turn + step) % len(members)]
            try:
                stream = await self._upgrades.open(relay, address, RELAY_PATH + node, RELAY_PROTOCOL)
            except ComityError as error:
                failure = str(error)
                continue
            return await self._as_socket(stream, node, tasks)
        raise Unreachable(f"it only dials out, and nobody that was asked has a line of it: {failure}")

    async def _as_socket(self, stream: Stream, node: str, tasks: trio.Nursery) -> trio.SocketStream:
        try:
            ours, theirs = pair()
        except Unreachable:
            await trio.aclose_forcefully(stream)
            raise
        tasks.start_soon(contain, "a relayed connection", short(node), partial(splice, ours, stream))
        return theirs
