"""Docker, Kubernetes and Argo as tests start them: they run what they are given, apart, and nothing of them is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import docker
import pytest
from kubernetes import client

from tests.infra.argo import controller
from tests.infra.argo.manifests import WORKFLOWS
from tests.infra.daemons import Daemons
from tests.infra.docker import daemon
from tests.infra.image import Start, Tree, archive
from tests.infra.images import BUSYBOX, PYTHON
from tests.infra.kubernetes import cluster, control
from tests.infra.kubernetes.node import NO_NETWORK
from tests.infra.place import CGROUPS, Place

T = TypeVar("T")

NOBODY = 65534
# What a step sees of a network, and how far it comes: a refusal, which is an error too, came from there.
PROBE = """
import errno, json, socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
    reached = "connected"
except OSError as failed:
    reached = errno.errorcode.get(failed.errno, "timed out")
print(json.dumps([sorted(name for _, name in socket.if_nameindex()), reached]))
"""
PROBES_API = ["python3", "-c", PROBE, control.ADDRESS, str(control.PORT)]
# What Argo's executor adds to what a step says.
ARGOS = "\nError: exit status "
ALONE = [["lo"], "ENETUNREACH"]


@pytest.fixture(autouse=True)
def _places_of_their_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Beside any that other tests, or a terminal, have up; in a short path, for the sake of sockets."""
    with tempfile.TemporaryDirectory(prefix="comity-") as home:
        monkeypatch.setenv("XDG_STATE_HOME", home)
        yield


def test_docker_runs_a_container_without_network_and_leaves_nothing() -> None:
    """Lost: tests of the Docker runner that speak with another daemon, or litter the machine."""
    with daemon.running() as address:
        with closing(docker.DockerClient(base_url=address)) as asked:
            assert _probed(asked, network_mode="none") == ALONE
            # The same probe where there is a network: the gateway answers, if only with a refusal.
            assert _probed(asked) == [["eth0", "lo"], "ECONNREFUSED"]
            asked.containers.run(BUSYBOX, ["sleep", "1000"], network_mode="none", detach=True)
            assert _processes_of(daemon.PLACE)
        assert daemon.up() == address, "it was up"
    assert _left(daemon.PLACE) == []


def test_docker_comes_up_again_after_all_of_it_was_killed_but_a_container() -> None:
    """Lost: a machine that must be cleaned by hand whenever a run of the tests was killed."""
    try:
        address = daemon.up()
        with closing(docker.DockerClient(base_url=address)) as asked:
            asked.containers.run(BUSYBOX, ["sleep", "1000"], network_mode="none", detach=True)
        _kill_daemons(daemon.PLACE)
        with daemon.running() as again, closing(docker.DockerClient(base_url=again)) as asked:
            assert asked.containers.list(all=True) == []
    finally:
        daemon.down()
    assert _left(daemon.PLACE) == []


def test_kubernetes_runs_a_job_without_network_and_leaves_nothing() -> None:
    """Lost: tests of the Kubernetes runner that pass because no network is there to be cut off from."""
    with cluster.running() as made, made.client() as api:
        assert _job(api, "apart", NO_NETWORK) == ALONE
        assert _job(api, "joined", None) == [["eth0", "lo"], "connected"]
        _create_job(api, "stays", ["sleep", "1000"], NO_NETWORK)
        _until(lambda: _pod(api, "job-name=stays").status.phase == "Running")
        assert cluster.up() == made, "it was up"
    assert _left(cluster.PLACE) == []


def test_kubernetes_comes_up_again_after_all_of_it_was_killed_but_a_pod() -> None:
    """Lost: a machine that must be cleaned by hand whenever a run of the tests was killed."""
    try:
        made = cluster.up()
        with made.client() as api:
            _create_job(api, "stays", ["sleep", "1000"], NO_NETWORK)
            _until(lambda: _pod(api, "job-name=stays").status.phase == "Running")
        _kill_daemons(cluster.PLACE)
        with cluster.running() as again, again.client() as api:
            assert client.BatchV1Api(api).list_namespaced_job("default").items == []
    finally:
        cluster.down()
    assert _left(cluster.PLACE) == []


def test_argo_runs_a_workflow_and_leaves_nothing() -> None:
    """Lost: tests of the Argo runner without Argo."""
    with cluster.running() as made, controller.running(made) as account, made.client() as api:
        assert _workflow(api, account, "print('hello')") == ("Succeeded", "hello")
        assert _workflow(api, account, "import sys; print('bye'); sys.exit(3)") == ("Failed", f"bye{ARGOS}3")
        # Its own pods speak with the API server; those that it makes need not.
        assert _job_of_workflow(api, account, NO_NETWORK) == ALONE
        assert controller.up(made) == account, "it was up"
    assert _left(cluster.PLACE) == []


def test_a_process_that_took_an_ended_ones_number_is_left_alone(tmp_path: Path) -> None:
    """Lost: a stranger's process, ended for the number in a file that an earlier run left."""
    daemons = Daemons(tmp_path)
    daemons.start("ours", [sys.executable, "-c", "import time; time.sleep(1000)"])
    assert daemons.runs("ours")
    ours, born = (tmp_path / "ours.process").read_text().split(" ", 1)
    ticks, boot = born.split(" ")
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    try:
        (tmp_path / "stale.process").write_text(f"{stranger.pid} {int(ticks) - 1} {boot}")
        assert not daemons.runs("stale")
        daemons.stop(*daemons.names())
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert daemons.names() == []
    assert not Path(f"/proc/{ours}").exists()


def test_an_image_is_the_same_bytes_whenever_it_is_made() -> None:
    """Lost: results whose CIDs differ from run to run, for the digest of the image that is part of them."""
    names = ["b", "a/c", "a"]
    made = []
    for order in (names, sorted(names)):
        tree = Tree()
        for name in order:
            if name == "a":
                tree.link("link", "a/c")
            else:
                tree.file(name, name.encode())
        made.append(archive("infra.local/some:1", tree, Start(command=("a",), environment={"A": "b"})))
    assert made[0] == made[1]


def _probed(asked: docker.DockerClient, **settings: object) -> object:
    command = ["python3", "-c", PROBE, daemon.BRIDGE.partition("/")[0], "1"]
    hardened = {"read_only": True, "cap_drop": ["ALL"], "user": str(NOBODY), "security_opt": ["no-new-privileges"]}
    container = asked.containers.create(PYTHON, command, **hardened, **settings)
    try:
        container.start()
        assert container.wait(timeout=60)["StatusCode"] == 0
        return json.loads(container.logs())
    finally:
        container.remove(force=True)


def _job(api: client.ApiClient, name: str, runtime: str | None) -> object:
    _create_job(api, name, PROBES_API, runtime)
    return _said(api, name)


def _create_job(api: client.ApiClient, name: str, command: list[str], runtime: str | None) -> None:
    client.BatchV1Api(api).create_namespaced_job("default", _job_manifest(name, command, runtime))


def _job_manifest(name: str, command: list[str], runtime: str | None) -> dict[str, object]:
    container = {"name": "step", "image": PYTHON, "imagePullPolicy": "Never", "command": command}
    pod = _hardened(container) | {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1}
    pod |= {"runtimeClassName": runtime} if runtime else {}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def _said(api: client.ApiClient, job: str) -> object:
    """What a job said, in JSON, when it has ended well."""
    batch = client.BatchV1Api(api)
    _until(lambda: batch.read_namespaced_job_status(job, "default").status.succeeded)
    pod = _pod(api, f"job-name={job}").metadata.name
    return json.loads(client.CoreV1Api(api).read_namespaced_pod_log(pod, "default", _preload_content=False).data)


def _workflow(api: client.ApiClient, account: str, script: str) -> tuple[str, str]:
    """How a workflow of one step ended, and what it said."""
    # Argo asks a registry for the command that an image has, unless one is named.
    container = {"image": PYTHON, "imagePullPolicy": "Never", "command": ["python3", "-c", script]}
    pod = _hardened(container)
    name, ended = _ended(api, account, {"container": pod.pop("containers")[0]}, pod)
    of_it = _pod(api, f"workflows.argoproj.io/workflow={name}").metadata.name
    log = client.CoreV1Api(api).read_namespaced_pod_log(of_it, WORKFLOWS, container="main")
    # Argo's executor has its own log there.
    return ended, "\n".join(line for line in log.splitlines() if "argo=true" not in line)


def _job_of_workflow(api: client.ApiClient, account: str, runtime: str) -> object:
    manifest = json.dumps(_job_manifest("made", PROBES_API, runtime))
    ends = {"successCondition": "status.succeeded > 0", "failureCondition": "status.failed > 0"}
    resource = {"action": "create", "manifest": manifest, "setOwnerReference": True, **ends}
    assert _ended(api, account, {"resource": resource}, {})[1] == "Succeeded"
    return _said(api, "made")


def _ended(api: client.ApiClient, account: str, template: dict[str, object], pod: dict[str, object]) -> tuple[str, str]:
    """The name of a workflow of one template, and how it ended."""
    spec = {"entrypoint": "main", "serviceAccountName": account, "executor": {"serviceAccountName": account}}
    spec |= pod | {"templates": [{"name": "main"} | template]}
    value = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"generateName": "w-"}, "spec": spec}
    custom = client.CustomObjectsApi(api)
    where = ("argoproj.io", "v1alpha1", WORKFLOWS, "workflows")
    name = custom.create_namespaced_custom_object(*where, value)["metadata"]["name"]

    def phase() -> str | None:
        found = custom.get_namespaced_custom_object(*where, name).get("status", {}).get("phase")
        return found if found in ("Succeeded", "Failed", "Error") else None

    return name, str(_until(phase))


def _hardened(container: dict[str, object]) -> dict[str, object]:
    denied = {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    who = {
        "runAsNonRoot": True,
        "runAsUser": NOBODY,
        "runAsGroup": NOBODY,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    limits = {"limits": {"cpu": "500m", "memory": "128Mi"}}
    return {
        "securityContext": who,
        "automountServiceAccountToken": False,
        "containers": [container | {"securityContext": denied, "resources": limits}],
    }


def _pod(api: client.ApiClient, label: str) -> client.V1Pod:
    found = _until(lambda: client.CoreV1Api(api).list_namespaced_pod("default", label_selector=label).items)
    return found[0]


def _until(look: Callable[[], T], seconds: float = 90) -> T:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def _kill_daemons(place: Place) -> None:
    """End it as a machine that runs out of memory does: whatever is next, in no order, and nothing is told."""
    for name in place.daemons.names():
        os.kill(int((place.daemons.folder / f"{name}.process").read_text().split()[0]), signal.SIGKILL)


def _left(place: Place) -> list[str]:
    """What there is of it on this machine."""
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if _names(place, line)]
    folders = [place.state, place.sockets, Path("/run/netns", place.mark)]
    groups = [folder / place.mark for folder in (CGROUPS, *CGROUPS.iterdir())]
    return _processes_of(place) + mounts + [str(path) for path in (*folders, *groups) if path.exists()]


def _processes_of(place: Place) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and folder.name != str(os.getpid()):
            try:
                told = (folder / "cmdline").read_text(errors="replace") + (folder / "cgroup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if _names(place, told):
                found.append(f"{folder.name}: {told}")
    return found


def _names(place: Place, text: str) -> bool:
    return any(name in text for name in (str(place.state), place.mark))
