"""One Job on its way through the cluster: it is made, its pod comes to something or to nothing, and it is ended."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from catalog.error import ComityError, Denied, NotFound, Unreachable, shown
from node.execute.kubernetes.jobs import HopelessError, Submission
from node.execute.kubernetes.manifest import STEP, Image, Part, Pattern, job_manifest
from node.execute.kubernetes.pod import Pod
from node.execute.kubernetes.pods import Pods
from node.step import Limits

log = logging.getLogger("comity.kubernetes")

_REFUSALS_SECONDS: Final = 3.0
_GONE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where steps run: how Jobs come there, what is seen of their pods, what all have in common."""

    submission: Submission
    pods: Pods
    pattern: Pattern
    patience_seconds: float


class OneJob:
    """One Job, called ``name`` there."""

    def __init__(self, place: Place) -> None:
        self.name = f"step-{secrets.token_hex(8)}"
        self._place = place
        self._refusal = ""

    @property
    def pod(self) -> Pod | None:
        """Its pod, as it was seen last."""
        return self._place.pods.pod(self.name)

    @property
    def unseen(self) -> str:
        """Why nothing is known of it now, or an empty string."""
        return self._place.pods.fault

    async def make(
        self, image: Image, commands: Mapping[str, Sequence[str]], limits: Limits, parts: Sequence[Part]
    ) -> None:
        """Have it made.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take it.
        """
        self._place.pods.follow()
        manifest = job_manifest(self.name, image, commands, limits, parts, self._place.pattern)
        await self._place.submission.submit(manifest)

    async def until(self, look: Callable[[Pod | None], Pod | None]) -> Pod:
        """Its pod, once ``look`` returns it; what that raises is raised here."""
        return await self._place.pods.until(self.name, look)

    async def begun(self, look: Callable[[Pod | None], Pod | None]) -> Pod:
        """Its pod, once ``look`` returns it, which is to be soon: no longer than one has patience with the cluster.

        Raises:
            Denied, Unreachable: it does not come to that; with the cluster's reason.
        """
        with trio.move_on_after(self._place.patience_seconds) as scope:
            begun = await self._begun(look)
        if not scope.cancelled_caught:
            return begun
        seen = self.pod
        told = seen.stands if seen is not None else self._refusal or "it made no pod, and does not say why"
        told = self.unseen or told
        raise Unreachable(
            f"the cluster did not start the step within {self._place.patience_seconds:g} s: {told};"
            " ask its operator for room, or give [kubernetes] patience_seconds more"
        )

    async def _begun(self, look: Callable[[Pod | None], Pod | None]) -> Pod:
        """Its pod, once ``look`` returns it; while there is none it is asked why.

        Raises:
            Denied: such a pod is never let in.
        """
        while True:
            with trio.move_on_after(_REFUSALS_SECONDS) as scope:
                begun = await self.until(look)
            if not scope.cancelled_caught:
                return begun
            if self.pod is None:
                self._refusal = await self._refused()

    async def withdraw(self, *, ended: bool) -> bool:
        """End what is left of it, and wait until its pod is gone; be done with it where the cluster does not answer.

        Whether its command is known to have ended.
        """
        try:
            await self._place.submission.withdraw(self.name, ended=ended)
            if not ended:
                with trio.move_on_after(_GONE_SECONDS) as scope:
                    await self._place.pods.until(self.name, lambda pod: True if pod is None or pod.gone else None)
                if scope.cancelled_caught:
                    log.error("the pod of %s was told to end, and is there yet after %g s", self.name, _GONE_SECONDS)
                    return False
        except (ComityError, OSError) as error:
            log.warning("what is left of %s in the cluster ends by itself, or at the next start: %s", self.name, error)
            return ended
        else:
            return True
        finally:
            self._place.pods.forget(self.name)

    async def _refused(self) -> str:
        """Why it has no pod, if the cluster says so; what may pass by is no error.

        Raises:
            HopelessError, Denied: it will have none.
        """
        try:
            return await self._place.submission.fault(self.name)
        except HopelessError:
            raise
        except (NotFound, Unreachable) as error:
            return str(error)


async def last_words(place: Place, image: Image, command: Sequence[str], limits: Limits) -> str:
    """What ``command`` said last, in a pod like a step's that sees nothing.

    Raises:
        Denied: it failed, or such a pod is not let in.
        Unreachable: the cluster does not answer, or has no room or no image.
    """
    job = OneJob(place)
    try:
        await job.make(image, {STEP: command}, limits, ())
        pod = await job.begun(over)
    finally:
        with trio.CancelScope(shield=True):
            await job.withdraw(ended=True)
    container = pod.container(STEP)
    if container.code != 0:
        raise Denied(f"the probe in the cluster failed: {pod.end()} {shown(container.message)}")
    return container.message


def running(pod: Pod | None, containers: Sequence[str]) -> Pod | None:
    """The pod, if all of these run.

    Raises:
        Unreachable: they never will.
    """
    if pod is None or pod.runs(*containers):
        return pod
    check(pod)
    if pod.is_over or any(pod.container(name).code is not None for name in containers):
        raise Unreachable(f"the step's pod ended before its command: {pod.end()}")
    return None


def check(pod: Pod) -> None:
    """See whether its containers can start.

    Raises:
        Unreachable: they never will.
    """
    if fault := pod.image_fault:
        raise Unreachable(
            f"the machine {pod.machine or 'of the step'} has not its image: {fault};"
            " see [kubernetes] containerd and registry"
        )
    if fault := pod.fault:
        raise Unreachable(f"the cluster cannot make the step's container: {fault}")


def over(pod: Pod | None) -> Pod | None:
    """The pod, once the command in it has ended.

    Raises:
        Unreachable: it never will begin.
    """
    if pod is not None and (pod.is_over or pod.container(STEP).code is not None):
        return pod
    if pod is not None:
        check(pod)
    return None
