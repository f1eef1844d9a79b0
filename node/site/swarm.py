"""What of this site's catalog a Kubo in a swarm holds: kept equal to what may lie there, whatever happens to either.

The site's own store stays the truth, and the Kubo has copies. They are compared at the start, whenever the catalog
changes or the site is halted, and now and then, so it does not matter which of the two was away or lost something.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.error import BadInput, ComityError, NotFound, Unreachable
from catalog.index import SiteIndex
from node.config import Folder
from node.storage.facts import Fact, Facts
from node.storage.kubo import Daemon, Kubo, in_thread
from node.storage.kubodaemon import OwnKubo
from node.storage.kubosettings import serves
from node.storage.pour import Exporting, pour
from node.storage.swarmkey import read_swarm_key
from node.swarmsettings import SwarmSettings
from privacy.swarm import may_enter

if TYPE_CHECKING:
    # libp2p brings trio-typing, whose stubs hide trio's own types from mypy, TaskStatus among them.
    from trio_typing import TaskStatus

    from node.site.site import Site

AGAIN_SECONDS: Final = 5.0
"""Until a daemon that ended is started again, and one that did not answer asked."""
ROUND_SECONDS: Final = 30.0
log = logging.getLogger("comity.swarm")


class KnownRepo(Value, frozen=True, kw_only=True):
    """The repository that this site published into last, by its peer id."""

    peer: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds a swarm, asked anew each time.

    ``closed`` says whether nothing may be handed out now: the site is halted, or left its consortium. ``members`` are
    the root keys of all in the swarm where it is theirs alone, else none.
    """

    closed: Callable[[], bool]
    members: Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True)
class Published:
    """How the Kubo fares: ``fault`` is what is wrong, empty if nothing is; the rest is of the last round."""

    fault: str = "it was not asked yet"
    version: str = ""
    repo: str = ""
    roots: int = 0
    bytes: int = 0
    peers: int = 0


class Swarm:
    """Publishes into the Kubo that ``source`` says: one that is started here, or the RPC of one that runs.

    A :class:`node.replication.Counting`: told of entries, it compares at once. ``told`` takes what an operator should
    read in the site's status.
    """

    def __init__(
        self,
        own: SiteIndex,
        blobs: Exporting,
        facts: Facts,
        bounds: Bounds,
        source: OwnKubo | str,
        peers: Sequence[str],
        told: Callable[[str], None],
    ) -> None:
        self._own = own
        self._blobs = blobs
        self._facts = facts
        self._bounds = bounds
        self._source = source
        self._peers = peers if isinstance(source, str) else ()  # one of our own has them in its settings
        self._told = told
        self._kubo = Kubo(source) if isinstance(source, str) else None
        self._there: frozenset[Cid] = frozenset()
        self._litter = True  # a run before may have been cut off between letting go and collecting
        self._publishing = trio.CancelScope()
        self._pouring: Cid | None = None
        self._woken = trio.Event()
        self.published = Published()

    @property
    def name(self) -> str:
        """Under which the roots are pinned: pins of other names are somebody else's, and let alone."""
        return f"comity {self._own.root}"

    def wanted(self) -> frozenset[Cid]:
        """The roots that may lie in the swarm now."""
        if self._bounds.closed():
            return frozenset()
        members = self._bounds.members()
        datasets = [entry.fields for entry in self._own.entries("dataset")]
        return frozenset(each.cid for each in datasets if isinstance(each, DatasetFields) and may_enter(each, members))

    def wake(self) -> None:
        """What may lie there may have changed. What has to go does not wait for what is being published."""
        held = self._there if self._pouring is None else self._there | {self._pouring}
        if held - self.wanted():
            self._publishing.cancel()
        self._woken.set()

    async def begin(self, site: str) -> None:
        """What counts of ``site`` is told again."""

    async def counted(self, site: str, entries: Sequence[Entry]) -> None:
        """A dataset may have been published, changed or withdrawn."""
        if site == self._own.root and any(entry.body.kind in ("dataset", "withdraw") for entry in entries):
            self.wake()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the Kubo equal to the catalog, and running if it is our own; until cancelled.

        Raises:
            NotFound, BadInput, Conflict, ComityError: a Kubo of our own cannot be started at all.
        """
        async with trio.open_nursery() as nursery:
            if isinstance(self._source, OwnKubo):
                await nursery.start(self._keep, self._source)
            task_status.started()
            while True:
                self._woken = trio.Event()
                pause = await self._round()
                with trio.move_on_after(pause):
                    await self._woken.wait()

    async def _keep(self, own: OwnKubo, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start a Kubo, and start it again whenever it ends."""
        seen = False

        def up(kubo: Kubo) -> None:
            nonlocal seen
            self._kubo = kubo
            if not seen:
                task_status.started()
            seen = True
            self.wake()

        while True:
            try:
                fault = f"Kubo ended: {await own.run(up)}"
            except ComityError as error:
                if not seen:
                    raise
                fault = str(error)
            self._kubo = None
            self._fail(f"{fault}; it is started again")
            await trio.sleep(AGAIN_SECONDS)

    async def _round(self) -> float:
        """Compare once; the seconds until that is to be done again."""
        if self._kubo is None:
            return ROUND_SECONDS
        try:
            await self.settle(self._kubo)
        except Unreachable as error:
            self._litter = True
            self._fail(str(error))
            return AGAIN_SECONDS
        except ComityError as error:
            self._litter = True
            self._fail(str(error))
        return ROUND_SECONDS

    def _fail(self, fault: str) -> None:
        if fault and fault != self.published.fault:
            log.warning("%s", fault)
        self.published = Published(fault=fault)

    async def settle(self, kubo: Kubo) -> None:
        """Make the Kubo hold what it may, and nothing else.

        Raises:
            Unreachable: it does not answer. BadInput: it cannot be used as it is; the message says what to change.
            ComityError: it refuses, or its disk is full; what was done stays done, and is gone on with next time.
        """
        daemon = await in_thread(kubo.look)
        if not serves(daemon.config):
            raise BadInput(
                f"the Kubo at {kubo.api} hands out nothing: set Bitswap.ServerEnabled, or use another one; a site's"
                " store is none to publish from"
            )
        await self._recognise(daemon)
        self._there = await in_thread(partial(kubo.pinned, self.name))
        if gone := self._there - self.wanted():
            await in_thread(partial(kubo.unpin, sorted(gone)))
            self._litter = True
            self._there -= gone
        if self._litter:
            removed = await in_thread(kubo.collect)
            self._litter = False
            if gone:
                log.info("%d roots were taken back from the swarm, %d nodes removed", len(gone), removed)
        fault = await self._publish(kubo)
        for peer in self._peers:
            await in_thread(partial(kubo.befriend, peer))
        size, peers = await in_thread(kubo.size), await in_thread(kubo.peers)
        self._fail(fault)
        self.published = Published(fault, daemon.version, daemon.repo, len(self._there), size, peers)

    async def _recognise(self, daemon: Daemon) -> None:
        """Say it aloud if the Kubo holds another repository than before: there all is published anew."""
        known = await self._facts.get(Fact.KUBO, KnownRepo)
        if known is not None and known.peer == daemon.repo:
            return
        await self._facts.set(Fact.KUBO, KnownRepo(peer=daemon.repo))
        if known is not None:
            line = (
                f"the Kubo holds another repository ({daemon.repo}) than before ({known.peer}): all is published in it"
                " anew; what was withdrawn meanwhile is still in the old one, if that runs anywhere"
            )
            log.warning("%s", line)
            self._told(line)

    async def _publish(self, kubo: Kubo) -> str:
        """Publish what is lacking, one root after another; what the first that failed did, empty if none.

        Raises:
            Unreachable: the Kubo does not answer any more.
        """
        failures: list[str] = []
        with trio.CancelScope() as self._publishing:
            for root in sorted(self.wanted() - self._there):
                if root not in self.wanted():
                    continue
                self._pouring, self._litter = root, True
                try:
                    await pour(self._blobs, root, kubo)
                    await trio.to_thread.run_sync(kubo.pin, root, self.name)
                except Unreachable:
                    raise
                except ComityError as error:
                    failures.append(f"{root} is not in the swarm: {error}")
                else:
                    self._there |= {root}
                    log.info("published in the swarm: %s", root)
        if self._publishing.cancelled_caught:
            self._woken.set()  # what has to go goes now, and what is wanted still is begun anew
        elif not failures:
            self._litter = False
        self._pouring = None
        return failures[0] if failures else ""


def swarm_of(site: Site, facts: Facts, program: str | None) -> Swarm | None:
    """What publishes for ``site``: into a Kubo made with ``program``, else into one that its settings name, else none.

    Raises:
        BadInput: both are asked for. NotFound: the swarm's key, without which no Kubo is started, is not here.
    """
    settings = site.config.swarm
    if program is None and settings.api is None:
        return None
    source: OwnKubo | str
    if settings.api is None:
        source = _own(site.folder, settings, program or "ipfs")
    elif program is None:
        source = settings.api
    else:
        raise BadInput(f"{site.folder.config}: [kubo] api names a Kubo that runs; leave it out, or --with-kubo")
    bounds = Bounds(
        closed=lambda: bool(site.book.halts.refusal(None, ())) or site.membership.left is not None,
        # Whose swarm the operator's Kubo is in, nobody here can know.
        members=lambda: () if isinstance(source, str) else site.membership.members,
    )
    own, told = site.index.site(site.root), site.recovered.append
    swarm = Swarm(own, site.blobs, facts, bounds, source, settings.peers, told)
    site.told.parts.append(swarm)
    return swarm


def _own(folder: Folder, settings: SwarmSettings, program: str) -> OwnKubo:
    try:
        key = read_swarm_key(folder.swarm_key)
    except NotFound as error:
        raise NotFound(
            "a Kubo needs the key of the consortium's swarm: one member makes it with «comity consortium swarm-key"
            " --new FILE» and hands FILE to the others"
        ) from error
    return OwnKubo(program, folder.kubo, key, settings.listen, settings.peers)
