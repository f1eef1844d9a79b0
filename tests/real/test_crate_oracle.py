"""Crates beside rocrate-validator, which knows RO-Crate and its run profiles by their authors' own shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.devnet.conftest import consortium
from tests.devnet.consortium import Consortium, run

__all__ = ["consortium"]

ORACLE = Path(__file__).resolve().parents[1] / "oracle"

LEFT = {
    "ro-crate-1.1_28.1": "data do not leave their sites, and so are not reachable by their names",
    "ro-crate-1.1_31.2": "a site has no URL; its name is a key",
    "process-run-crate-0.5_3.2": "the bus is whatever node the home site ran, which is at no URL",
    "process-run-crate-0.5_5.1": "a block is named by its CID, which is no address on the web",
}
"""The recommended checks that do not pass, and why."""


@pytest.fixture(scope="session")
def validator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the validator, which cannot be beside the product: it wants an older rich."""
    place = tmp_path_factory.mktemp("validator")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "sync", "-q", "--require-hashes", "--python", python, ORACLE / "crate.txt"],
        check=True,
    )
    return python


def test_no_required_check_fails_and_of_the_recommended_those_that_cannot_be_met(
    consortium: Consortium, validator: Path, tmp_path: Path
) -> None:
    """Lost: that viewers and registries read a crate as what it is."""
    with consortium.researcher() as mara:
        ended = run(mara, consortium.workflow, [each.dataset for each in consortium.known.hospitals]).check()
    crate, out = tmp_path / "crate", tmp_path / "found.json"
    told = consortium.command("submission", "export", str(ended.submission), "--to", str(crate), "--results")
    assert told.returncode == 0, told.stderr
    subprocess.run(
        [validator, ORACLE / "crate.py", crate, tmp_path / "cache", out],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    found = json.loads(out.read_text())
    assert [each for each in found if each["severity"] == "REQUIRED"] == []
    assert {each["check"] for each in found} == set(LEFT)
