"""Splicing: two connections joined into one, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio
from trio.abc import Stream

from catalog.error import Unreachable

PIECE: Final = 64 << 10
"""Bytes that are held of each direction."""

IDLE_SECONDS: Final = 120.0
"""How long two connections stay joined while nothing passes, or while what has come is not taken."""


async def splice(one: Stream, other: Stream, passes: Callable[[int], bool] = bool) -> None:
    """Carry bytes both ways until either end is over or silent for too long, then close both.

    ``passes`` is told how many bytes have come before they go on, and ends it all by a no.
    """
    try:
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            scope.deadline = trio.current_time() + IDLE_SECONDS
            nursery.start_soon(_carry, one, other, passes, scope)
            nursery.start_soon(_carry, other, one, passes, scope)
    finally:
        try:
            await trio.aclose_forcefully(one)
        finally:  # also when we are cancelled, which closing tells of
            await trio.aclose_forcefully(other)


async def _carry(source: Stream, sink: Stream, passes: Callable[[int], bool], scope: trio.CancelScope) -> None:
    try:
        while (data := await source.receive_some(PIECE)) and passes(len(data)):
            scope.deadline = trio.current_time() + IDLE_SECONDS
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # it is over like one that was closed
    scope.cancel()


def pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Two sockets of this process that are connected: what works with sockets alone has one, a task carries the other.

    Raises:
        Unreachable: there are no sockets left.
    """
    try:
        one, other = trio.socket.socketpair()
    except OSError as error:
        raise Unreachable(
            f"this process has no socket left ({error.strerror}); raise its limit of open files"
        ) from error
    return trio.SocketStream(one), trio.SocketStream(other)
