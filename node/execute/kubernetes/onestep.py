"""One step on its way through the cluster: its Job is made, its pod starts, its command has its turn, all of it ends.

What is known of the pod is what the watch has seen. While the API server does not answer nothing is known, and a step
that runs is waited for: it is held to its limits where it runs, by its supervisor, and not from here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from catalog.error import ComityError, Denied, NotFound, Unreachable, shown
from node.execute.container import Gate
from node.execute.inside.verdict import KILLED
from node.execute.kubernetes.api import QUOTA
from node.execute.kubernetes.jobs import Submission
from node.execute.kubernetes.manifest import STEP, Image, Part, Pattern, job_manifest
from node.execute.kubernetes.pod import Pod
from node.execute.kubernetes.pods import Pods
from node.execute.kubernetes.way import Way
from node.step import Ending, Exit, Limits, Turn

log = logging.getLogger("comity.kubernetes")

AWAY_SECONDS: Final = 900.0
"""How long a cluster may be away beyond a step's own time, and its result is still fetched."""

_SLACK_SECONDS: Final = 60.0
_REFUSALS_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 2.0
_GONE_SECONDS: Final = 60.0
_KILLED_SECONDS: Final = 10.0
_REPORT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where steps run: how Jobs come there, what is seen of their pods, what all have in common."""

    submission: Submission
    pods: Pods
    pattern: Pattern
    patience_seconds: float


class OneStep:
    """One step, called ``name`` there."""

    def __init__(self, place: Place, limits: Limits, way: Way) -> None:
        self.name = f"step-{secrets.token_hex(8)}"
        self._place = place
        self._limits = limits
        self._way = way

    async def carry_out(self, image: Image, parts: Sequence[Part], gate: Gate, turn: Turn) -> Exit:
        """Run it to its end. Nothing of it is left when this returns or raises, if the cluster can be told so.

        Raises:
            Denied: the cluster lets no such pod in, or this node do no such thing.
            Unreachable: the cluster has no room, no image, or lost the step; with its reason.
            BadInput: the order could not be carried out as it is written.
        """
        self._place.pods.follow()
        ended = False
        try:
            manifest = job_manifest(self.name, image, self._limits, parts, self._place.pattern)
            await self._place.submission.submit(manifest)
            pod = await self.started(self._way.containers)
            await self._way.fill(pod)
            async with turn:
                await self._insist(self._way.open, pod)
                await self._over()
            found = await self._found(gate, pod)
            ended = True
            return found
        finally:
            with trio.CancelScope(shield=True):
                await self.withdraw(ended=ended)

    async def started(self, containers: Sequence[str]) -> Pod:
        """Its pod, once all of these run.

        Raises:
            Denied, Unreachable: it does not come to that; with the cluster's reason.
        """
        fault = ""
        with trio.move_on_after(self._place.patience_seconds):
            while True:
                pod = None
                with trio.move_on_after(_REFUSALS_SECONDS):
                    pod = await self._place.pods.until(self.name, lambda pod: _started(pod, containers))
                if pod is not None:
                    return pod
                if self._place.pods.pod(self.name) is None:
                    fault = await self._refused()
        seen = self._place.pods.pod(self.name)
        told = (seen.unplaced or seen.waits) if seen is not None else fault
        told = told or self._place.pods.fault or "it does not say why"
        raise Unreachable(
            f"the cluster did not start the step within {self._place.patience_seconds:g} s: {told};"
            " ask its operator for room, or give [kubernetes] patience_seconds more"
        )

    async def withdraw(self, *, ended: bool) -> None:
        """End what is left of it, and wait until its pod is gone; be done with it where the cluster does not answer."""
        try:
            if not ended:
                await self._way.stop()
            await self._place.submission.withdraw(self.name, ended=ended)
            if not ended:
                with trio.move_on_after(_GONE_SECONDS) as scope:
                    await self._place.pods.until(self.name, lambda pod: True if pod is None or pod.gone else None)
                if scope.cancelled_caught:
                    log.error("the pod of %s was told to end, and is there yet after %g s", self.name, _GONE_SECONDS)
        except (ComityError, OSError) as error:
            log.error("what is left of %s in the cluster ends by itself, or when this starts: %s", self.name, error)
        finally:
            self._place.pods.forget(self.name)

    async def _refused(self) -> str:
        """Why its pod is not made, if the cluster says so; what may pass by is no error.

        Raises:
            Denied: such a pod is never let in.
        """
        try:
            said = await self._place.submission.fault(self.name)
        except (NotFound, Unreachable) as error:
            return str(error)
        if said and QUOTA not in said:
            raise Denied(f"the cluster does not let the step's pod in: {shown(said, 300)}")
        return shown(said, 300)

    async def _over(self) -> None:
        """Wait until its command has ended, by what its supervisor says or the cluster does.

        Raises:
            Unreachable: neither says so in time.
        """
        with trio.move_on_after(self._limits.wall_seconds + _SLACK_SECONDS):
            await self._seen_over()
            return
        if self._place.pods.fault:
            with trio.move_on_after(AWAY_SECONDS):
                await self._seen_over()
                return
        pod = self._place.pods.pod(self.name)
        where = f" on {pod.machine}" if pod is not None and pod.machine else ""
        raise Unreachable(
            f"the step{where} was not seen to end within its time:"
            f" {self._place.pods.fault or 'its machine may be lost'}"
        )

    async def _seen_over(self) -> None:
        async with trio.open_nursery() as nursery:

            async def reported() -> None:
                await self._way.reported()
                nursery.cancel_scope.cancel()

            nursery.start_soon(reported)
            await self._place.pods.until(self.name, _over)
            nursery.cancel_scope.cancel()

    async def _found(self, gate: Gate, pod: Pod) -> Exit:
        """How it ended, by its report and by what the cluster says of its container.

        Raises:
            Unreachable: there is no report; with the cluster's reason.
        """
        seen = self._place.pods.pod(self.name) or pod
        if seen.gone or (seen.phase == "Failed" and not seen.container(STEP).starved):
            raise Unreachable(f"the cluster ended the step: {seen.end()}; it is tried again")
        await self._insist(self._way.fetch, pod)
        if seen.container(STEP).code == 0:
            await self._come(gate)
        starved = seen.container(STEP).starved
        ended = await _exit(gate, starved)
        if ended.ending is Ending.EXITED and ended.code == KILLED and not starved:
            # Who kills a process for lack of memory says so to the machine alone, which tells it of the container.
            with trio.move_on_after(_KILLED_SECONDS):
                seen = await self._place.pods.until(self.name, _over)
            if seen.container(STEP).starved:
                return await _exit(gate, True)
        return ended

    async def _come(self, gate: Gate) -> None:
        """Wait for the report of a supervisor that ended well: a volume may show what is new a little later."""
        report = trio.Path(gate.folder, "report.json")
        with trio.move_on_after(_REPORT_SECONDS):
            while not await report.exists():
                await trio.sleep(_AGAIN_SECONDS / 10)

    async def _insist(self, work: Callable[[Pod], Awaitable[None]], pod: Pod) -> None:
        """Do it again while the cluster does not answer: a step is not lost for that.

        Raises:
            Unreachable: it has not been back for long, or ended the pod.
        """
        deadline = trio.current_time() + AWAY_SECONDS
        while True:
            try:
                await work(pod)
            except Unreachable:
                seen = self._place.pods.pod(self.name)
                if seen is not None and seen.is_over:
                    raise Unreachable(f"the cluster ended the step: {seen.end()}; it is tried again") from None
                if trio.current_time() > deadline:
                    raise
                await trio.sleep(_AGAIN_SECONDS)
            else:
                return


def _started(pod: Pod | None, containers: Sequence[str]) -> Pod | None:
    """The pod, if all of these run.

    Raises:
        Unreachable: they never will.
    """
    if pod is None or pod.runs(*containers):
        return pod
    if fault := pod.image_fault:
        raise Unreachable(
            f"the machine {pod.machine or 'of the step'} has not its image: {fault};"
            " see [kubernetes] containerd and registry"
        )
    if fault := pod.fault:
        raise Unreachable(f"the cluster cannot make the step's container: {fault}")
    if pod.is_over or any(pod.container(name).code is not None for name in containers):
        raise Unreachable(f"the step's pod ended before its command: {pod.end()}")
    return None


def _over(pod: Pod | None) -> Pod | None:
    """The pod, once the command in it has ended."""
    return pod if pod is not None and (pod.is_over or pod.container(STEP).code is not None) else None


async def _exit(gate: Gate, starved: bool) -> Exit:
    return await trio.to_thread.run_sync(lambda: gate.exit(starved=starved))
