"""``comity consortium swarm-key``: one member makes it, each takes it, and no node need run for that."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.main import run
from node.config import Folder
from node.storage.swarmkey import read_swarm_key
from tests.cli.test_offline import make


def test_one_makes_it_and_the_others_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: members who cannot come to one key by the commands that the guide names."""
    folders = [Folder(tmp_path / name) for name in ("anna", "nordstad")]
    for folder in folders:
        make(folder)
    anna, nordstad = (["--site", str(folder.path), "consortium", "swarm-key"] for folder in folders)
    file = tmp_path / "swarm.key"
    assert run([*nordstad, str(file)]) == 1
    assert "consortium swarm-key --new" in capsys.readouterr().err
    assert run([*anna, "--new", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"comity consortium swarm-key {file}" in said
    assert file.read_text().split()[-1] not in said
    assert run([*nordstad, str(file)]) == 0
    assert read_swarm_key(folders[0].swarm_key) == read_swarm_key(folders[1].swarm_key) == file.read_bytes()
    assert run([*anna, "--new", str(file)]) == 1
    assert "was left as it is" in capsys.readouterr().err


def test_another_key_takes_the_place_of_this_sites_only_if_that_was_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: a command that was tried out cuts this site's Kubo off from all the others."""
    folder = Folder(tmp_path / "anna")
    make(folder)
    asked = ["--site", str(folder.path), "consortium", "swarm-key"]
    first, second = tmp_path / "first", tmp_path / "second"
    assert run([*asked, "--new", str(first)]) == 0
    assert run([*asked, str(first)]) == 0, "the same key again replaces nothing"
    assert run([*asked, "--new", str(second)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not second.exists()
    assert read_swarm_key(folder.swarm_key) == first.read_bytes()
    assert run([*asked, "--new", "--yes", str(second)]) == 0
    assert "do not reach each other" in capsys.readouterr().out
    assert run([*asked, str(first)]) == 2
    assert read_swarm_key(folder.swarm_key) == second.read_bytes()
