"""What is fetched is written whole or not at all, to a new place, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.error import BadInput, ComityError, VerificationFailed
from node.plainfiles import new_place, place_below, write_new


def test_what_was_written_gets_its_name_when_it_is_whole_and_nothing_stays_else(tmp_path: Path) -> None:
    """Lost: half a folder is taken for one, or a fetch that failed leaves rubbish."""
    target = tmp_path / "out"
    with new_place(target) as place:
        place.mkdir()
        write_new(place / "a", iter([b"1", b"2"]))
        assert not target.exists(), "it has its name before it is whole"
    assert (target / "a").read_bytes() == b"12"

    def fail(fault: BaseException) -> None:
        with new_place(tmp_path / "no") as place:
            place.mkdir()
            (place / "a").write_bytes(b"half")
            raise fault

    for fault in (ValueError("the work failed"), KeyboardInterrupt()):
        with pytest.raises(type(fault)):
            fail(fault)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_place_that_is_there_or_has_no_folder_is_refused_and_left(tmp_path: Path) -> None:
    """Lost: what somebody has is overwritten, or written to where a link leads."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "folder", "link", "none/of/these", "."):
        with pytest.raises(BadInput), new_place(tmp_path / name):
            pytest.fail("it was begun")

    def late() -> None:
        with new_place(tmp_path / "late") as place:
            place.write_text("new")
            (tmp_path / "late").write_text("somebody else's")

    with pytest.raises(BadInput):
        late()
    assert (tmp_path / "late").read_text() == "somebody else's"
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder", "late", "link"]


def test_a_disk_that_refuses_is_told_in_one_line(tmp_path: Path) -> None:
    """Lost: a full disk looks like a fault of the program."""
    with pytest.raises(ComityError, match="was not written"), new_place(tmp_path / "out") as place:
        write_new(place / "below" / "what is not there", iter([b"1"]))


def test_a_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    """Lost: a link that somebody put there decides which file changes."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="exists"):
        write_new(tmp_path / "link", iter([b"1"]))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    "path", ["", ".", "..", "a/..", "../a", "/etc/passwd", "a//b", "a/", "a\0", "é" * 200, "a/" * 70]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    """Lost: whoever made a tree says where in a reader's home it is written."""
    with pytest.raises(VerificationFailed):
        place_below(tmp_path, path)
    assert place_below(tmp_path, "ünïcode/b") == tmp_path / "ünïcode" / "b"
