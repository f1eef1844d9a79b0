"""A block with an environment, from its author's lock to a step at a hospital that asks no index."""

from __future__ import annotations

import json
import secrets
import tarfile
from pathlib import Path

import pytest

from devnet import faults
from devnet.publication import endorse
from tests.devnet.consortium import POOL_CODE, POOL_TOOL, SUMS_CODE, SUMS_TOOL, WORKFLOW, Consortium, run
from tests.devnet.wheels import package, pip_settings

HINT = "hints:\n  comity:Environment: {lock: requirements.lock}\n"


def test_a_block_brings_its_environment_to_the_site_that_runs_it(
    consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a block that runs at its author's alone; a hospital that must install what a stranger's block wants."""
    mark = secrets.token_hex(8)
    wheels, author = tmp_path / "wheels", consortium.large
    for name, value in pip_settings(wheels).items():
        monkeypatch.setenv(name, value)
    faults.strike(consortium.places, "kill", author.handle)
    faults.strike(consortium.places, "resume", author.handle)
    folder = tmp_path / "block"
    folder.mkdir()
    (folder / "tool.cwl").write_text(SUMS_TOOL.replace("MARK", mark).replace("hints:\n", HINT))
    (folder / "step.py").write_text(
        SUMS_CODE.replace("LONG", str(10**9)).replace("math.fsum(rows)", "__import__('hospitalsums').total(rows)")
    )
    (folder / "requirements.lock").write_bytes(package(wheels))
    added = consortium.command("block", "add", str(folder), "--name", f"sums {mark}", "--json", at=author)
    assert added.returncode == 0, added.stderr
    cid = json.loads(added.stdout)["cid"]
    names = ("--with", consortium.small.name, "--with", consortium.known.institute.name)
    shared = consortium.command("block", "share", cid, *names, at=author)
    assert shared.returncode == 0, shared.stderr
    shown = consortium.command("block", "show", cid, at=author)
    assert "runs in" in shown.stdout
    assert "hospitalsums 1.0 (python, linux/" in shown.stdout
    endorse(consortium.places, consortium.known, consortium.small, cid)
    for wheel in wheels.iterdir():
        wheel.unlink()  # nobody needs an index from here on
    with consortium.researcher() as mara:
        pool = mara.publish_block({"tool.cwl": POOL_TOOL, "pool.py": POOL_CODE}, f"pool {mark}")
        workflow = WORKFLOW.replace("SUMS", cid).replace("POOL", str(pool.cid))
        ended = run(mara, workflow, [consortium.small.dataset], min_sites=1).check()
        assert consortium.small.name in ended.took_part
    again = consortium.command("block", "add", str(folder), "--name", f"sums {mark}", at=author)
    assert again.returncode == 2, again.stdout
    assert "no «hospitalsums==1.0»" in again.stderr
    assert again.stderr.count("\n") == 1
    exported = ("block", "export", cid, "--oci", str(tmp_path / "sums.tar"))
    refused = consortium.command(*exported, at=author)
    assert refused.returncode == 3, refused.stdout
    assert f"for {consortium.known.institute.name}, " in refused.stderr
    opened = consortium.command("block", "share", cid, "--everyone", at=author)
    assert opened.returncode == 0, opened.stderr
    written = consortium.command(*exported, at=author)
    assert written.returncode == 0, written.stderr
    with tarfile.open(tmp_path / "sums.tar") as archive:
        assert {"index.json", "manifest.json", "oci-layout"} <= set(archive.getnames())
