"""What the API server says of a pod, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.error import Unreachable
from node.execute.kubernetes.onejob import over, running
from node.execute.kubernetes.pod import read_pod


def pod(phase: str = "Pending", **status: Any) -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-name": "step-1"}
    return {"metadata": {"name": "step-1-x", "labels": labels}, "status": {"phase": phase, **status}}


def state(**state: Any) -> list[dict[str, Any]]:
    return [{"name": "step", "state": state}]


def test_a_pod_runs_once_all_of_its_containers_do() -> None:
    """Lost: a step is let go while what brings its inputs is not there."""
    both = [*state(running={}), {"name": "side", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    seen = read_pod(pod("Pending", containerStatuses=both))
    assert (seen.runs("step"), seen.runs("step", "side"), seen.waits) == (True, False, "side: ContainerCreating")


def test_memory_is_told_from_other_ends() -> None:
    """Lost: a step that met its limit of memory is tried again for ever, as one that the cluster lost."""
    seen = read_pod(pod("Failed", containerStatuses=state(terminated={"exitCode": 137, "reason": "OOMKilled"})))
    assert seen.container("step").starved
    assert seen.end() == "OOMKilled (code 137)"


def test_an_eviction_is_told_in_the_clusters_words() -> None:
    """Lost: a disk that fills, and nobody knows."""
    said = "The node was low on resource: ephemeral-storage."
    assert read_pod(pod("Failed", reason="Evicted", message=said)).end() == f"Evicted {said}"


def test_who_deleted_a_pod_is_told_if_the_cluster_says_so() -> None:
    """Lost: «deleted by somebody», of a node that an operator drains."""
    said = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    leaving = pod("Running", conditions=[{"type": "DisruptionTarget", "status": "True", **said}])
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert read_pod(leaving).end() == "its pod was deleted: EvictionByEvictionAPI Eviction API: evicting"
    assert read_pod(pod("Running"), gone=True).end() == "its pod was deleted by somebody"


def test_what_no_machine_takes_says_why() -> None:
    """Lost: the scheduler's reason."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    assert read_pod(pod(conditions=[condition])).unplaced == "Unschedulable: 0/1 nodes"


@pytest.mark.parametrize("reason", ["ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName"])
def test_an_image_that_will_not_come_is_not_waited_for(reason: str) -> None:
    """Lost: ten minutes for each step."""
    seen = read_pod(pod(containerStatuses=state(waiting={"reason": reason, "message": "no such image"})))
    with pytest.raises(Unreachable, match=f"has not its image: {reason}: no such image"):
        running(seen, ["step"])
    with pytest.raises(Unreachable, match=reason):
        over(seen)


def test_the_cause_at_the_end_of_a_long_message_is_told() -> None:
    """Lost: an operator reads thrice what the image is called, and not that the registry refused a connection."""
    image = "registry.example/site/steps@sha256:" + "0" * 64
    said = (
        f'Back-off pulling image "{image}": failed to pull "{image}": failed to resolve "{image}": connection refused'
    )
    seen = read_pod(pod(containerStatuses=state(waiting={"reason": "ImagePullBackOff", "message": said})))
    assert seen.image_fault.startswith('ImagePullBackOff: Back-off pulling image "registry.example/')
    assert seen.image_fault.endswith("connection refused")
    assert len(seen.image_fault) == 300


def test_what_passes_by_is_waited_for() -> None:
    """Lost: a step, since a registry was away for a second."""
    seen = read_pod(pod(containerStatuses=state(waiting={"reason": "ErrImagePull", "message": "timeout"})))
    assert running(seen, ["step"]) is None
    assert running(None, ["step"]) is None


def test_nothing_that_the_cluster_says_steers_a_terminal() -> None:
    """Lost: an image's name, chosen by somebody, rewrites an operator's screen."""
    seen = read_pod(pod("Failed", reason="Evicted", message="\x1b[2J" + "x" * 1000))
    assert "\x1b" not in seen.end()
    assert len(seen.end()) < 400
