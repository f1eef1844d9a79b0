"""Orders on their way through this site: each is carried out once, however often it is asked for meanwhile."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from catalog.cid import Cid
from catalog.dagcbor import cid_of
from catalog.error import ComityError, Denied, NotFound, Unreachable
from node.automator.automator import Automator
from node.automator.verify import UNKNOWN
from node.message import Cancel, Outcome, Place, Reported, Reporting
from workflow.receipt import BY_ITS_PERSON, Receipt

MAX_UNDER_WAY = 20_000
"""Orders at a time. No member has more of them than there is room left for others."""

LOOK_SECONDS = 1.0
"""How often it is asked whether what a waiting release rests on still stands."""

GRACE_SECONDS = 0.5
"""How long after its time an order that is still being staged is ended: its command is ended at it, and says so."""

CANCEL_SECONDS = 20.0
"""How long whoever cancels waits for the audit log; they come again."""

LATE = "its time was over before it ended"

log = logging.getLogger("comity.orders")


class _UnderWay:
    def __init__(self, message: Place, asker: str) -> None:
        self.message = message
        self.asker = asker
        self.ended = trio.Event()
        # It ended, or stewards are asked first: whoever placed it hears so at once, and is patient from then on.
        self.told = trio.Event()
        self.refusal: ComityError | None = None
        self.scope = trio.CancelScope()
        self.stopped = ""


class Orders:
    """Starts the automator on each new order in ``nursery`` and lets askers wait for its receipt."""

    def __init__(self, automator: Automator, nursery: trio.Nursery, reach: Callable[[int], Awaitable[None]]) -> None:
        """``reach`` comes back once the quorum has cosigned that many leaves of the audit log."""
        self._automator = automator
        self._woken = trio.Event()
        self._answered = trio.Event()
        self._looked = trio.Event()
        self._reported = trio.Lock()
        self._reach = reach
        self._nursery = nursery
        self._under_way: dict[Cid, _UnderWay] = {}
        self._theirs: Counter[str] = Counter()
        self._placed: OrderedDict[Cid, str] = OrderedDict()

    async def place(self, message: Place, asker: str) -> Receipt:
        """Carry an order out, and give the receipt that stands after at most ``message.seconds``.

        The caller has checked that ``asker`` is the site whose bus signed the order.

        Raises:
            ComityError: it was refused before anything was written down, with the reason.
        """
        cid = cid_of(message.order)
        self._placed[cid] = asker
        if len(self._placed) > MAX_UNDER_WAY:
            self._placed.popitem(last=False)
        standing = self._automator.standing(cid)
        if standing is not None and standing.final:
            return standing
        if cid not in self._under_way:
            if len(self._under_way) + self._theirs[asker] >= MAX_UNDER_WAY:
                raise ComityError("too many orders are under way at this site; try again later")
            self._under_way[cid] = _UnderWay(message, asker)
            self._theirs[asker] += 1
            self._nursery.start_soon(partial(self._carry, cid, message, asker))
        return await self._wait(cid, message.seconds, self._under_way[cid].told)

    async def cancel(self, question: Cancel, asker: str) -> Receipt:
        """End an order that ``asker`` placed, at once, by its person's word; the receipt that stands then.

        What has been delivered already stays delivered. What it made and waits for people, or for the quorum, is held.

        Raises:
            NotFound: no such order came from there. VerificationFailed: it is not that person's word on it.
            Denied: it was ended before it began.
        """
        task = self._under_way.get(question.order)
        self._automator.check_cancel(question, asker, task.message if task is not None else None)
        await self.gone(lambda message: cid_of(message.order) == question.order, BY_ITS_PERSON)
        await self._automator.cancel(question.order)
        with trio.move_on_after(CANCEL_SECONDS):
            await self._settled(question.order)
        standing = self._automator.standing(question.order)
        if standing is None:
            raise Denied("it was cancelled before it began")
        return standing

    async def outcome(self, question: Outcome, asker: str) -> Receipt:
        """The receipt of an order that ``asker`` placed, waiting for a final one.

        Raises:
            Unreachable: it placed none of that CID since this node started; whoever has the order places it again.
        """
        if self._placed.get(question.order) != asker:
            raise Unreachable("no such order came from there since this node started; place it again")
        task = self._under_way.get(question.order)
        return await self._wait(question.order, question.seconds, task.ended if task is not None else None)

    def wake(self) -> None:
        """The quorum has cosigned more of the audit log."""
        self._woken.set()

    def answered(self) -> None:
        """A steward has answered something."""
        self._automator.answered()
        answered, self._answered = self._answered, trio.Event()
        answered.set()
        self.wake()

    async def report(self, question: Reporting, holder: str) -> Reported:
        """Answer what ``holder`` reports of this site's data; one report at a time."""
        async with self._reported:
            return await self._automator.report(question, holder)

    async def ask_owners(self) -> None:
        """Ask the other owners of what was made here, again and again, until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            try:
                await self._automator.ask_owners()
            except ComityError as error:
                log.warning("releases wait on: %s", error)

    async def watch(self) -> None:
        """Look after the releases that wait for the quorum, again and again, until cancelled."""
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                await self._woken.wait()
            self._woken = trio.Event()
            try:
                await self._automator.look()
            except ComityError as error:
                log.warning("releases wait on: %s", error)
            looked, self._looked = self._looked, trio.Event()
            looked.set()

    async def _settled(self, cid: Cid) -> None:
        """Come back once what an order released has taken effect or is held."""
        self.wake()
        while self._automator.waits_for(cid):
            await self._looked.wait()

    def stop(self, chosen: Callable[[Place], bool], reason: str) -> int:
        """End the steps of all ``chosen`` orders that are under way; how many. What they ran is killed at once."""
        found = [task for task in self._under_way.values() if not task.stopped and chosen(task.message)]
        for task in found:
            task.stopped = reason
            task.scope.cancel()
        return len(found)

    async def gone(self, chosen: Callable[[Place], bool], reason: str) -> None:
        """End the steps of all ``chosen`` orders, and come back when none of them is under way."""
        self.stop(chosen, reason)
        for task in [task for task in self._under_way.values() if chosen(task.message)]:
            await task.ended.wait()

    async def _carry(self, cid: Cid, message: Place, asker: str) -> None:
        task = self._under_way[cid]
        try:
            with task.scope:
                with trio.move_on_after(GRACE_SECONDS + max(0.0, self._automator.seconds_left(message.order))) as late:
                    await self._automator.carry(message, asker)
                if late.cancelled_caught:
                    task.stopped = task.stopped or LATE
                    task.scope.cancel()
                while (seconds := self._automator.asks(cid)) is not None:
                    task.told.set()
                    with trio.move_on_after(seconds):
                        await self._answered.wait()
                    if self._automator.goes_on(cid):
                        await self._automator.carry(message, asker)
                await self._reach(self._automator.waits_for(cid))
                await self._settled(cid)
            if task.scope.cancelled_caught:
                await self._automator.abandon(cid, task.stopped)
                if self._automator.standing(cid) is None:
                    task.refusal = Denied(task.stopped)
        except ComityError as error:
            task.refusal = error
        finally:
            task.told.set()
            task.ended.set()
            del self._under_way[cid]
            self._theirs -= Counter([task.asker])

    async def _wait(self, cid: Cid, seconds: float, event: trio.Event | None) -> Receipt:
        task = self._under_way.get(cid)
        if task is not None and event is not None:
            with trio.move_on_after(seconds):
                await event.wait()
            if task.refusal is not None:
                raise task.refusal
        standing = self._automator.standing(cid)
        if standing is not None:
            return standing
        if task is not None:
            # It is still being verified: a block is fetched, say. The asker comes again with the same order.
            raise Unreachable("the order is still being verified")
        raise NotFound(UNKNOWN)
