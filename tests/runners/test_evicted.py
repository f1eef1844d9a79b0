"""Steps that a cluster ends by itself: each is told as what it was, in the cluster's words; another then runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from kubernetes import client

from catalog.error import Unreachable
from node.execute.kubernetes.manifest import STEP, memory_of
from node.step import Ending, Job
from tests.infra.kubernetes.control import NODE
from tests.runners.clusters import CLAIM, Ready
from tests.runners.meanwhile import WAIT_SECONDS, run, runner_of, until_it_takes_steps, while_it_runs
from tests.runners.subject import SMALL

WAYS = pytest.mark.parametrize("claim", [CLAIM, ""], ids=["with a volume", "without"])
AWAY = {"key": "comity.example/repair", "value": "disk", "effect": "NoExecute"}
# What waits in a socket is the kernel's memory: no process has it, so that no supervisor sees it. When the kernel gives
# no more of its own, it ends who touches a page of what it was promised.
FILLS_SOCKETS = """
import mmap, os, socket, sys, time

def fill():
    promised, load, kept = mmap.mmap(-1, 28 << 20), bytes(30_000), []
    try:
        while True:
            kept.append(socket.socketpair())
            for end in kept[-1]:
                end.setblocking(False)
                try:
                    while True:
                        end.send(load)
                except BlockingIOError:
                    pass
    except (OSError, MemoryError):
        pass
    for page in range(0, len(promised), mmap.PAGESIZE):
        promised[page] = 1
    time.sleep(600)

for _ in range(3):
    if os.fork() == 0:
        fill()
_, status = os.wait()
sys.exit(128 + os.WTERMSIG(status))
"""


@pytest.fixture(autouse=True)
def _takes_steps_again(there: Ready, work: Path) -> Iterator[None]:
    yield
    until_it_takes_steps(there, work)


@WAYS
def test_a_machine_that_is_cleared_by_a_taint_is_told(there: Ready, work: Path, claim: str) -> None:
    """Lost: «deleted by somebody», and nobody looks for the machine that is under repair."""
    before = _taints(there)

    async def taint() -> None:
        await trio.to_thread.run_sync(_taint, there, [*before, AWAY])

    try:
        ended = while_it_runs(runner_of(there, claim=claim), work, "sleep 600", taint)
        assert isinstance(ended, Unreachable), ended
        assert "its pod was deleted: DeletionByTaintManager" in str(ended)
        assert "NoExecute taint" in str(ended)
        with pytest.raises(Unreachable, match="had untolerated taint"):
            run(runner_of(there, claim=claim, patience_seconds=8), work)
    finally:
        _taint(there, before)


@WAYS
def test_a_pod_that_is_evicted_is_told(there: Ready, work: Path, claim: str) -> None:
    """Lost: a researcher who asks why a step ended, and an operator who drained a machine and does not think of it."""
    pods = _pods(there)

    async def evict() -> None:
        for pod in there.admin.get(pods)["items"]:
            metadata = {key: pod["metadata"][key] for key in ("name", "namespace")}
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
            there.admin.create(f"{pods}/{metadata['name']}/eviction", eviction)

    ended = while_it_runs(runner_of(there, claim=claim), work, "sleep 600", evict)
    assert isinstance(ended, Unreachable), ended
    assert "its pod was deleted: EvictionByEvictionAPI" in str(ended)


@WAYS
def test_a_container_that_the_kernel_ends_at_its_limit_is_told_as_memory(there: Ready, work: Path, claim: str) -> None:
    """Lost: a step that wants more memory than it may have is tried again for ever, as one that the cluster lost."""
    pods = _pods(there)
    before = there.admin.get(pods)
    watching = there.admin.watch(pods, before["metadata"]["resourceVersion"], WAIT_SECONDS)
    ended = trio.run(runner_of(there, claim=claim).run, Job(("python3", "-c", FILLS_SOCKETS), work, limits=SMALL))
    assert (ended.ending, ended.reason) == (Ending.OUT_OF_LIMITS, f"memory: more than {SMALL.memory_bytes} bytes")
    assert ended.usage.peak_bytes == SMALL.memory_bytes, "what it can have used, for its supervisor could not say"
    others = [pod["metadata"]["name"] for pod in before["items"]]  # of steps before, which go only now
    with closing(watching.events()) as events:
        seen = (event.object for event in events)
        told = _end_of_step(pod for pod in seen if pod["metadata"].get("name") not in others)
    assert told == (memory_of(SMALL), "OOMKilled")


def _end_of_step(pods: Iterable[dict[str, Any]]) -> tuple[int, str]:
    """The limit of memory of the first step's container that ended, and why, as the cluster says."""
    for pod in pods:
        for state in pod.get("status", {}).get("containerStatuses", ()):
            if state["name"] == STEP and "terminated" in state["state"]:
                (step,) = (each for each in pod["spec"]["containers"] if each["name"] == STEP)
                return int(step["resources"]["limits"]["memory"]), state["state"]["terminated"]["reason"]
    raise AssertionError("no step's container ended")


def _pods(there: Ready) -> str:
    return f"/api/v1/namespaces/{there.room.namespace}/pods"


def _taints(there: Ready) -> list[dict[str, Any]]:
    return list(there.admin.get(f"/api/v1/nodes/{NODE}")["spec"].get("taints", ()))


def _taint(there: Ready, taints: list[dict[str, Any]]) -> None:
    with there.cluster.client() as api:
        client.CoreV1Api(api).patch_node(NODE, {"spec": {"taints": taints}})
