"""What is held for a project: readable by its CID like all else, unreadable on the disk, and gone with the key."""

import os
import stat
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import Damaged, NotFound, VerificationFailed
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.storage.disk import DiskBlobs
from node.storage.unixfs import CHUNK

SITE = PrivateKey(b"a site that runs two projects...").did
TRIAL, OTHER = (ProjectRef(site=SITE, name=name) for name in ("trial", "../../other"))
SECRET = b"name,diagnosis\nAda,C50\n" * 100


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path / "blobs", keys=tmp_path / "keys")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "table.csv").write_bytes(SECRET)
    (folder / "large.bin").write_bytes(SECRET * (3 * CHUNK // len(SECRET)))
    return folder


def hold(blobs: DiskBlobs, path: Path, project: ProjectRef = TRIAL) -> Cid:
    return trio.run(blobs.hold_path, path, project)


def bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_it_has_the_name_and_the_bytes_of_any_other_value(blobs: DiskBlobs, made: Path, tmp_path: Path) -> None:
    """Lost: an output under another CID than its receipt's, or one that no reader can be given."""
    root = hold(blobs, made)
    assert root == trio.run(blobs.hash_path, made)
    assert trio.run(blobs.read, root, "table.csv") == SECRET
    assert (
        trio.run(blobs.read_part, root, "large.bin", CHUNK - 3, CHUNK + 2)
        == (made / "large.bin").read_bytes()[CHUNK - 3 : CHUNK + 3]
    )
    assert trio.run(blobs.missing, root) == []
    assert trio.run(blobs.reachable, root).complete
    trio.run(blobs.checkout, root, tmp_path / "out")
    assert (tmp_path / "out" / "table.csv").read_bytes() == SECRET
    node = blobs.get(root)
    assert blobs.size(root) == len(node)


def test_nothing_of_it_can_be_read_from_the_disk(blobs: DiskBlobs, made: Path, tmp_path: Path) -> None:
    """Lost: a disk that is thrown away, and the rows on it."""
    hold(blobs, made)
    lying = bytes_on_disk(tmp_path / "blobs")
    assert len(lying) > 3 * CHUNK
    assert b"diagnosis" not in lying
    assert b"table.csv" not in lying
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes() not in lying


def test_with_the_project_goes_its_key_and_what_it_sealed_and_nothing_of_another(
    blobs: DiskBlobs, made: Path, tmp_path: Path
) -> None:
    """Lost: what was promised to be destroyed; or another project's results with it."""
    root = hold(blobs, made)
    assert hold(blobs, made, OTHER) == root
    old = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    count, size = blobs.sealed.end(TRIAL)
    assert count >= 5
    assert size > 3 * CHUNK
    assert trio.run(blobs.read, root, "table.csv") == SECRET, "the other project holds the same bytes"
    assert len(list((tmp_path / "keys").iterdir())) == 1
    blobs.sealed.end(OTHER)
    with pytest.raises(NotFound):
        blobs.get(root)
    assert blobs.sealed.end(OTHER) == (0, 0), "it may be done again"
    left = bytes_on_disk(tmp_path)
    assert not any(key in left for key in old.values())
    assert trio.run(blobs.used) == 0


def test_a_key_that_was_being_destroyed_at_a_crash_is_gone_after_it(
    blobs: DiskBlobs, made: Path, tmp_path: Path
) -> None:
    """Lost: a node that starts after a crash and holds what has ended, or does not start."""
    root = hold(blobs, made)
    [key] = (tmp_path / "keys").iterdir()
    key.write_bytes(bytes(32))
    again = DiskBlobs(tmp_path / "blobs", keys=tmp_path / "keys")
    assert not list((tmp_path / "keys").iterdir())
    assert not list((tmp_path / "blobs" / "held").iterdir())
    with pytest.raises(NotFound):
        again.get(root)


def test_it_is_read_again_after_a_restart_and_its_key_is_the_site_s_alone(
    blobs: DiskBlobs, made: Path, tmp_path: Path
) -> None:
    root = hold(blobs, made)
    again = DiskBlobs(tmp_path / "blobs", keys=tmp_path / "keys")
    assert trio.run(again.read, root, "table.csv") == SECRET
    [key] = (tmp_path / "keys").iterdir()
    key.chmod(0o644)
    with pytest.raises(Damaged, match="open to other users"):
        DiskBlobs(tmp_path / "blobs", keys=tmp_path / "keys")
    key.chmod(0o600)
    key.write_bytes(b"half")
    with pytest.raises(Damaged, match="remove it"):
        DiskBlobs(tmp_path / "blobs", keys=tmp_path / "keys")


def test_what_was_altered_or_stands_in_another_s_place_is_refused(blobs: DiskBlobs, made: Path, tmp_path: Path) -> None:
    """Lost: whoever can write to the disk chooses what a step is given, or what leaves."""
    root = hold(blobs, made)
    one, other = sorted((tmp_path / "blobs" / "held").rglob("baf*"))[:2]
    os.replace(one, other)
    with pytest.raises(VerificationFailed, match="damaged"):
        blobs.get(Cid.parse(other.name))
    [place] = (tmp_path / "blobs" / "held").rglob(str(root))
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    with pytest.raises(VerificationFailed, match="damaged"):
        blobs.get(root)
    place.write_bytes(b"")
    with pytest.raises(VerificationFailed, match="damaged"):
        blobs.get(root)


def test_what_nobody_names_is_swept_and_what_is_named_stays(blobs: DiskBlobs, made: Path) -> None:
    """Lost: outputs of failed steps fill the disk until the project ends; or a held one is swept."""

    async def play() -> None:
        root = await blobs.hold_path(made, TRIAL)
        litter = await blobs.hold_path(made / "table.csv", OTHER)
        blobs.named(root)
        await blobs.drop(lambda: [root])
        assert await blobs.missing(root) == []
        blobs.named(litter)
        blobs._fresh._added.clear()
        swept = await blobs.drop(list)
        assert swept.nodes >= 6
        assert await blobs.missing(root) == [root]

    trio.run(play)


def test_a_full_store_takes_nothing_more_of_it(tmp_path: Path, made: Path) -> None:
    """Lost: what is held goes round the bound that the operator set."""
    small = DiskBlobs(tmp_path / "blobs", quota=CHUNK)
    with pytest.raises(Exception, match="nothing more is stored"):
        hold(small, made)
    assert not list((tmp_path / "blobs" / "held").rglob("baf*"))
