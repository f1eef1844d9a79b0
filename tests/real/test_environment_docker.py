"""A block that brings its Python, from its author's sandbox to a real Docker at another site."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet import faults
from devnet.publication import endorse
from devnet.topology import Institution, Places, topology
from tests.devnet.consortium import SUMS_CODE, SUMS_TOOL, Consortium, comity, publish_and_grant, run
from tests.devnet.wheels import package, pip_settings
from tests.infra import machine
from tests.infra.docker import daemon

HINTS = """requirements:
  WorkReuse: {enableReuse: false}
hints:
  comity:Environment: {lock: requirements.lock}
"""
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {tables: "File[]"}
steps:
  sums: {run: "comity:SUMS", scatter: table, in: {table: tables}, out: [sums]}
outputs:
  sums: {type: "File[]", outputSource: sums/sums}
"""
SITES = 3
IMAGE = "comity.local/step"


@pytest.fixture(scope="module")
def docker() -> Iterator[str]:
    with daemon.running() as address:
        yield address


@pytest.fixture
def consortium(docker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consortium]:
    """Three sites whose nodes find the wheels of the test; the second hospital's steps run in Docker."""
    for name, value in pip_settings(tmp_path / "wheels").items():
        monkeypatch.setenv(name, value)
    environment = {"COMITY_DEVNET": str(tmp_path / "net")}
    up = comity("devnet", "up", "--sites", str(SITES), environment=environment)
    assert up.returncode == 0, up.stderr
    try:
        made = Consortium(Places(tmp_path / "net"), topology(SITES), "")
        change_runner(made, made.large, docker)
        yield made
    finally:
        comity("devnet", "down", environment=environment)


def change_runner(consortium: Consortium, institution: Institution, docker: str) -> None:
    """Have a site's steps run in the daemon at ``docker``, as its operator does it."""
    file = consortium.places.site(institution).config
    text = re.sub(r'(?m)^runner = "sandbox".*$', 'runner = "docker"', file.read_text())
    file.write_text(f'{text}\n[docker]\nhost = "{docker}"\n')
    faults.strike(consortium.places, "stop", institution.handle)
    faults.strike(consortium.places, "resume", institution.handle)


def test_a_block_s_environment_runs_in_docker_as_in_the_sandbox_and_is_loaded_once(
    consortium: Consortium, docker: str, tmp_path: Path
) -> None:
    """Lost: a result that depends on the runner of the site; 300 MB that go into Docker before every step."""
    author, other = consortium.small, consortium.large
    cid = published(consortium, author, tmp_path)
    table = tmp_path / "same.csv"
    table.write_bytes(consortium.places.table(author).read_bytes())
    publish_and_grant(consortium, other, table)
    workflow, before = WORKFLOW.replace("SUMS", cid), time.time()
    with consortium.researcher() as mara, consortium.steward(other) as steward:
        assert steward.status().runner == "docker"
        ended = run(mara, workflow, [author.dataset, table.stem]).check()
        assert set(ended.took_part) == {author.name, other.name}
        made = [each.cid for each in ended.results]
        assert len(made) == 2
        assert len(set(made)) == 1, "the same of the same, in the sandbox and in Docker"
        first = happened(docker, before)
        between = time.time()
        again = run(mara, workflow, [table.stem]).check()
        assert [each.cid for each in again.results] == made[:1]
    second = happened(docker, between)
    assert [kind for kind, _ in first].count("load") == 1
    (image,) = {name for kind, name in second if kind == "create"}
    assert image in {name for kind, name in first if kind == "create"}, "it is the environment's image again"
    assert "load" not in {kind for kind, _ in second}


def published(consortium: Consortium, author: Institution, tmp_path: Path) -> str:
    """The CID of a block with a Python of its own, shared with all and endorsed where it is to run."""
    folder = tmp_path / "block"
    folder.mkdir()
    (folder / "tool.cwl").write_text(SUMS_TOOL.replace("MARK", "docker").replace("hints:\n", HINTS))
    (folder / "step.py").write_text(
        SUMS_CODE.replace("LONG", str(10**9)).replace("math.fsum(rows)", "__import__('hospitalsums').total(rows)")
    )
    (folder / "requirements.lock").write_bytes(package(tmp_path / "wheels"))
    added = consortium.command("block", "add", str(folder), "--name", "sums by docker", "--json", at=author)
    assert added.returncode == 0, added.stderr
    cid = str(json.loads(added.stdout)["cid"])
    shared = consortium.command("block", "share", cid, "--everyone", at=author)
    assert shared.returncode == 0, shared.stderr
    for each in consortium.known.hospitals:
        endorse(consortium.places, consortium.known, each, cid)
    return cid


def happened(docker: str, since: float) -> list[tuple[str, str]]:
    """What the daemon did with images and containers of steps since then: what it was, and the image's name."""
    asked = ("events", "--since", f"{since:.3f}", "--until", f"{time.time():.3f}", "--format", "{{json .}}")
    events = [json.loads(line) for line in machine.run(["docker", "--host", docker, *asked]).splitlines()]
    told = [(each["Action"], each["Actor"]["Attributes"]) for each in events]
    named = [(action, about.get("image") or about.get("name", "")) for action, about in told]
    return [(action, name) for action, name in named if name.startswith(IMAGE) or action == "load"]
