"""The Argo runner: the Kubernetes runner's Jobs, each made when Argo lets it run, and shown by it."""

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
    """Steps as Jobs of a cluster, in Workflows that say when.

    Argo has no pods of its own for them; those of steps are what they are without it. What it sees of a step is a
    random name, and that it ended.
    """

    name = "argo"

    def __init__(self, settings: ClusterSettings, staging: Path, owner: str) -> None:
        """As :class:`Kubernetes`."""

        def submission(api: Api, jobs: Jobs) -> Rounds:
            return Rounds(api, jobs, settings.namespace, owner)

        super().__init__(settings, staging, owner, submission)

    async def describe(self) -> Description:
        """The cluster's version, and what it cannot give."""
        told = await super().describe()
        return replace(told, version=f"Argo on {told.version}" if told.version else "")
