"""What is told of Jobs: why one has no pod, for good or until the cluster tries again, and whether one is gone."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.error import Denied
from node.execute.kubernetes.jobs import Jobs


class Events:
    """An API server that has said this of a Job."""

    def __init__(self, *said: str) -> None:
        self._said = said

    def get(self, _path: str, **_query: object) -> dict[str, Any]:
        return {"items": [{"message": each} for each in self._said]}


def refusal(*said: str) -> str:
    return Jobs(Events(*said), "steps", "owner").refusal("step-1")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "said",
    [
        "Error creating: Operation cannot be fulfilled on resourcequotas: the object has been modified; please apply",
        'Error creating: pods "step-1" is forbidden: exceeded quota: comity-steps',
        "Error creating: etcdserver: request timed out",
    ],
)
def test_what_the_cluster_tries_again_is_waited_for(said: str) -> None:
    """Lost: some of a hundred steps that come at once, since their pods changed the same quota."""
    assert refusal("is forbidden: long ago", said) == said


@pytest.mark.parametrize(
    "said",
    [
        'Error creating: pods "step-1" is forbidden: violates PodSecurity "restricted:latest"',
        'Error creating: admission webhook "x" denied the request: no',
        'Error creating: Pod "step-1" is invalid: spec',
    ],
)
def test_what_is_never_let_in_is_told_at_once(said: str) -> None:
    """Lost: ten minutes, until it is told that nothing was ever to be waited for."""
    with pytest.raises(Denied, match="does not let the step's pod in"):
        refusal(said)


@pytest.mark.parametrize(("jobs", "pods"), [(["step-1"], []), ([], ["step-1"]), (["step-1"], ["step-1"])])
def test_a_job_is_there_until_it_and_its_pod_are_forgotten(jobs: list[str], pods: list[str]) -> None:
    """Lost: a node that starts twice in a moment ends, and counts, the same step twice."""

    class Cluster:
        def get(self, path: str, **_query: object) -> dict[str, Any]:
            job = {"labels": {"batch.kubernetes.io/job-name": "step-1"}}
            return {"items": [{"metadata": {"name": each} | job} for each in (jobs if "jobs" in path else pods)]}

    assert Jobs(Cluster(), "steps", "owner").there() == {"step-1"}  # type: ignore[arg-type]


def test_nothing_said_is_nothing() -> None:
    assert refusal() == ""
