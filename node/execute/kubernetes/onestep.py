"""One step on its way through the cluster: its Job is made, its pod starts, its command has its turn, all of it ends.

What is known of the pod is what the watch has seen. While the API server does not answer nothing is known, and a step
that runs is waited for: it is held to its limits where it runs, by its supervisor, and not from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from catalog.error import Denied, Unreachable
from node.execute.container import Gate
from node.execute.inside.verdict import KILLED
from node.execute.kubernetes.manifest import STEP, Image, Part
from node.execute.kubernetes.onejob import OneJob, running
from node.execute.kubernetes.pod import Pod
from node.execute.kubernetes.way import Way
from node.step import Ending, Exit, Limits, Turn

AWAY_SECONDS: Final = 900.0
"""How long a cluster may be away beyond a step's own time, and its result is still fetched."""

SEEN_SECONDS: Final = 60.0
"""How long a cluster that is there may fail to give a step's result, or to begin it."""

_SLACK_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 2.0
_KILLED_SECONDS: Final = 10.0
_REPORT_SECONDS: Final = 15.0


class OneStep:
    """One step, as a Job of its own and by a way of its own."""

    def __init__(self, job: OneJob, limits: Limits, way: Way) -> None:
        self._job = job
        self._limits = limits
        self._way = way

    async def carry_out(self, image: Image, parts: Sequence[Part], gate: Gate, turn: Turn) -> Exit:
        """Run it to its end. Nothing of it is left when this returns or raises, if the cluster can be told so.

        Raises:
            Denied: the cluster lets no such pod in, or this node do no such thing.
            Unreachable: the cluster has no room, no image, or lost the step; with its reason.
            BadInput: the order could not be carried out as it is written.
        """
        commands = self._way.commands(image)
        ended = False
        try:
            await self._job.make(image, commands, self._limits, parts)
            pod = await self._job.begun(lambda pod: running(pod, [*commands]))
            await self._way.fill(pod)
            async with turn:
                await self._insist(self._way.open, pod)
                await self._over()
                found = await self._found(gate, pod)
                await self._way.leave(pod)
            ended = True
            return found
        finally:
            with trio.CancelScope(shield=True):
                if not ended:
                    await self._way.stop()
                if not await self._job.withdraw(ended=ended):
                    await self._way.stopped()

    async def _over(self) -> None:
        """Wait until its command has ended, by what its supervisor says or the cluster does.

        Raises:
            Unreachable: neither says so in time.
        """
        with trio.move_on_after(self._limits.wall_seconds + _SLACK_SECONDS) as scope:
            await self._seen_over()
        if scope.cancelled_caught and self._job.unseen:
            with trio.move_on_after(AWAY_SECONDS) as scope:
                await self._seen_over()
        if not scope.cancelled_caught:
            return
        pod = self._job.pod
        where = f" on {pod.machine}" if pod is not None and pod.machine else ""
        raise Unreachable(
            f"the step{where} was not seen to end within its time: {self._job.unseen or 'its machine may be lost'}"
        )

    async def _seen_over(self) -> None:
        async with trio.open_nursery() as nursery:

            async def reported() -> None:
                await self._way.reported()
                nursery.cancel_scope.cancel()

            nursery.start_soon(reported)
            await self._job.until(_over)
            nursery.cancel_scope.cancel()

    async def _found(self, gate: Gate, pod: Pod) -> Exit:
        """How it ended, by its report and by what the cluster says of its container.

        Raises:
            Unreachable: there is no report; with the cluster's reason.
        """
        seen = self._job.pod or pod
        if seen.gone or (seen.phase == "Failed" and not seen.container(STEP).starved):
            raise Unreachable(f"the cluster ended the step: {seen.end()}; it is tried again")
        await self._insist(self._way.fetch, pod)
        if seen.container(STEP).code == 0:
            await self._come(gate)
        elif seen.container(STEP).code is None and not gate.is_reported():
            # A report that the step wrote, or none because its supervisor was ended: then its container has ended too.
            seen = await self._job.until(_over)
            await self._insist(self._way.fetch, pod)
        starved = seen.container(STEP).starved
        ended = await _exit(gate, starved)
        if ended.ending is Ending.EXITED and ended.code == KILLED and not starved:
            # Who kills a process for lack of memory says so to the machine alone, which tells it of the container.
            with trio.move_on_after(_KILLED_SECONDS):
                seen = await self._job.until(_over)
            if seen.container(STEP).starved:
                return await _exit(gate, True)
        return ended

    async def _come(self, gate: Gate) -> None:
        """Wait for the report of a supervisor that ended well: a volume may show what is new a little later."""
        with trio.move_on_after(_REPORT_SECONDS):
            while not await trio.to_thread.run_sync(gate.is_reported):  # noqa: ASYNC110 - another machine writes it
                await trio.sleep(_AGAIN_SECONDS / 10)

    async def _insist(self, work: Callable[[Pod], Awaitable[None]], pod: Pod) -> None:
        """Do it again while the cluster does not answer: a step is not lost for that.

        Nor while it denies what it allowed when the step was filled, as a server does that has just started. But a
        cluster that is seen and does not do it may be kept from it by the step, which holds a turn meanwhile.

        Raises:
            Unreachable, Denied: it has not been back for long, or ended the pod.
        """
        deadline, soon = (trio.current_time() + seconds for seconds in (AWAY_SECONDS, SEEN_SECONDS))
        while True:
            try:
                await work(pod)
            except (Unreachable, Denied):
                seen = self._job.pod
                if seen is not None and seen.is_over:
                    raise Unreachable(f"the cluster ended the step: {seen.end()}; it is tried again") from None
                if self._job.unseen:  # once it is back, it has as long as one that was never away
                    soon = trio.current_time() + SEEN_SECONDS
                if trio.current_time() > min(soon, deadline):
                    raise
                await trio.sleep(_AGAIN_SECONDS)
            else:
                return


def _over(pod: Pod | None) -> Pod | None:
    """The pod, once the command in it has ended."""
    return pod if pod is not None and (pod.is_over or pod.container(STEP).code is not None) else None


async def _exit(gate: Gate, starved: bool) -> Exit:
    return await trio.to_thread.run_sync(lambda: gate.exit(starved=starved))
