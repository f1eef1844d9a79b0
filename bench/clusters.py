"""What a step costs in a cluster beyond its command, beside the same by the cluster's own means.

- **Kubernetes**, promised within 1.2 times a bare Job of the same image, from its creation until its end is seen.
- **Argo**, promised within 1.2 times a bare Workflow of one step of the same image.
- **Steps fanned out**, promised at 0.8 of the cluster's own rate: of as many bare Jobs made at once, and for Argo of a
  bare Workflow of as many steps.

``COMITY_RUNNER_SETTINGS`` names a file with the sections ``[steps]`` and ``[kubernetes]`` of a ``site.toml``, whose
namespace «comity site deploy argo» made. Steps go by the volume if it names a claim, else beside it. Without the file
nothing is measured. ``COMITY_ARGO_ACCOUNT`` is the account there of Argo's own pods, which a bare Workflow has and ours
has not; without it Kubernetes alone is measured.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tomllib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import trio

from bench.figure import Figure, Floor, Series
from bench.workplace import workplace
from catalog.error import ComityError, Denied, NotFound
from node.clustersettings import ClusterSettings, cluster_settings
from node.execute.argo.runner import Argo
from node.execute.kubernetes.api import Api, Value, connect
from node.execute.kubernetes.manifest import MANAGED
from node.execute.kubernetes.runner import Kubernetes
from node.step import Job, Runner
from node.stepsettings import step_settings

RUNS: Final = 8
WARM_UP: Final = 1
FAN: Final = int(os.environ.get("COMITY_FAN", "100"))
_LOOK_SECONDS: Final = 0.05
_MOST_SECONDS: Final = 1200.0


async def measured() -> tuple[list[Figure], list[str]]:
    """What was measured, and what was not."""
    named = os.environ.get("COMITY_RUNNER_SETTINGS")
    if not named:
        return [], ["no cluster was measured: COMITY_RUNNER_SETTINGS names none"]
    table = tomllib.loads(await trio.Path(named).read_text())
    settings, volume = cluster_settings(table), step_settings(table).staging
    with workplace() as scratch:
        folder = volume or scratch
        kubernetes, argo = Kubernetes(settings, folder, "bench"), Argo(settings, folder, "bench")
        try:
            await kubernetes.probe()
        except Denied as error:
            return [], [f"Kubernetes was not measured: {error}"]
        bare = _Bare(connect(settings.config), settings, (await kubernetes.image(None)).name)
        figures = [await _beside("a step in Kubernetes", kubernetes, folder, "bare Job", bare.job)]
        figures.append(await _fanned("in Kubernetes", kubernetes, folder, "bare Job", bare.jobs))
        if not bare.account:
            return figures, ["Argo was not measured: COMITY_ARGO_ACCOUNT names no account for a bare Workflow"]
        try:
            figures.append(await _beside("a step in Argo", argo, folder, "bare Workflow", bare.workflow))
        except (NotFound, ComityError) as error:
            return figures, [f"Argo was not measured: {error}"]
        figures.append(await _fanned("by Argo", argo, folder, "bare Workflow", partial(bare.fan, FAN)))
        return figures, []


async def _beside(
    what: str, runner: Runner, folder: Path, name: str, reference: Callable[[], Awaitable[float]]
) -> Figure:
    took, bare = [], []
    for _ in range(WARM_UP + RUNS):
        took.append(await _step(runner, folder))
        bare.append(await reference())
    ours, theirs = Series.of_seconds("step", took[WARM_UP:]), Series.of_seconds(name, bare[WARM_UP:])
    return Figure(what, ours, theirs, Floor(round(1.2 * theirs.median, 1)))


async def _fanned(
    what: str, runner: Runner, folder: Path, name: str, reference: Callable[[], Awaitable[object]]
) -> Figure:
    """All at once; and as many of the cluster's own at once."""
    begun = perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(FAN):
            nursery.start_soon(_step, runner, folder)
    ours = Series.of_seconds("step", [(perf_counter() - begun) / FAN])
    begun = perf_counter()
    await reference()
    theirs = Series.of_seconds(name, [(perf_counter() - begun) / FAN])
    return Figure(f"{FAN} steps fanned out {what}, each", ours, theirs, Floor(round(theirs.median / 0.8, 1)))


async def _step(runner: Runner, folder: Path) -> float:
    place = folder / os.urandom(8).hex()
    (place / "left" / "work").mkdir(parents=True)
    begun = perf_counter()
    ended = await runner.run(Job(("true",), place / "left" / "work", succeeds=frozenset({0})))
    took = perf_counter() - begun
    if ended.left is None:
        raise ComityError(f"the benchmark's step came to nothing: {ended}")
    shutil.rmtree(place)
    return took


class _Bare:
    """The cluster's own Jobs and Workflows of an image, which do nothing."""

    def __init__(self, api: Api, settings: ClusterSettings, image: str) -> None:
        self._api = api
        self._settings = settings
        self._image = image
        self.account = os.environ.get("COMITY_ARGO_ACCOUNT", "")

    async def job(self) -> float:
        """Seconds from a Job's creation until its end is seen."""
        spec = {"backoffLimit": 0, "template": {"spec": self._pod() | {"restartPolicy": "Never"}}}
        path = f"/apis/batch/v1/namespaces/{self._settings.namespace}/jobs"
        value = {"apiVersion": "batch/v1", "kind": "Job", "spec": spec}
        return await self._ended(path, value, lambda status: bool(status.get("succeeded")))

    async def jobs(self) -> None:
        """As many as are fanned out, at once."""
        async with trio.open_nursery() as nursery:
            for _ in range(FAN):
                nursery.start_soon(self.job)

    async def workflow(self) -> float:
        """Seconds from the creation of a Workflow of one step until its end is seen."""
        return await self.fan(1)

    async def fan(self, steps: int) -> float:
        """Likewise, of so many steps at once."""
        pod = self._pod()
        (container,) = pod.pop("containers")
        spec = {
            "entrypoint": "main",
            "serviceAccountName": self.account,
            "securityContext": pod["securityContext"],
            "templates": [
                {
                    "name": "main",
                    "steps": [[{"name": "step", "template": "step", "withSequence": {"count": str(steps)}}]],
                },
                {"name": "step", "container": {name: value for name, value in container.items() if name != "name"}},
            ],
        }
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{self._settings.namespace}/workflows"
        value = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}
        return await self._ended(path, value, lambda status: status.get("phase") == "Succeeded")

    def _pod(self) -> Value:
        denied = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        amounts = {"cpu": f"{self._settings.millicpus}m", "memory": "256Mi"}
        container = {
            "name": "step",
            "image": self._image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/opt/bin/true"],
            "securityContext": denied,
            "resources": {"limits": amounts},
        }
        who = {"runAsNonRoot": True, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}}
        return {"securityContext": who, "automountServiceAccountToken": False, "containers": [container]}

    async def _ended(self, path: str, value: Value, is_over: Callable[[Value], bool]) -> float:
        name = f"bare-{secrets.token_hex(6)}"
        begun = perf_counter()
        made = value | {"metadata": {"name": name, "labels": MANAGED}}
        await trio.to_thread.run_sync(self._api.create, path, made)
        with trio.fail_after(_MOST_SECONDS):
            status: Value = {}
            while not is_over(status):
                await trio.sleep(_LOOK_SECONDS)
                status = (await trio.to_thread.run_sync(self._api.get, f"{path}/{name}")).get("status", {})
        took = perf_counter() - begun
        await trio.to_thread.run_sync(partial(self._api.delete, f"{path}/{name}"))
        return took
