"""``comity site fsck``: what is damaged in a site's folder is named, and goes only when that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from cli.main import run
from node.config import Folder
from node.holding import held
from node.step import Made, Work
from node.storage.disk import DiskBlobs
from node.storage.memo import Memos
from node.storage.nodes import node_path
from tests.cli.test_offline import make

TRIAL = ProjectRef(site=PrivateKey(b"a site that runs a project......").did, name="trial")
LARGE = b"".join(number.to_bytes(4, "big") for number in range(192_000))
"""A value of several nodes."""


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


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Folder, Cid]:
    """A site that holds a value for a project."""
    folder = Folder(tmp_path / "site")
    make(folder)

    async def hold() -> Cid:
        return await DiskBlobs(folder.blobs, keys=folder.project_keys).hold(LARGE, TRIAL)

    return folder, trio.run(hold)


def leaves(folder: Folder, root: Cid) -> list[Path]:
    return [path for path in sorted(folder.held.glob("*/baf*")) if path.name != str(root)]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_is_held_for_a_project_is_looked_at_too(
    sealed: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = sealed
    assert run(["site", "fsck", str(folder.path)]) == 0
    shown = capsys.readouterr().out
    assert "held for a project that no catalog here has: 4 nodes with 768," in shown
    assert shown.endswith("no fault\n")


@pytest.mark.parametrize("damage", ["flipped", "cut off", "emptied", "another's", "too large"])
def test_a_damaged_value_of_a_project_is_named_dropped_when_asked_and_taken_again(
    sealed: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Lost: a step fails for good of a damaged value, or the sweep of the store does, and no command helps."""
    folder, root = sealed
    first, second = leaves(folder, root)[:2]
    damages: dict[str, Callable[[], object]] = {
        "flipped": lambda: flip(first),
        "cut off": lambda: first.write_bytes(first.read_bytes()[:-1]),
        "emptied": lambda: first.write_bytes(b""),
        "another's": lambda: first.write_bytes(second.read_bytes()),
        "too large": lambda: first.write_bytes(bytes(3 << 20)),
    }
    damages[damage]()
    asked = ["site", "fsck", str(folder.path)]
    assert run(asked) == 5
    shown = capsys.readouterr()
    assert f"DAMAGED {first.name}: " in shown.out
    assert f"lacking in {root}" in shown.out
    assert "made again when it is ordered again" in shown.out
    assert "1 node of the stored data damaged; run it with --mend" in shown.err
    assert first.exists()
    assert run([*asked, "--mend", "--json"]) == 0
    [held] = json.loads(capsys.readouterr().out)["held"]
    assert [(each["cid"], each["roots"]) for each in held["damaged"]] == [(first.name, [str(root)])]
    assert held["key"] == "good"
    assert not first.exists()
    assert run(asked) == 0

    async def again() -> None:
        blobs = DiskBlobs(folder.blobs, keys=folder.project_keys)
        assert await blobs.missing(root) == [Cid.parse(first.name)]
        assert await blobs.hold(LARGE, TRIAL) == root
        assert await blobs.read(root) == LARGE

    trio.run(again)


@pytest.mark.parametrize("damage", ["missing", "half", "of another length"])
def test_a_lost_key_is_named_and_what_it_sealed_goes_when_asked(
    sealed: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """Lost: a node that does not start, and nobody says what is gone."""
    folder, root = sealed
    [key] = folder.project_keys.iterdir()
    if damage == "missing":
        key.unlink()
    else:
        key.write_bytes(b"half" if damage == "half" else bytes(33))
    asked = ["site", "fsck", str(folder.path)]
    assert run(asked) == 5
    shown = capsys.readouterr()
    assert "LOST 4 nodes held for a project" in shown.out
    assert f"the key in keys/projects/{key.name} is missing or damaged" in shown.out
    assert "1 key of projects lost" in shown.err
    assert run([*asked, "--mend"]) == 0
    assert "removed 4 nodes held for a project" in capsys.readouterr().out
    assert not list(folder.held.iterdir())
    assert not list(folder.project_keys.iterdir())
    assert run(asked) == 0
    assert DiskBlobs(folder.blobs, keys=folder.project_keys).size(root) is None


def test_a_key_that_others_may_read_and_one_that_was_being_destroyed_are_told_apart(
    sealed: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: what was sealed is thrown away for a mode; or what a project's end destroys is called a damage."""
    folder, _ = sealed
    [key] = folder.project_keys.iterdir()
    key.chmod(0o644)
    asked = ["site", "fsck", "--mend", str(folder.path)]
    assert run(asked) == 5
    assert f"chmod 600 {key}" in capsys.readouterr().out
    assert len(leaves(folder, Cid.of(b""))) == 4
    key.chmod(0o600)
    key.write_bytes(bytes(32))
    assert run(asked) == 0
    assert "destroyed with its project, as the next start will finish" in capsys.readouterr().out


def test_a_stray_file_and_a_memo_that_does_not_open_are_named_and_a_good_one_is_not(
    sealed: tuple[Folder, Cid], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, root = sealed
    [project] = folder.held.iterdir()
    memos = Memos(DiskBlobs(folder.blobs, keys=folder.project_keys), "3.11")
    trio.run(memos.keep, TRIAL, Work(root, {}), Made(root, {}))
    assert run(["site", "fsck", str(folder.path)]) == 0
    assert capsys.readouterr().out.endswith("no fault\n")
    [memo] = project.glob("memo-*")
    flip(memo)
    assert run(["site", "fsck", str(folder.path)]) == 5
    assert "1 memo damaged; run it with --mend" in capsys.readouterr().err
    assert run(["site", "fsck", "--mend", str(folder.path)]) == 0
    assert f"removed {memo}: a memo, which costs a run" in capsys.readouterr().out
    assert not memo.exists()
    (project / "note.txt").write_text("?")
    assert run(["site", "fsck", str(folder.path)]) == 0
    assert f"no node: {project / 'note.txt'}" in capsys.readouterr().out
