"""Plans of a running consortium, as the command tells them."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

from devnet.topology import PROJECT
from tests.devnet.consortium import Consortium, publish_workflow


def asked(consortium: Consortium, folder: Path, *more: str, json_too: bool = False) -> subprocess.CompletedProcess[str]:
    """``comity workflow plan`` for the tables of both hospitals that run, with ``more`` options."""
    file = folder / "workflow.cwl"
    file.write_text(consortium.workflow)
    tables = [word for each in (consortium.small, consortium.large) for word in ("--data", f"tables={each.dataset}")]
    words = ("workflow", "plan", str(file), *tables, "--project", PROJECT, *more)
    return consortium.command(*words, *(["--json"] if json_too else []))


def test_a_plan_tells_where_and_why_and_how_far_from_the_best_it_may_be(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: a person agrees to a plan without knowing what rests on what, or that a better one may be there."""
    told = asked(consortium, tmp_path, "--deadline", "10m", "--budget", "5", "--objective", "both", "--improve", "2")
    assert told.returncode == 0, told.stderr
    for part in (consortium.small.name, consortium.large.name, "is resident at", "the deadline is", "of a budget of"):
        assert part in told.stdout, told.stdout
    assert told.stdout.count("no plan is ") == 2, "the bounds of cost and of finish"

    view = json.loads(asked(consortium, tmp_path, "--deadline", "10m", "--budget", "5", json_too=True).stdout)
    assert view["least_finish"] <= view["finish"]
    assert view["least_cost"] <= view["cost"]
    pool = next(each for each in view["steps"] if each["step"] == "pool")
    sums = [each for each in view["steps"] if each["step"] == "sums"]
    assert pool["start"] >= max(each["finish"] for each in sums)
    for each in view["steps"]:
        assert each["basis"]
        assert {other["site"] for other in each["elsewhere"]} | {each["site_name"]} >= {
            consortium.small.name,
            consortium.large.name,
            consortium.known.institute.name,
        }


def test_limits_that_cannot_be_kept_are_told_with_what_would_do(consortium: Consortium, tmp_path: Path) -> None:
    """Lost: a person hears that it cannot be done, and neither why nor what to ask for."""
    # Blocks that nobody has run: what receipts taught of others' would keep the deadline.
    consortium = replace(consortium, workflow=publish_workflow(consortium.places, consortium.known, "never run"))
    late = asked(consortium, tmp_path, "--deadline", "1s", "--budget", "5")
    assert late.returncode == 6, late.stdout
    assert "what would do: deadline +" in late.stderr
    poor = asked(consortium, tmp_path, "--deadline", "10m", "--budget", "0.01")
    assert poor.returncode == 6, poor.stdout
    assert "what would do: budget +" in poor.stderr
    lift = poor.stderr.partition("budget +")[2].partition(".")
    enough = 0.01 + float(f"{lift[0]}.{lift[2][:2]}")
    given = asked(consortium, tmp_path, "--deadline", "10m", "--budget", f"{enough:.2f}")
    assert given.returncode == 0, given.stderr
