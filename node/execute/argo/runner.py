"""The Argo runner: the Kubernetes runner's Jobs, which Argo starts, schedules and shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.clustersettings import ClusterSettings
from node.execute.argo.rounds import Rounds
from node.execute.kubernetes.api import Api
from node.execute.kubernetes.jobs import Jobs
from node.execute.kubernetes.runner import Kubernetes
from node.step import Description


class Argo(Kubernetes):
    """Steps as Jobs of a cluster that are started by Workflows.

    Argo's own pods speak with the API server and hold no data; those of steps are made by Jobs and are what they are
    without Argo. What Argo sees of a step is its random name, whether it goes on, and that it ended.
    """

    name = "argo"

    def __init__(self, settings: ClusterSettings, staging: Path, owner: str) -> None:
        """As :class:`Kubernetes`; ``settings.account`` is whom Argo's pods are."""

        def submission(api: Api, jobs: Jobs) -> Rounds:
            return Rounds(api, jobs, settings.namespace, owner, settings.account)

        super().__init__(settings, staging, owner, submission, ttl_seconds=60)

    async def describe(self) -> Description:
        """The cluster's version, and what it cannot give."""
        told = await super().describe()
        return replace(told, version=f"Argo on {told.version}" if told.version else "")
