"""``comity disclosure ledger``: a steward sees what left about whom, and what was held back of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.project import ProjectRef
from cli.main import run
from node.api.disclosed import ExaminationView, FoundView
from node.api.person import Persons
from node.keyfile import Identity
from tests.node.api.serving import Running

FOUND = FoundView(cell="iv", reason="below threshold", words="the cell iv has 3 people; at least 10 leave")
DATA = Cid.of(b"visits")


@pytest.fixture
def anna(running: Running, steward: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the running site and its steward; two tables were examined there."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    left = ExaminationView(
        index=10,
        at=1_700_000_000_000,
        released=True,
        lost=False,
        population=str(DATA),
        datasets={str(DATA): "visits"},
        person_name="Mara \x1b[31m",
        home_name="Institute",
        project=ProjectRef(site=running.site.root.did, name="trial"),
        block=Cid.of(b"block"),
        block_name="count",
        output="counts",
        by=("stage",),
        where={"year": ("2025",)},
        people=90,
        withheld=2,
        line="table of 4 cells",
        found=(FOUND,),
    )
    asked = structs.replace(
        left, index=20, released=False, population="ward 3", line="not released: too few people stand behind it"
    )
    running.site.examined = (left, asked, structs.replace(left, index=30, lost=True))
    return ["--site", str(running.folder), "--as", "Sister Agnes"]


def test_a_row_says_what_left_about_whom_to_whom_and_what_was_held_back_and_no_small_count(
    anna: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward does not see what was tried; or sees counts that are nobody's to see over a shoulder."""
    assert run([*anna, "disclosure", "ledger"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    left, asked, lost = shown.splitlines()[1:]
    for part in ("visits", "at Institute", "trial", "counts of count by stage, year 2025", "left", "2 cells: below"):
        assert part in left
    assert ("ward 3" in asked, "a steward was asked" in asked, "all: below threshold" in asked) == (True, True, True)
    assert "its record is lost" in lost
    assert "3 people" not in shown


def test_what_was_found_is_shown_where_it_is_asked_for(anna: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*anna, "disclosure", "ledger", "--population", "ward 3", "--found"]) == 0
    shown = capsys.readouterr().out
    assert "row 20: the cell iv has 3 people; at least 10 leave (below threshold)" in shown
    assert "row 10" not in shown
    assert run([*anna, "disclosure", "ledger", "--population", "visits", "--json"]) == 0
    assert [each["index"] for each in json.loads(capsys.readouterr().out)] == [10, 20, 30]
    assert run([*anna, "disclosure", "ledger", "--population", "nobody"]) != 0
    assert "there is no dataset or population «nobody»" in capsys.readouterr().err
