"""What the node says of itself as a place for steps: machine, limits, environments, speed, and how busy it is.

An entry is written where that has changed since the last one, and :data:`APART_MILLIS` have passed: others need it to
choose a site, and nothing breaks where it is old. So a step is never a reason to write, and a site that offers nothing
says nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

import trio

from catalog.capacity import MOST_ENVIRONMENTS, CapacityFields, Load, Speed
from catalog.cid import Cid
from catalog.dagcbor import Value
from catalog.error import BadInput, ComityError
from catalog.index import SiteIndex
from catalog.offer import Most, OfferFields
from node.api.running import LimitsView, StepsView
from node.execute.speed import measure
from node.execute.step import StepExecutor
from node.load import LOOK_SECONDS, Demand
from node.ports import Clock
from node.site.locating import environments_for
from node.step import Limits, Machine

if TYPE_CHECKING:
    from node.site.site import Site

QUIET_SECONDS: Final = 20.0
"""After the start; a node has better things to do first."""
APART_MILLIS: Final = 5 * 60_000
CONSIDERED_MILLIS: Final = 60_000
"""How often it is looked whether there is anything to say."""
MEASURED_MILLIS: Final = 7 * 24 * 3600_000
"""How long a measured speed is believed."""

Say = Callable[[str, str, Value], Awaitable[bool]]
log = logging.getLogger("comity.capacity")


class Capacity:
    """Of the site whose index ``own`` is; ``say`` writes an entry of its node, ``at_hand`` are its environments."""

    def __init__(
        self,
        own: Callable[[], SiteIndex],
        steps: StepExecutor,
        say: Say,
        clock: Clock,
        at_hand: Callable[[], Collection[Cid]] = frozenset,
    ) -> None:
        self._own = own
        self._steps = steps
        self._say = say
        self._clock = clock
        self._at_hand = at_hand
        self.demand = Demand()
        self._considered = self._measuring = 0

    async def run(self) -> None:
        """Look, measure and say, again and again, until cancelled."""
        await trio.sleep(QUIET_SECONDS)
        while True:
            await self.look()
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """See how busy the node is, and say what there is to say if it is time."""
        queue = self._steps.queue
        self.demand.look(queue.running + queue.waiting, queue.at_once)
        own = self._own()
        if own.latest("offer", "") is None or self._steps.fault:
            return
        before, now = own.latest("capacity", ""), self._clock.now()
        said_at = before.body.at if before is not None else 0
        if 0 <= now - said_at < APART_MILLIS or 0 <= now - self._considered < CONSIDERED_MILLIS:
            return
        self._considered = now
        try:
            machine = await self._steps.footing.runner.machine()
        except (ComityError, OSError) as error:
            log.warning("what steps have here cannot be told: %s", error)
            return
        said = before.fields if before is not None and isinstance(before.fields, CapacityFields) else None
        fields = self._fields(machine, await self._speed(machine, said))
        if fields != said:
            await self._say("capacity", "", fields)

    def _fields(self, machine: Machine, speed: Speed | None) -> CapacityFields:
        return CapacityFields(
            runner=self._steps.runner,
            platform=machine.platform,
            processor=machine.processor,
            processors=machine.processors,
            memory_mib=machine.memory_mib,
            at_once=self._steps.queue.at_once,
            most=most_of(self._steps.limits),
            environments=tuple(sorted(self._at_hand(), key=str)[:MOST_ENVIRONMENTS]),
            speed=speed,
            load=self.demand.load,
        )

    async def _speed(self, machine: Machine, said: CapacityFields | None) -> Speed | None:
        """The speed that was said of this machine and is believed still, or one measured now if nothing else runs."""
        known = said.speed if said is not None and self._is(machine, said) else None
        if known is not None and 0 <= self._clock.now() - known.at < MEASURED_MILLIS:
            return known
        begun, queue, now = self._steps.begun, self._steps.queue, self._clock.now()
        if queue.running or queue.waiting or 0 <= now - self._measuring < APART_MILLIS:
            return known
        footing, self._measuring = self._steps.footing, now
        try:
            rates = await measure(footing.runner, footing.work)
        except (ComityError, OSError) as error:
            log.warning("the speed of steps could not be measured: %s", error)
            return known
        if begun != self._steps.begun:  # a step has begun beside it
            return known
        return Speed(**rates.paces, at=self._clock.now())

    def _is(self, machine: Machine, said: CapacityFields) -> bool:
        here = (self._steps.runner, machine.platform, machine.processor, machine.processors)
        return here == (said.runner, said.platform, said.processor, said.processors)


def check_offer(steps: StepExecutor, offer: OfferFields) -> None:
    """Check that the steward offers what the node does.

    Raises:
        BadInput: it runs steps by something else, gives them less, or is to charge for use without a bound.
    """
    if offer.runner != steps.runner:
        raise BadInput(f"this node runs steps by «{steps.runner}», not by «{offer.runner}»; see [steps] in site.toml")
    if offer.most is None:
        if offer.cpu_hour or offer.gb_hour:
            raise BadInput("an offer that charges for use says of how much at most; else no plan knows what it costs")
        return
    here = most_of(steps.footing.limits)
    if not offer.most.within(here):
        raise BadInput(
            f"this node lets a step use {here.seconds} s, {here.cpu_seconds} s of processors and {here.memory_mib} MiB"
            " at most, and the offer says more; see [steps] in site.toml"
        )


async def steps_view(site: Site) -> StepsView:
    """How the node fares as a place for steps."""
    steps, queue = site.steps, site.steps.queue
    runner, limits = await steps.footing.runner.describe(), steps.limits
    said = site.index.site(site.root).typed(CapacityFields, "capacity")
    return StepsView(
        runner=runner.name,
        version=runner.version,
        lacks=runner.lacks,
        proven=steps.proven,
        running=queue.running,
        waiting=queue.waiting,
        at_once=queue.at_once,
        limits=LimitsView(
            seconds=int(limits.wall_seconds),
            cpu_seconds=limits.cpu_seconds,
            memory_mib=limits.memory_bytes >> 20,
            processes=limits.processes,
            output_mib=limits.output_bytes >> 20,
            output_files=limits.output_files,
        ),
        load=site.consorting.capacity.demand.load if site.consorting is not None else Load.IDLE,
        speed=said.speed if said is not None else None,
        environments=tuple(sorted(site.checkouts.here, key=str)),
    )


def told_to_all(site: Site) -> Collection[Cid]:
    """The environments at hand that any member may know of: those of blocks that all of them may hold."""
    here = site.checkouts.here
    return here & environments_for(site.index, site.membership.members) if here else here


def most_of(limits: Limits) -> Most:
    """The bounds of a step as catalogs name them."""
    return Most(
        seconds=max(1, int(limits.wall_seconds)),
        cpu_seconds=limits.cpu_seconds,
        memory_mib=max(1, limits.memory_bytes >> 20),
    )
