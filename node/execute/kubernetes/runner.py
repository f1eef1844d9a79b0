"""The Kubernetes runner: each step a Job of one pod, in a namespace that «comity site deploy» made for it."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from catalog.error import BadInput, ComityError, Denied, Unreachable, shown
from node.clustersettings import ClusterSettings
from node.execute.account import NOBODY
from node.execute.container import Gate
from node.execute.discard import discard
from node.execute.kubernetes.api import Api, Value, connect
from node.execute.kubernetes.environments import Environments
from node.execute.kubernetes.images import Containerd, Images, Registry
from node.execute.kubernetes.jobs import Jobs, Submission
from node.execute.kubernetes.manifest import Image, Pattern
from node.execute.kubernetes.onejob import OneJob, Place, last_words
from node.execute.kubernetes.onestep import OneStep
from node.execute.kubernetes.pods import Pods
from node.execute.kubernetes.probe import LIMITS, answered, listening, probe_command, read_findings
from node.execute.kubernetes.quota import UNKNOWN, bounds, machine_of
from node.execute.kubernetes.way import Beside, Volume, Way
from node.step import AT_ONCE, Description, Ending, Environment, Exit, Job, Machine, Turn

log = logging.getLogger("comity.kubernetes")

_GONE_SECONDS: Final = 120.0
_PROBE_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.25
_LACKS: Final = (
    "processes and files in /tmp are bounded by the supervisor; by the kernel where the kubelet does (podPidsLimit)",
    "what a step writes to its machine's disk is bounded by looks at it, several in a second",
    "whoever administers the cluster can look into the pods of steps, and their volumes, while they run",
)
_MEND: Final = (
    "let its network hold to NetworkPolicy, or name a [kubernetes] runtime_class whose pods have no network,"
    " and probe again"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster, once it is known how to speak with it."""

    api: Api
    jobs: Jobs
    environments: Environments
    place: Place


class Direct:
    """Each step's Job is made by the node itself."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def submit(self, job: Value) -> None:
        """Have ``job`` made.

        Raises:
            Denied, Unreachable, BadInput: the cluster does not take it.
        """
        await trio.to_thread.run_sync(self._jobs.make, job)

    async def withdraw(self, name: str, *, ended: bool) -> None:
        """Have the Job ``name`` gone, and its pod.

        Raises:
            Denied, Unreachable: the cluster does not do it.
        """
        await trio.to_thread.run_sync(lambda: self._jobs.end(name, ended=ended))

    async def fault(self, name: str) -> str:
        """Why the cluster did not make the pod of ``name`` when it tried last; an empty string if it did not try.

        Raises:
            Denied: such a pod is never let in. Unreachable: the cluster does not tell.
        """
        return await trio.to_thread.run_sync(self._jobs.refusal, name)

    async def sweep(self) -> None:
        """There is nothing else."""


class Kubernetes:
    """Steps as Jobs of a cluster.

    A step's pod has the «restricted» profile of Pod Security, no account, no network (which the probe tries), a
    read-only root, and limits of CPU and memory by its control group; all else is held by its supervisor.
    """

    name = "kubernetes"

    def __init__(
        self,
        settings: ClusterSettings,
        staging: Path,
        owner: str,
        submission: Callable[[Api, Jobs], Submission] = lambda _, jobs: Direct(jobs),
    ) -> None:
        """``staging`` is where the volume of ``settings.claim`` lies here; ``owner`` names this node in the cluster.

        ``owner`` is a label's value: at most 63 letters, digits, dots and hyphens.
        """
        self._settings = settings
        self._staging = staging
        self._submission = submission
        self._pattern = Pattern(
            owner=owner,
            user=os.geteuid() or NOBODY,
            group=os.getegid() or NOBODY,
            millicpus=settings.millicpus,
            claim=settings.claim,
            runtime_class=settings.runtime_class,
        )
        self._cluster: Cluster | None = None
        self._folder: Path | None = None
        self._mine: set[str] = set()

    async def run(self, job: Job, turn: Turn = AT_ONCE) -> Exit:
        """Run ``job`` to its end within its ``turn``; its pod is gone, or ended, when this returns or raises.

        Raises:
            Denied: the cluster does not let such a pod in, or does not know this node.
            BadInput: the job cannot be run as it is written.
            Unreachable: the API server is away, there is no room or no image, or the cluster ended the step; with
                the cluster's own reason.
        """
        cluster = await self._joined()
        image = await cluster.environments.image(job.environment)
        gate = await trio.to_thread.run_sync(Gate, job)
        way, one = self._way(cluster, job, gate, image), OneJob(cluster.place)
        self._mine.add(one.name)
        try:
            parts = await trio.to_thread.run_sync(way.prepare)
            return await OneStep(one, job.limits, way).carry_out(image, parts, gate, turn)
        finally:
            self._mine.discard(one.name)
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(way.close)
                await trio.to_thread.run_sync(gate.close)

    async def image(self, environment: Environment | None) -> Image:
        """The image in which steps with ``environment`` start, where the cluster has it.

        Raises:
            Denied, Unreachable, BadInput: it cannot be made, or brought there.
        """
        return await (await self._joined()).environments.image(environment)

    async def recover(self, folder: Path) -> int:
        """End whatever an earlier node of this name left in the cluster, and wait until it is gone; how many steps.

        What a cluster that does not answer runs is left to the next probe.
        """
        self._folder = folder
        try:
            return await self._end_left(await self._joined())
        except BadInput:
            return 0  # with such settings no node had steps there; the probe, which comes next, says what is wrong
        except ComityError as error:
            log.warning("steps of an earlier node may be left in the cluster: %s", error)
            return 0

    async def probe(self) -> None:
        """Show by a real pod that a step reaches nothing, and by a real step that they run.

        Raises:
            Denied: a guarantee fails, or the cluster cannot be used; the message says which and what to do.
        """
        try:
            cluster = await self._joined()
            await self._end_left(cluster)
            cluster.environments.forget()
            image = await cluster.environments.image(None)
            await self._probe_pod(cluster, image)
            await self._probe_step()
        except Denied:
            raise
        except ComityError as error:
            raise Denied(f"no step runs in the cluster: {error}") from error

    async def describe(self) -> Description:
        """The cluster's version, and what it cannot give."""
        try:
            cluster = await self._joined()
            version, found = await trio.to_thread.run_sync(_facts, cluster, self._settings.namespace)
        except ComityError as error:
            return Description(self.name, "", (f"the cluster does not answer: {error}", *_LACKS))
        told = [
            f"all steps together have no more than {shown(most)} of {shown(what)}: the quota of the namespace"
            for what, most in found.items()
        ]
        return Description(self.name, f"Kubernetes {version}", (*(told or [UNKNOWN]), *_LACKS))

    async def machine(self) -> Machine:
        """What the quotas of its namespace leave to steps.

        Raises:
            NotFound: there are none. Denied, Unreachable, BadInput: the cluster does not tell.
        """
        api = (await self._joined()).api
        return await trio.to_thread.run_sync(lambda: machine_of(bounds(api, self._settings.namespace)))

    async def _joined(self) -> Cluster:
        """The cluster.

        Raises:
            BadInput: the settings lead to none.
        """
        if self._cluster is None:
            self._cluster = await trio.to_thread.run_sync(self._join)
        return self._cluster

    def _join(self) -> Cluster:
        settings = self._settings
        if settings == ClusterSettings():
            raise BadInput(
                f"site.toml has no section [kubernetes]; run «comity site deploy {self.name}», which says what it has"
            )
        images = _images(settings)
        try:
            api = connect(settings.config)
        except BadInput as error:
            raise BadInput(f"{error}: «comity site deploy» writes one, for [kubernetes] config") from error
        jobs = Jobs(api, settings.namespace, self._pattern.owner)
        pods = Pods(api, jobs.pods, jobs.selector)
        place = Place(self._submission(api, jobs), pods, self._pattern, settings.patience_seconds)
        return Cluster(api, jobs, Environments(images), place)

    async def _end_left(self, cluster: Cluster) -> int:
        await cluster.place.submission.sweep()
        left = [name for name in await trio.to_thread.run_sync(cluster.jobs.all) if name not in self._mine]
        for name in left:
            await cluster.place.submission.withdraw(name, ended=False)

        with trio.move_on_after(_GONE_SECONDS) as scope:
            while left and not set(left).isdisjoint(await trio.to_thread.run_sync(cluster.jobs.there)):  # noqa: ASYNC110
                await trio.sleep(_LOOK_SECONDS)
        if scope.cancelled_caught:
            raise Unreachable(f"steps of an earlier node do not end in the cluster: see the pods of {', '.join(left)}")
        return len(left)

    def _way(self, cluster: Cluster, job: Job, gate: Gate, image: Image) -> Way:
        if self._settings.claim:
            return Volume(job, gate, self._staging)
        return Beside(job, gate, cluster.api, self._settings.namespace, image)

    async def _probe_pod(self, cluster: Cluster, image: Image) -> None:
        with listening(cluster.api.host) as (targets, end):
            place = replace(cluster.place, patience_seconds=_PROBE_SECONDS)
            said = await last_words(place, image, probe_command(targets), LIMITS)
            broken = read_findings(said).broken(self._pattern.user)
            if answered(end) and not any("no network" in each for each in broken):
                broken.append("no network: it reaches this node")
        if broken:
            raise Denied(f"the cluster does not give {'; '.join(broken)}: this node runs no steps there; {_MEND}")

    async def _probe_step(self) -> None:
        folder = (self._folder or self._staging) / f"probe-{secrets.token_hex(8)}"
        work = folder / "left" / "work"
        await trio.to_thread.run_sync(lambda: work.mkdir(parents=True, mode=0o700))
        try:
            argv = ("python3", "-c", "open('made', 'w').write('well')")
            done = await self.run(Job(argv, work, limits=LIMITS, succeeds=frozenset((0,))))
            made = trio.Path(work, "made")
            if done.ending is not Ending.EXITED or done.code or not await made.exists():
                said = done.errors.decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise Denied(f"a step does not run in the cluster as it should: {said or done.reason or done.code}")
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(discard, folder)


def _images(settings: ClusterSettings) -> Images:
    if settings.registry:
        return Registry(settings.registry, settings.registry_login)
    if settings.containerd is not None:
        return Containerd(settings.containerd)
    raise BadInput(
        "how images get to the cluster's machines is not said: [kubernetes] registry is the site's own,"
        " or containerd the socket of a cluster of this machine alone"
    )


def _facts(cluster: Cluster, namespace: str) -> tuple[str, dict[str, str]]:
    """The cluster's version, and what all steps together have at most. Blocking."""
    version = shown(str(cluster.api.get("/version").get("gitVersion", "")))
    return version, bounds(cluster.api, namespace)
