"""The demonstration as a newcomer runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from catalog.error import NotFound
from devnet.patience import eventually
from devnet.state import read_state
from devnet.topology import Places
from node.stepsettings import RUNNERS
from tests.devnet.consortium import ROOT, comity, marked, processes_of


def test_the_demonstration_ends_well_twice_and_leaves_its_report_and_no_process(tmp_path: Path) -> None:
    """Else the README's first line does not hold; the second time in a shell that acts in a devnet which is gone.

    The report is one page that loads nothing: else it is empty for whoever opens it elsewhere, or tells somebody that
    it was opened.
    """
    report = tmp_path / "report.html"
    gone = str(tmp_path / "gone")
    for environment in ({}, {"COMITY_HOME": gone, "COMITY_SITE": gone, "COMITY_PERSON": "vera"}):
        told = comity("devnet", "demo", "--report", str(report), environment=environment)
        assert told.returncode == 0, told.stdout[-2000:] + told.stderr
        assert processes_of(tmp_path) == []
    story = told.stdout
    assert "absent:    Holm University Hospital: held" in story
    assert "took part: St. Anna Hospital, Holm University Hospital, Nordstad Clinic" in story
    found = re.search(r"largest relative difference (\S+)", story)
    assert found is not None
    assert float(found[1]) < 1e-6
    assert "no-ancestry-research" in story
    assert re.search(r"FAULT logs/audit/tile/entries/\S+: leaf \d+: ", story)
    assert "no fault" in story
    assert str(report) in story
    page = report.read_text()
    assert page.count("<svg") >= 2
    assert "✗ no-ancestry-research" in page
    assert re.findall(r"<(?:script|link|img|iframe)\b|@import|(?:src|href)\s*=\s*[\"'](?!#)|url\((?!#)", page) == []


@pytest.mark.parametrize("runner", [*RUNNERS, "dokcer", "all"])
def test_a_runner_that_there_is_not_is_named_with_those_that_there_are(runner: str) -> None:
    """Lost: who misspells a runner, or waits for three daemons to be started for a demonstration that none is for."""
    told = subprocess.run(["make", "-n", "demo", f"RUNNER={runner}"], cwd=ROOT, capture_output=True, text=True)
    assert told.returncode == (0 if runner in RUNNERS else 2)
    if runner not in RUNNERS:
        assert f"RUNNER={runner} is no runner; say one of: {' '.join(RUNNERS)}" in told.stderr
        assert told.stderr.count("\n") == 1


def test_an_interrupted_demonstration_takes_its_nodes_with_it(tmp_path: Path) -> None:
    """Else Ctrl-C leaves five nodes on the machine of whoever was only looking."""
    places = Places(tmp_path / "comity-demo" / "devnet")
    # A test run in the background ignores the signal, and would hand that on.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    told = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "devnet", "demo", "--report", str(tmp_path / "report.html")],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ, start_new_session=True,
        preexec_fn=heed,
    )  # fmt: skip

    def started() -> bool | None:
        try:
            return len(read_state(places).processes) == 5 or None
        except NotFound:
            return None

    try:
        eventually(started, "the demonstration's nodes")
        os.killpg(told.pid, signal.SIGINT)
        _, error = told.communicate(timeout=60)
    finally:
        told.kill()
        told.wait()
    assert (told.returncode, error.decode().strip()) == (130, "error: interrupted")
    assert marked(str(tmp_path)) == []
    assert not places.path.exists()
