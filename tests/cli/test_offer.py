"""Offers from the terminal, and what the place where steps run is like."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog.capacity import CapacityFields, Load, Speed
from catalog.cid import Cid
from catalog.offer import Most
from cli.main import run
from node.api.person import Persons
from node.api.running import LimitsView, StepsView
from node.keyfile import Identity
from tests.node.api.serving import Running

MOST = Most(seconds=300, cpu_seconds=200, memory_mib=1024)
SPEED = Speed(integer=1100, floating=900, hashing=1600, writing=700, at=1_790_000_000_000)
HERE = StepsView(
    runner="sandbox", version="bubblewrap 0.11.0", lacks=("no GPU is passed through",), proven=1_790_000_000_000,
    running=2, waiting=5, at_once=2, load=Load.FULL, speed=SPEED, environments=(Cid.of(b"numpy"),),
    limits=LimitsView(
        seconds=300, cpu_seconds=200, memory_mib=1024, processes=64, output_mib=256, output_files=10_000
    ),
)  # fmt: skip
SAID = CapacityFields(
    runner="sandbox", platform="linux/amd64", processor="Z80", processors=16, memory_mib=64_000, at_once=16, most=MOST,
    speed=SPEED, load=Load.BUSY,
)  # fmt: skip


@pytest.fixture
def anna(running: Running, steward: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that name the running site and its steward."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(steward)
    running.site.steps = HERE
    return ["--site", str(running.folder), "--as", steward.name]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_prices_of_use_come_with_what_a_step_may_use(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a steward who prices use, and whose plans cannot say what a step costs at most."""
    told(capsys, *anna, "offer", "set", "--price", "0.02", "--cpu-hour", "0.09", "--gb-moved", "0.01")
    fields = running.site.bodies[-1].fields
    assert (fields["price"], fields["cpu_hour"], fields["gb_hour"], fields["gb_moved"]) == (20_000, 90_000, 0, 10_000)
    assert fields["most"] == {"seconds": 300, "cpu_seconds": 200, "memory_mib": 1024}
    told(capsys, *anna, "offer", "set", "--price", "0.02", "--cpu-hour", "0.09", "--most-cpu-seconds", "60")
    assert running.site.bodies[-1].fields["most"] == {"seconds": 300, "cpu_seconds": 60, "memory_mib": 1024}


def test_gpus_are_refused_loudly(anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a requester plans on a GPU that no step ever sees."""
    size = len(running.site.bodies)
    assert run([*anna, "offer", "set", "--price", "1", "--gpus", "1"]) == 2
    assert "no runner of this version gives a step a GPU" in capsys.readouterr().err
    assert len(running.site.bodies) == size
    told(capsys, *anna, "offer", "set", "--price", "1", "--gpus", "0")


@pytest.mark.parametrize("amount", ["-1", "nan", "0.0000001", "much"])
@pytest.mark.parametrize("option", ["--price", "--cpu-hour", "--gb-hour", "--gb-moved"])
def test_a_price_is_an_amount_of_money(
    anna: list[str], option: str, amount: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--price": "1", option: amount}
    assert run([*anna, "offer", "set", *(word for pair in given.items() for word in pair)]) == 2
    error = capsys.readouterr().err
    assert "amount" in error or "millionth" in error


def test_offers_are_compared(anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: what a requester chooses a site by."""
    assert "no offers" in told(capsys, *anna, "offer", "show")
    told(capsys, *anna, "offer", "set", "--price", "0.02", "--cpu-hour", "0.09")
    before = told(capsys, *anna, "offer", "show")
    assert "0.02, 0.09 a CPU h" in before
    assert "–" in before, "its node has said nothing yet"
    running.site.says("capacity", SAID)
    after = told(capsys, *anna, "offer", "show")
    for part in ("16", "64,000 MiB", "1100 int, 900 float, 1600 hash, 700 disk", "busy"):
        assert part in after
    (shown,) = json.loads(told(capsys, "--json", *anna, "offer", "show"))
    assert shown["offer"]["cpu_hour"] == 90_000
    assert (shown["capacity"]["load"], shown["capacity"]["speed"]["writing"]) == ("busy", 700)


def test_site_status_tells_of_the_place_where_steps_run(
    anna: list[str], running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: an operator who does not know what runs, how much waits, or what is not guaranteed here."""
    shown = told(capsys, *anna, "site", "status")
    for part in (
        "sandbox (bubblewrap 0.11.0): showed its isolation at",
        "2 running, 5 waiting, at most 2 at once; full",
        "300 s, 200 s of processors, 1,024 MiB of memory, 64 processes, 256 MiB in 10,000 files",
        "1100 int, 900 float, 1600 hash, 700 disk (1000 is the reference)",
        str(Cid.of(b"numpy")),
        "not given",
        "no GPU is passed through",
    ):
        assert part in shown
    assert json.loads(told(capsys, "--json", *anna, "site", "status"))["steps"]["waiting"] == 5
    running.site.runner_fault = "no network"
    assert "NO STEP RUNS: no network" in told(capsys, *anna, "site", "status")
