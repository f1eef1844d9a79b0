"""``comity dataset fetch`` and ``show`` as people meet them: what is refused, what is said, who holds what."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from catalog.cid import Cid
from cli.main import run
from cli.session import Session
from cli.transfer import carrying, paced
from node.api.client import Node
from node.api.copies import HoldersView
from node.api.tree import TreeItem, TreePage
from node.keyfile import Identity
from tests.node.api.serving import Running


@pytest.fixture
def anna(
    running: Running, steward: Identity, researcher: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The options that name the running site and its steward."""
    from node.api.person import Persons

    for name in ("COMITY_SITE", "COMITY_PERSON", "COMITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMITY_HOME", str(tmp_path / "home"))
    for person in (steward, researcher):
        Persons(tmp_path / "home").add(person)
    return ["--site", str(running.folder), "--as", "Sister Agnes"]


@pytest.fixture
def node(running: Running, steward: Identity) -> Node:
    return running.node(steward)


def test_what_makes_no_sense_of_shared_data_is_refused(
    anna: list[str], node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: --bytes is passed over in silence, and all of it comes."""
    node.publish_dataset("/data/genomes", "Genomes", "shared", readers=["Away"])
    out = ["--out", str(tmp_path / "out")]
    for wrong in (["Genomes", "--bytes", "0-1", *out], ["Genomes", "a/path", *out], ["Genomes"]):
        assert run([*anna, "dataset", "fetch", *wrong]) == 2
        assert "opened whole" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_a_folder_and_a_place_that_is_there(
    anna: list[str], node: Node, running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: «1 bytes»; a script that cannot tell a folder from a file; another exit code for shared and open data."""
    node.publish_dataset("/data/open", "Open", "open")
    running.site.pages = [TreePage(folder=False, size=3, items=(), more=False)]
    assert run([*anna, "dataset", "fetch", "Open", "x", "--out", str(tmp_path / "file")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'file'} has 3 bytes.\n"
    item = TreeItem(path="a", size=1, data=b"1")
    for words in ([], ["--json"]):
        running.site.pages = [TreePage(folder=True, size=0, items=(item,), more=False)]
        place = tmp_path / f"folder{len(words)}"
        assert run([*anna, "dataset", "fetch", "Open", "--out", str(place), *words]) == 0
        told = capsys.readouterr().out
        if words:
            assert json.loads(told) == {"file": str(place), "folder": True, "files": 1, "bytes": 1}
        else:
            assert told == f"{place}: 1 file, 1 byte.\n"
    assert run([*anna, "dataset", "fetch", "Open", "--out", str(tmp_path / "file")]) == 2
    assert "is there already" in capsys.readouterr().err
    for wrong in ("5", "5-", "a-b", "9-5"):
        assert run([*anna, "dataset", "fetch", "Open", "--bytes", wrong, "--out", str(tmp_path / "no")]) == 2
        assert "no part of a file" in capsys.readouterr().err


def test_who_holds_a_dataset_and_who_of_them_answers_is_shown(
    anna: list[str], node: Node, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: one learns that «1 of 2» answer, and not whom to ask why."""
    made = node.publish_dataset("/data/open", "Open", "open")
    site, both = running.site.root.did, ("St. Anna", "Away")
    running.site.held = (
        HoldersView(cid=Cid.of(b"other"), site=site, holders=("Nobody",), answering=0, away=("Nobody",)),
        HoldersView(cid=made.cid, site=site, holders=both, answering=1, away=("Away",)),
    )
    assert run([*anna, "dataset", "show", "Open"]) == 0
    assert "holders      St. Anna, Away (does not answer)\n" in capsys.readouterr().out
    assert run([*anna, "dataset", "show", "Open", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["holders"], shown["answering"], shown["away"]) == (["St. Anna", "Away"], 1, ["Away"])


def test_who_interrupts_is_told_that_the_node_goes_on(running: Running) -> None:
    """Lost: Ctrl-C seems to have ended a transfer that goes on, or to have thrown away what came."""
    with pytest.raises(click.Abort, match="the node goes on"), carrying(Session(str(running.folder)), "…", "cid"):
        raise KeyboardInterrupt


def test_how_far_it_is_is_told_with_the_end() -> None:
    """Lost: the last figure that somebody sees is one before the end."""
    told: list[str] = []
    tell = paced(told.append, "opening …")
    for done in range(0, 101 << 20, 1 << 20):
        tell(done, 100 << 20)
    assert told[-1].startswith("opening … 100 of 100 MiB, ")
    assert told[-1].endswith("0 s left")
