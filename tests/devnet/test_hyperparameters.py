"""The example that tries learning rates side by side, on a devnet, compared with the same training in this process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from devnet.publication import endorse
from devnet.topology import PROJECT
from node.api.client import Node
from tests.devnet.consortium import ROOT, SECONDS, Consortium

EXAMPLE = ROOT / "examples" / "hyperparameters"
RATES = [0.01, 0.5, 2.0]


def published(mara: Node, name: str) -> str:
    files = {path.name: path.read_text() for path in (EXAMPLE / name).iterdir() if path.is_file()}
    return str(mara.publish_block(files, f"hyperparameters {name}").cid)


def cid_by_readme(consortium: Consortium, block: str) -> str:
    """A block's CID by the command that the example's page gives."""
    page = (EXAMPLE / "README.md").read_text()
    (code,) = re.findall(r"^cid\(\).*python3 -c '(.*)'; }$", page, re.MULTILINE)
    shown = consortium.command("--json", "block", "show", block)
    assert shown.returncode == 0, shown.stderr
    command = [sys.executable, "-c", code]
    return subprocess.run(command, input=shown.stdout, capture_output=True, text=True, check=True).stdout.strip()


def trained(table: Path, rate: float) -> dict[str, Any]:
    spec = spec_from_file_location("train", EXAMPLE / "train" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    model: dict[str, Any] = module.trained(table, rate)
    return model


def test_the_best_of_several_learning_rates_is_found_where_the_data_are(consortium: Consortium) -> None:
    """Lost: a list of numbers cannot be scattered over, or a step is given another number than was signed for."""
    hospital = consortium.large
    with consortium.researcher() as mara:
        train, choose = published(mara, "train"), published(mara, "choose")
        assert cid_by_readme(consortium, "hyperparameters train") == train
        mara.share_block(mara.block_entry("hyperparameters train").fields.cid, [hospital.name])
        endorse(consortium.places, consortium.known, hospital, train)
        text = (EXAMPLE / "workflow.cwl").read_text().replace("TRAIN", train).replace("CHOOSE", choose)
        job = {"table": {"class": "File", "location": f"dataset:{hospital.dataset}"}, "rates": RATES}
        plan = mara.plan(text, job, project=PROJECT, deadline="10m", budget="10")
        assert {each.site_name for each in plan.view.steps if each.step == "train"} == {hospital.name}
        ended = mara.wait(mara.submit(plan), SECONDS).check()
        best = json.loads(mara.result(ended.submission, "best"))
        here = [trained(consortium.places.table(hospital), rate) for rate in RATES]
        expected = min(here, key=lambda model: model["fit"]["loss"])
        assert best["fit"]["rate"] == expected["fit"]["rate"]
        assert best["count"] == expected["count"]
        for name, told in expected["parameters"].items():
            assert best["parameters"][name]["estimate"] == pytest.approx(told["estimate"], rel=1e-5)
        # One more rate: those that were tried before are remembered, at the hospital, and cost nothing.
        more = mara.plan(text, job | {"rates": [*RATES, 1.0]}, project=PROJECT, deadline="10m", budget="10")
        again = mara.wait(mara.submit(more), SECONDS).check()
        charged = sorted(each.cost for each in again.view.instances if each.step == "train")
        assert charged[:3] == [0, 0, 0]
        assert charged[3] > 0
