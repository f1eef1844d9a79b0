"""A block's archive in the hands of others: Docker loads and runs it, a registry has it under our digest."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from node.api.blocks import BlockExported, ExportBlock
from node.execute.environment.image import make_image
from node.execute.kubernetes.images import MANIFEST
from node.site.exporting import export_block
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.infra import images, registry
from tests.infra.docker import daemon
from tests.infra.machine import need_programs
from tests.node.site.test_environment import TOOL, Author

DOCKERS = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def docker() -> Iterator[str]:
    """The address of a Docker, beside which there is a registry."""
    need_programs({"skopeo": "skopeo"})
    with daemon.running() as address:
        yield address


@pytest.fixture(scope="module")
def site(docker: str) -> Iterator[registry.Registry]:
    with registry.running(daemon.PLACE) as made:
        yield made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BlockExported]:
    """The archive of a block that is open to all and runs in busybox, and what is said of it."""
    folder = tmp_path_factory.mktemp("exported")
    made: list[BlockExported] = []

    async def test(there: Hospital) -> None:
        there.site.checkouts.start()
        author = Author(folder)
        (folder / "made").mkdir()
        make_image(images.busybox(), configuration(images.busybox()), folder / "made")
        block = await author.block("one", await author.blobs.add_path(folder / "made" / "tree"))
        assert block.environment is not None
        await there.site.blobs.put_nodes(list((await author.nodes(block.cid, block.environment)).items()))
        await there.write("block", block)
        request = ExportBlock(cid=block.cid, path=str(folder / "one.tar"))
        made.append(await export_block(there.site, there.steward.did, request))

    at_a_hospital(folder, test)
    return folder / "one.tar", made[0]


def test_docker_loads_the_archive_and_the_block_lies_in_what_it_runs_in(
    docker: str, archive: tuple[Path, BlockExported]
) -> None:
    """Lost: a tool that was vouched for, to whoever has Docker and no node."""
    path, said = archive
    assert said.name in run("docker", "--host", docker, "load", "--input", path)
    assert TOOL in ran(docker, said.name)
    known = run("docker", "--host", docker, "image", "inspect", "--format", "{{.Id}}", said.name)
    assert known.strip() == configuration(path), "what was loaded is what is in the archive"


def test_a_registry_has_it_under_the_digest_that_was_said(
    docker: str, site: registry.Registry, archive: tuple[Path, BlockExported]
) -> None:
    """Lost: that what a registry gives is what the sites ran."""
    path, said = archive
    copy = ("skopeo", "copy", "--preserve-digests", "--dest-tls-verify=false")
    run(*copy, f"oci-archive:{path}", f"docker://{site.host}/public/one:1")
    for name in ("1", said.digest):
        got = httpx.get(f"http://{site.host}/v2/public/one/manifests/{name}", headers={"Accept": MANIFEST})
        assert got.headers["Docker-Content-Digest"] == said.digest
        assert f"sha256:{hashlib.sha256(got.content).hexdigest()}" == said.digest
    pulled = f"{site.host}/public/one@{said.digest}"
    run("docker", "--host", docker, "pull", pulled)
    assert TOOL in ran(docker, pulled)


def test_what_docker_pushes_itself_keeps_the_digest_of_its_configuration(
    docker: str, site: registry.Registry, archive: tuple[Path, BlockExported]
) -> None:
    """Lost: the guide's word on what to compare; it compresses layers, by which the manifest is another."""
    path, said = archive
    pushed = f"{site.host}/public/two:1"
    run("docker", "--host", docker, "load", "--input", path)
    run("docker", "--host", docker, "tag", said.name, pushed)
    run("docker", "--host", docker, "push", pushed)
    got = httpx.get(f"http://{site.host}/v2/public/two/manifests/1", headers={"Accept": DOCKERS})
    assert got.json()["config"]["digest"] == configuration(path)
    assert got.headers["Docker-Content-Digest"] != said.digest


def ran(docker: str, image: str) -> str:
    """The tool, as it lies in a container of ``image``."""
    return run("docker", "--host", docker, "run", "--rm", "--network", "none", image, "cat", "/block/tool.cwl")


def configuration(archive: Path) -> str:
    """The digest of the image's configuration, which Docker calls its ID."""
    with tarfile.open(archive) as tar:
        file = tar.extractfile("manifest.json")
        assert file is not None
        config: str = json.loads(file.read())[0]["Config"]
    return f"sha256:{config.removeprefix('blobs/sha256/').removesuffix('.json')}"


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
