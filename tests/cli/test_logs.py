"""``comity submission logs``: what failed steps wrote, as text that steers no terminal, or why it is not told."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from catalog.cid import Cid
from cli.main import run
from node.api.logs import LogView
from node.api.person import Persons
from node.keyfile import Identity
from tests.node.api.serving import Running

CID = str(Cid.of(b"a submission"))
SAID = LogView(step="count", shard=0, attempt=2, site="did:key:anna", site_name="St. Anna", cid=Cid.of(b"what it said"),
               data=b"\x1b]0;title\x07reading\nKeyError: 'age'\n")  # fmt: skip
SILENT = LogView(step="count", shard=1, attempt=1, site="did:key:anna", site_name="St. Anna")


def refused(kind: str) -> LogView:
    return LogView(step="count", shard=2, attempt=2, site="did:key:nord", site_name="Nordstad", kind=kind,
                   reason="it may quote data")  # fmt: skip


@pytest.fixture
def mara(running: Running, researcher: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words that ask for the logs of a submission."""
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    Persons(tmp_path / "home").add(researcher)
    return ["--site", str(running.folder), "--as", "Mara", "submission", "logs", CID]


def test_what_failed_steps_wrote_is_shown_without_what_steers_a_terminal(
    running: Running, mara: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the one line that says what to mend; or a step writes commands to a researcher's terminal."""
    running.site.logged = (SAID, SILENT, refused("Denied"))
    assert run([*mara, "count"]) == 0
    assert capsys.readouterr().out == (
        "count[0] at St. Anna, try 2:\n\ufffd]0;title\ufffdreading\nKeyError: 'age'\n"
        "count[1] at St. Anna, try 1: it wrote nothing to standard error\n"
        "count[2] at Nordstad, try 2: not told: it may quote data\n"
    )
    assert running.site.calls == ["logs count"]
    assert run([*mara, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert b64decode(told[0]["data"]) == SAID.data
    assert [each["kind"] for each in told] == ["", "", "Denied"]


@pytest.mark.parametrize(("kind", "code"), [("Denied", 3), ("Unreachable", 4), ("NotFound", 1)])
def test_a_script_hears_why_nothing_is_told(
    running: Running, mara: list[str], capsys: pytest.CaptureFixture[str], kind: str, code: int
) -> None:
    """Lost: a refusal and a hospital that is away look like a step that wrote nothing."""
    running.site.logged = (refused(kind),)
    assert run(mara) == code
    told = capsys.readouterr()
    assert told.out == "count[2] at Nordstad, try 2: not told: it may quote data\n"
    assert "error: nothing of what the failed steps wrote is told" in told.err
