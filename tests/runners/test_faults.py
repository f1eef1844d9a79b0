"""Clusters that fail, refuse and lose things: a step survives, or is told what became of it in the cluster's words."""

from __future__ import annotations

import secrets
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
import trio

from catalog.error import Denied, Unreachable
from deploy.kubernetes.install import install, write_config
from deploy.kubernetes.manifest import Manifest, manifests
from node.execute.kubernetes.api import connect
from node.step import Ending, Exit
from tests.infra.argo import controller
from tests.infra.containerd import socket
from tests.infra.machine import run as run_program
from tests.runners.clusters import CLAIM, Ready
from tests.runners.filled import FILLING, Site, fill_by_a_step, small_disk
from tests.runners.meanwhile import WAIT_SECONDS, run, runner_of, until_it_takes_steps, while_it_runs


def until_it_may(there: Ready, *, may: bool) -> None:
    """The API server takes a moment to heed what was changed of the node's rights, and to know them when it started."""
    asked = {"namespace": there.room.namespace, "verb": "create", "group": "batch", "resource": "jobs"}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    with closing(connect(there.config)) as node:
        for _ in range(WAIT_SECONDS):
            with suppress(Unreachable):
                if node.create(path, review | {"spec": {"resourceAttributes": asked}})["status"]["allowed"] is may:
                    return
            time.sleep(1)
    raise AssertionError(f"the node's rights were not that within {WAIT_SECONDS} s")


@pytest.mark.parametrize("claim", [CLAIM, ""], ids=["with a volume", "without"])
def test_a_step_outlives_an_api_server_that_is_killed(there: Ready, work: Path, claim: str) -> None:
    """Lost: hours of computation, since a control plane was updated."""
    daemons = there.cluster.place.daemons
    process = (daemons.folder / "apiserver.process").read_text().split()[0]
    command = there.cluster.place.inside(*Path(f"/proc/{process}/cmdline").read_text().rstrip("\0").split("\0"))

    async def kill_and_start() -> None:
        await trio.to_thread.run_sync(daemons.stop, "apiserver")
        await trio.sleep(4)  # the step ends in that time, and nobody is there to be told
        await trio.to_thread.run_sync(daemons.start, "apiserver", command)

    with controller.away(there.cluster):
        ended = while_it_runs(runner_of(there, claim=claim), work, "sleep 2; echo well > made", kill_and_start)
        until_it_may(there, may=True)
    assert isinstance(ended, Exit), ended
    assert (ended.ending, ended.code) == (Ending.EXITED, 0)
    assert (work / "made").read_text() == "well\n"
    until_it_takes_steps(there, work)


@pytest.mark.parametrize("claim", [CLAIM, ""], ids=["with a volume", "without"])
def test_a_pod_that_somebody_deletes_is_told_so(there: Ready, work: Path, claim: str) -> None:
    """Lost: «failed», and nobody knows that it was the operator."""
    pods = f"/api/v1/namespaces/{there.room.namespace}/pods"

    async def delete() -> None:
        for pod in there.admin.get(pods)["items"]:
            there.admin.delete(f"{pods}/{pod['metadata']['name']}")

    ended = while_it_runs(runner_of(there, claim=claim), work, "sleep 600", delete)
    assert isinstance(ended, Unreachable), ended
    assert "deleted" in str(ended)


def give(there: Ready, quota: Manifest, cpus: str) -> None:
    """Let all steps have so many CPUs together. What the API server heeds of a quota is its status."""
    hard = quota.value["spec"]["hard"] | {"limits.cpu": cpus}
    there.admin.apply(quota.path, quota.value | {"spec": {"hard": hard}}, "comity")
    for _ in range(WAIT_SECONDS):
        if there.admin.get(quota.path).get("status", {}).get("hard", {}).get("limits.cpu") == cpus:
            return
        time.sleep(1)
    raise AssertionError(f"the quota was not that within {WAIT_SECONDS} s")


def test_a_quota_that_is_met_is_told(there: Ready, work: Path) -> None:
    """Lost: a step waits for room for ever, and nobody is told to make some."""
    quota = next(each for each in manifests("kubernetes", there.room) if each.kind == "ResourceQuota")
    usual = str(quota.value["spec"]["hard"]["limits.cpu"])
    give(there, quota, "50m")
    try:
        with pytest.raises(Unreachable, match=r"exceeded quota: comity-steps.*limits.cpu=200m"):
            run(runner_of(there, patience_seconds=60), work)
    finally:
        give(there, quota, usual)
    assert run(runner_of(there), work).code == 0


def test_a_step_for_which_no_machine_has_room_is_told_why(there: Ready, work: Path) -> None:
    """Lost: the scheduler's own words, which an operator can act on."""
    with pytest.raises(Unreachable, match="Insufficient cpu"):
        run(runner_of(there, millicpus=11_900, patience_seconds=20), work)


def test_an_image_that_was_removed_is_told(there: Ready, work: Path) -> None:
    """Lost: a step waits for an image that nobody will bring."""
    runner = runner_of(there)
    assert run(runner, work, "true").code == 0
    images = ["ctr", "--address", str(socket(there.cluster.place)), "--namespace", "k8s.io", "images"]
    names = [
        name for name in str(run_program([*images, "list", "--quiet"])).split() if name.startswith("comity.local/")
    ]
    run_program([*images, "remove", "--sync", *names])
    with pytest.raises(Unreachable, match="ErrImageNeverPull"):
        run(runner, work)
    assert run(runner_of(there), work).code == 0, "it is brought again"


def test_a_cluster_whose_pods_have_a_network_is_refused(there: Ready) -> None:
    """Lost: patients' data leave by a network that a policy was thought to deny."""
    with pytest.raises(Denied, match="no network: it reaches the API server"):
        trio.run(runner_of(there, runtime_class="").probe)


def test_what_the_node_may_not_do_is_told_with_the_right_that_it_lacks(there: Ready, work: Path) -> None:
    """Lost: a node whose rights were taken fails without a word of it."""
    binding = next(each for each in manifests("kubernetes", there.room) if each.kind == "RoleBinding")
    there.admin.delete(binding.path)
    try:
        until_it_may(there, may=False)
        with pytest.raises(Denied, match=r"cannot create resource .*jobs.*comity site deploy"):
            run(runner_of(there), work)
    finally:
        install(there.admin, manifests("kubernetes", there.room))
        until_it_may(there, may=True)


def test_a_cluster_that_is_away_at_the_start_keeps_steps_from_running_and_nothing_else(
    there: Ready, tmp_path: Path
) -> None:
    """Lost: a node that does not start, since a cluster is being updated."""
    write_config(there.admin, there.room, tmp_path / "config")
    text = (tmp_path / "config").read_text().replace(there.admin.host, "https://127.0.0.1:1")
    (tmp_path / "config").write_text(text)
    runner = runner_of(there, config=tmp_path / "config")
    assert trio.run(runner.recover, tmp_path) == 0
    with pytest.raises(Denied, match="does not answer"):
        trio.run(runner.probe)
    assert "does not answer" in trio.run(runner.describe).lacks[0]


@pytest.mark.parametrize("way", FILLING)
def test_a_step_that_fills_the_volume_is_told_so_leaves_nothing_and_the_next_one_runs(
    way: str, there: Ready, tmp_path: Path
) -> None:
    """Lost: an order that is tried again and again, as if a pod had been deleted, and fills the volume each time."""
    with small_disk(there.volume / f"disk-{secrets.token_hex(4)}") as disk:
        trio.run(fill_by_a_step, Site(runner_of(there), disk, tmp_path), way)
