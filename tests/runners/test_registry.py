"""A cluster that has the images of steps from the site's own registry, a real one, as the node puts them there."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import Unreachable
from node.execute.environment.base import base_sources, fill_base
from node.execute.image import Image
from node.execute.kubernetes.runner import Kubernetes
from node.execute.stepimage import step_image
from node.step import Ending, Environment, Exit, Job
from tests.infra import containerd, registry
from tests.infra.machine import run as run_program
from tests.runners.clusters import CLAIM, Ready
from tests.runners.subject import SMALL, SUCCEEDS

USERS = {"node": secrets.token_hex(8), "machines": secrets.token_hex(8)}


@pytest.fixture
def site(there: Ready) -> Iterator[registry.Registry]:
    with registry.running(there.cluster.place) as made:
        yield made


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """One that no machine has yet, of which the layer is random."""
    mark = secrets.token_hex(16)
    root = tmp_path / "root"
    (root / "opt").mkdir(parents=True)
    (root / "opt" / "mark").write_text(mark)
    fill_base(root, base_sources())
    links = {"bin": "opt/bin", "lib": "opt/lib", "lib64": "opt/lib"}
    return Environment(Cid.of(mark.encode()), root, links, {"PATH": "/opt/bin"})


def runner_of(there: Ready, site: registry.Registry, **more: object) -> Kubernetes:
    settings = there.settings(claim=CLAIM, containerd=None, registry=f"{site.host}/site/steps", **more)
    return Kubernetes(settings, there.volume, "registry")


def run(runner: Kubernetes, work: Path, environment: Environment) -> Exit:
    job = Job(("cat", "/opt/mark"), work, environment=environment, stdout="said", limits=SMALL, succeeds=SUCCEEDS)
    return trio.run(runner.run, job)


def refusal(runner: Kubernetes, work: Path, environment: Environment) -> str:
    """What is told of a step that does not start, in one line."""
    with pytest.raises(Unreachable) as raised:
        run(runner, work, environment)
    assert str(raised.value).isprintable()
    return str(raised.value)


def test_a_step_runs_in_what_the_cluster_pulled_by_its_digest(
    there: Ready, site: registry.Registry, work: Path, environment: Environment
) -> None:
    """Lost: a cluster of more than one machine, to which there is no other way for images."""
    runner, image = runner_of(there, site), step_image(environment)
    done = run(runner, work, environment)
    assert (done.ending, done.code) == (Ending.EXITED, 0), done
    assert (work / "said").read_text() == (environment.folder / "opt" / "mark").read_text()
    assert _pulled(there, site, image), "by its digest, and under the name of the registry"
    trio.run(runner.probe)


def test_a_registry_that_is_away_when_the_machine_pulls_is_told(
    there: Ready, site: registry.Registry, work: Path, environment: Environment
) -> None:
    """Lost: a step that waits, and nobody looks after the registry."""
    runner = runner_of(there, site)
    trio.run(runner.image, environment)
    site.stop()
    told = refusal(runner, work, environment)
    assert "has not its image: ImagePullBackOff" in told
    assert "connection refused" in told
    site.start()
    assert run(runner, work, environment).code == 0, "it is tried again"


def test_a_registry_that_gives_other_bytes_is_not_believed(
    there: Ready, site: registry.Registry, work: Path, environment: Environment
) -> None:
    """Lost: steps, and the data that they read, to whoever may write a registry's disk."""
    runner, image = runner_of(there, site), step_image(environment)
    trio.run(runner.image, environment)
    layer = site.blob(image.layers[-1].digest)
    content = layer.read_bytes()
    mark = (environment.folder / "opt" / "mark").read_bytes()
    assert mark in content
    layer.write_bytes(content.replace(mark, mark[::-1]))
    told = refusal(runner, work, environment)
    assert "has not its image: ImagePullBackOff" in told
    assert "unexpected commit digest" in told
    assert not (work / "said").exists()
    assert not _pulled(there, site, image)


def test_a_registry_with_users_has_one_for_the_node_and_one_for_the_machines(
    there: Ready, site: registry.Registry, work: Path, environment: Environment, tmp_path: Path
) -> None:
    """Lost: a hospital whose registry is not open to all has no cluster."""
    site.stop()
    site.start(users=USERS)
    assert "wants a user and password" in refusal(runner_of(there, site), work, environment)
    login = tmp_path / "login"
    login.write_text(f"node:{USERS['node']}\n")
    login.chmod(0o600)
    runner = runner_of(there, site, registry_login=login)
    told = refusal(runner, work, environment)
    assert "has not its image: ImagePullBackOff" in told
    assert "401 Unauthorized" in told
    with _machines_are_users(there, site):
        assert run(runner, work, environment).code == 0


@contextmanager
def _machines_are_users(there: Ready, site: registry.Registry) -> Iterator[None]:
    """What the operator's guide says for the cluster's side."""
    space = f"/api/v1/namespaces/{there.room.namespace}"
    user = base64.b64encode(f"machines:{USERS['machines']}".encode()).decode()
    config = json.dumps({"auths": {site.host: {"auth": user}}})
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "steps"}}
    secret |= {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": config}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    there.admin.create(f"{space}/secrets", secret)
    there.admin.apply(f"{space}/serviceaccounts/default", account | {"imagePullSecrets": [{"name": "steps"}]}, "tests")
    try:
        yield
    finally:
        there.admin.apply(f"{space}/serviceaccounts/default", account, "tests")
        there.admin.delete(f"{space}/secrets/steps")


def _pulled(there: Ready, site: registry.Registry, image: Image) -> bool:
    """Whether the cluster's machine has an image under the name of the registry."""
    name = f"{site.host}/site/steps@{image.digest}"
    ctr = ["ctr", "--address", str(containerd.socket(there.cluster.place)), "--namespace", "k8s.io"]
    return image.digest in run_program([*ctr, "images", "list", f"name=={name}"])
