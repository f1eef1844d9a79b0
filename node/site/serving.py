"""A site served: from its first step to the rounds with the other members, until it is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from catalog.error import BadInput, ComityError
from catalog.plural import counted
from node.network.bulk_server import serve_bulk
from node.site.consorting import consort, open_replicas
from node.site.noting import note_missed
from node.site.site import Site
from node.site.standing import check_standing

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

FOUNDING_SECONDS = 0.5


async def serve(site: Site, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve control connections and bytes, follow the members, go on with submissions; until cancelled.

    Raises:
        Conflict: a port is in use, or a member has seen more of this site than lies here.
        BadInput: the policy that stands cannot be read; where in it.
    """
    _check_policy(site)
    async with trio.open_nursery() as nursery:
        site.nursery = nursery
        nursery.start_soon(site.provers.run)
        await site.steps.start()
        nursery.start_soon(site.steps.keep_proving)
        if site.steps.leftovers:
            left = counted(site.steps.leftovers, "process")
            site.recovered.append(f"ended what steps of an earlier node had left running: {left}")
        await nursery.start(site.ways.run)
        await nursery.start(site.network.serve)
        await nursery.start(_serve_bytes, site)
        if site.membership.consortium is not None:
            await _stand(site)
            await open_replicas(site)
            await note_missed(site.book, site.index, site.root, site.catalog)
            await consort(site)
        else:
            await note_missed(site.book, site.index, site.root, site.catalog)
            nursery.start_soon(_await_founding, site)
        if site.swarm is not None:
            await nursery.start(site.swarm.run)
        task_status.started()


def _check_policy(site: Site) -> None:
    """A node whose policy says nothing that can be read denies all; it had better say so before it is relied on.

    Raises:
        BadInput: it cannot be read; the message says where, and what to do.
    """
    try:
        site.judge.policy()
    except BadInput as error:
        entry = site.index.site(site.root).latest("policy", "")
        place = "" if entry is None else f" (entry {entry.index} of its catalog)"
        raise BadInput(
            f"{site.config.name} does not serve, since its policy{place} cannot be read: {error}; start the version of"
            " Comity that wrote it, and there publish a policy that this one reads"
        ) from error


async def _serve_bytes(site: Site, *, task_status: TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    await serve_bulk(
        site.config.bulk.host if site.config.listens else None,
        site.config.bulk.port,
        site.node.key,
        site.ways.answering(site.shelf.answer),
        clock=site.clock,
        site_of=site.membership.site_of,
        rate=site.config.bulk_rate,
        incoming=site.ways.front.bulk,
        task_status=task_status,
    )


async def _stand(site: Site) -> None:
    """See that no member has seen more of this site than lies here, before anything new is signed.

    Raises:
        Conflict: one has: this folder is an old copy, or a second one that runs.
    """
    heard = await site.hear()
    await check_standing(heard, site.logs, site.membership.names)
    if len(heard.answered) < site.enough:
        names = ", ".join(sorted(site.membership.names.get(root, root) for root in heard.away))
        site.recovered.append(f"started without having asked {names} what they have seen of this site's logs")


async def _await_founding(site: Site) -> None:
    """Wait until the founding is complete, asking the inviting site now and then."""
    while site.membership.consortium is None:
        await trio.sleep(FOUNDING_SECONDS)
        try:
            await site.entrance.refresh()
        except ComityError:
            continue  # the inviting site is away or refuses; «consortium show» asks it again and says so
    await open_replicas(site)
    await consort(site)
