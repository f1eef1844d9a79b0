"""Asking the others while no node runs here: the ways to them are opened, and nothing is served beside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import outcome
import trio

from catalog.error import NotFound
from node.config import Folder
from node.network.blob import BulkRequest, Upgrade
from node.network.bulk_server import serve_bulk
from node.site.site import Site

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

T = TypeVar("T")


async def reaching(folder: Folder, work: Callable[[Site], Awaitable[T]]) -> T:
    """What ``work`` gives, done with the site of a folder that this process holds.

    Members that only dial out reach it by their lines, if it can be reached at all: that much of its door is open.

    Raises:
        Conflict: its port is in use.
    """
    site = await Site.open(folder)
    try:
        async with trio.open_nursery() as nursery:
            done: outcome.Outcome[T] = await outcome.acapture(_with_ways, site, nursery, work)
            nursery.cancel_scope.cancel()
        return done.unwrap()
    finally:
        await site.aclose()


async def _with_ways(site: Site, nursery: trio.Nursery, work: Callable[[Site], Awaitable[T]]) -> T:
    if site.config.inbound:
        await nursery.start(site.ways.run)
        await nursery.start(partial(_serve_lines, site))
    else:
        await nursery.start(site.ways.dialer.run)
    return await work(site)


async def _serve_lines(site: Site, *, task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    async def answer(request: BulkRequest) -> Upgrade:
        if not site.ways.relay.asked(request):
            raise NotFound("no node runs here")
        return site.ways.relay.answer(request)

    await serve_bulk(
        site.config.bulk.host if site.config.listens else None,
        site.config.bulk.port,
        site.node.key,
        answer,
        clock=site.clock,
        site_of=site.membership.site_of,
        incoming=site.ways.front.bulk,
        task_status=task_status,
    )
