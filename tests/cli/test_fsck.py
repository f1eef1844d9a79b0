"""``comity site fsck``: what is damaged in a site's folder is named, and goes only when that was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from cli.main import run
from node.config import Folder
from node.holding import held
from node.storage.disk import DiskBlobs
from node.storage.nodes import node_path
from tests.cli.test_offline import make


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Folder, Cid]:
    """A site with one file in its store."""
    folder = Folder(tmp_path / "site")
    make(folder)

    async def add() -> Cid:
        return await DiskBlobs(folder.blobs).add(b"a table")

    return folder, trio.run(add)


def test_a_damaged_file_of_the_store_is_named_and_removed_when_asked(
    stored: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the command that messages name does not find what they are about."""
    folder, cid = stored
    asked = ["site", "fsck", str(folder.path)]
    assert run(asked) == 0
    assert "stored data: 1 node with 7 bytes\nno fault\n" in capsys.readouterr().out
    path = node_path(folder.blobs / "nodes", cid)
    path.write_bytes(b"a tablE")
    assert run(asked) == 5
    shown = capsys.readouterr()
    assert f"DAMAGED {cid}: its bytes are not what its name says; lacking in {cid}" in shown.out
    assert "--mend" in shown.err
    assert path.exists()
    assert run([*asked, "--mend", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["cid"] for each in told["blobs"]["damaged"]] == [str(cid)]
    assert not path.exists()
    assert run(asked) == 0


def test_a_damaged_log_is_named_and_left_as_it_is(
    stored: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = stored
    [tile] = (folder.catalog / "tile" / "entries").rglob("2")
    data = bytearray(tile.read_bytes())
    data[-1] ^= 1
    tile.write_bytes(data)
    assert run(["site", "fsck", "--mend", str(folder.path)]) == 5
    shown = capsys.readouterr()
    assert "FAULT logs/catalog/tile/entries" in shown.out
    assert "backup" in shown.err
    assert tile.read_bytes() == data


def test_it_waits_for_no_node(stored: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = stored
    with held(folder):
        assert run(["site", "fsck", str(folder.path)]) == 1
    assert "stop it first" in capsys.readouterr().err
    assert run(["site", "fsck", str(folder.path / "nothing")]) == 1
    assert "is not a site" in capsys.readouterr().err
