"""How a plan is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec import structs

from cli.main import run
from node.api.person import Persons
from node.api.quantity import money
from node.api.view import gap_text, sure_text
from node.keyfile import Identity
from tests.node.api.serving import Running


@pytest.fixture
def asked(
    running: Running, steward: Identity, researcher: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The words that ask the double for a plan."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    for person in (steward, researcher):
        Persons(tmp_path / "home").add(person)
    site = ["--site", str(running.folder)]
    project = ["project", "new", "pooling", "--person", "Mara", "--purpose", "DUO:0000006", "--until", "30d"]
    assert run([*site, "--as", "Sister Agnes", *project]) == 0
    file = tmp_path / "flow.cwl"
    file.write_text("class: Workflow\n")
    return [*site, "--as", "Mara", "workflow", "plan", str(file), "--value", "n=3", "--project", "pooling",
            "--deadline", "10m", "--budget", "2.50"]  # fmt: skip


def test_a_plan_says_what_it_rests_on_and_how_far_from_the_best_it_is(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: three receipts that differ by a factor look as sure as three hundred that agree."""
    assert run(asked) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "3 receipts, this block there, slow ones 2.5 times as long as quick ones" in told
    assert "cost 0.10 of a budget of 2.50; no plan is below 0.08, so it is at most 25.0% more than it must be" in told
    assert "no plan is better in that" in told
    assert "choose one of these" not in told


def test_both_objectives_list_what_there_is_to_choose_from(
    asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a person who could have it later for less never hears so."""
    assert run([*asked, "--objective", "both"]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    assert "ends after" in told
    assert "3.0 s" in told
    assert "0.08" in told


@pytest.mark.parametrize("deadline", ["0s", "2001-01-01T00:00"])
def test_a_deadline_that_has_passed_is_named_as_such(
    asked: list[str], deadline: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: whoever mistypes a date is told to ask every hospital for leave."""
    assert run([*asked, "--deadline", deadline]) == 6
    told = capsys.readouterr().err
    assert "has passed; give a later one" in told
    assert "ask" not in told


def test_receipts_that_agree_are_told_without_a_factor(running: Running, asked: list[str]) -> None:
    """Lost: «1 times as long» has people look for a difference that there is none of."""
    with running.node(Persons(Path(os.environ["COMITY_HOME"])).load("Mara")) as mara:
        made = mara.plan("class: Workflow\n", {"n": 3}, project="pooling", deadline="10m", budget="2.50")
    (step,) = made.view.steps
    assert sure_text(structs.replace(step, spread=1.003)) == "3 receipts, this block there"
    assert sure_text(structs.replace(step, spread=1.25)).endswith("slow ones 1.25 times as long as quick ones")


def test_a_bound_of_nothing_is_no_division() -> None:
    assert gap_text(50_000, 0, money) == "no plan is below 0.00"
    assert gap_text(0, 0, money) == "no plan is better in that"
