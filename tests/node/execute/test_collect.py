"""Collection from a folder that a stranger's program left: what is taken, and what is refused by name."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.error import BadInput, ComityError, NotFound, VerificationFailed
from node.execute.collect import (
    Bounds,
    Collected,
    Entry,
    listing_command,
    open_beneath,
    plain_name,
    read_listing,
    take,
)  # fmt: skip
from node.execute.left import Left
from node.step import Limits

LIMITS = Limits(output_bytes=1000, output_files=50)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def looked(work: Path) -> Entry:
    """What the command that looks through outputs says of ``work``."""
    return read_listing(subprocess.run(listing_command(str(work)), check=True, capture_output=True).stdout)


def taken(work: Path, name: str) -> Collected:
    return take(looked(work), name, work, Bounds(LIMITS))


def test_a_file_a_folder_and_all_of_it_are_taken_with_their_bytes(work: Path) -> None:
    """Lost: an output that is not there, or a bound that counts something else than what is stored."""
    (work / "a.csv").write_text("12345")
    (work / "d").mkdir()
    (work / "d" / "e.csv").write_text("123")
    assert taken(work, "a.csv") == Collected("a.csv", work / "a.csv", 5, is_dir=False)
    assert taken(work, "d/e.csv") == Collected("d/e.csv", work / "d/e.csv", 3, is_dir=False)
    assert taken(work, "d") == Collected("d", work / "d", 3, is_dir=True)
    assert taken(work, ".") == Collected(".", work, 8, is_dir=True)


@pytest.mark.parametrize("name", ["none", "a/none", "a/b"])
def test_what_is_not_there_is_not_taken(work: Path, name: str) -> None:
    """Lost: a step's output is something that it never wrote."""
    (work / "a").write_text("x")
    with pytest.raises(NotFound):
        taken(work, name)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../b", "..", "", "a\nb", "a\0b", "x" * 2000, "/"])
def test_a_name_that_leaves_the_folder_is_refused(work: Path, name: str) -> None:
    """Lost: a block collects files of the host by their names."""
    with pytest.raises(BadInput):
        taken(work, name)


def left(work: Path) -> Left:
    return Left(looked(work), work, LIMITS)


def test_links_lead_by_their_texts_within_the_step_and_nowhere_else(work: Path) -> None:
    """Lost: what a stranger's link says is followed on this machine; or a step's own links lead nowhere."""
    (work / "real").write_text("x")
    (work / "inner").symlink_to("real")
    (work / "given").symlink_to("/inputs/0/scan")
    (work / "away").symlink_to("/etc/passwd")
    (work / "up").symlink_to("../../x")
    found = left(work)
    led = {name: found.led(f"/work/{name}") for name in ("real", "inner", "given", "away", "up")}
    assert led == {
        "real": "/work/real", "inner": "/work/real", "given": "/inputs/0/scan", "away": None, "up": None,
    }  # fmt: skip
    assert found.led("/inputs/0/other") == "/inputs/0/other"
    assert found.taken("/work/real").path == work / "real"
    assert found.read("/work/real", 10) == b"x"


def test_a_name_that_cannot_be_told_ends_the_looking(work: Path) -> None:
    """Lost: a file that the evaluator is not told of is missing in a list of outputs, and nobody learns of it."""
    Path(os.fsdecode(os.path.join(os.fsencode(work), b"\xff"))).write_text("x")
    with pytest.raises(VerificationFailed):
        left(work).names("/work")


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "real", "nowhere", "../secret", "."])
@pytest.mark.parametrize(("at", "name"), [("out", "out"), ("d/out", "d"), ("d/out", "d/out"), ("d/out", ".")])
def test_a_link_is_never_taken_and_is_named(work: Path, tmp_path: Path, target: str, at: str, name: str) -> None:
    """Lost: `ln -s /etc/passwd out` makes the host's file an output, the commonest attack on CWL runners."""
    (tmp_path / "secret").write_text("s3cret")
    (work / "real").write_text("x")
    (work / "d").mkdir()
    (work / at).symlink_to(target)
    with pytest.raises(VerificationFailed, match=f"«{at}» is a link"):
        taken(work, name)


def test_a_linked_folder_on_the_way_is_not_walked(work: Path) -> None:
    """Lost: `ln -s /etc d` with the name «d/passwd»."""
    (work / "d").symlink_to("/etc")
    with pytest.raises(VerificationFailed, match="«d» is a link"):
        taken(work, "d/passwd")


def test_devices_sockets_fifos_and_second_names_are_refused(work: Path) -> None:
    """Lost: collection blocks on a FIFO, or takes a file that somebody else can still change."""
    os.mkfifo(work / "fifo")
    (work / "one").write_text("x")
    os.link(work / "one", work / "two")
    with socket.socket(socket.AF_UNIX) as end:
        here = os.open(work, os.O_PATH)
        end.bind(f"/proc/self/fd/{here}/socket")  # the whole path may be longer than a socket's name can be
        os.close(here)
    for name, kind in (("fifo", "a FIFO"), ("socket", "a socket"), ("one", "2 names"), ("two", "2 names")):
        with pytest.raises(VerificationFailed, match=f"«{name}» is.*{kind}"):
            taken(work, name)


@pytest.mark.parametrize("name", [b"a\nb", b"a\x1b[31m", b"\xff\xfe", "a\u2028b".encode(), b"\x7f"])
@pytest.mark.parametrize("folder", [b"", b"d"])
def test_a_name_that_is_not_plain_text_is_refused_in_printable_words(work: Path, name: bytes, folder: bytes) -> None:
    """Lost: an output's name forges lines in a log or a terminal, or has no encoding in the catalog."""
    (work / "d").mkdir()
    Path(os.fsdecode(os.path.join(os.fsencode(work), folder, name))).write_text("x")
    with pytest.raises(VerificationFailed) as refused:
        taken(work, ".")
    assert str(refused.value).isprintable()


def test_bytes_entries_and_depth_are_bounded(work: Path) -> None:
    """Lost: the node walks or reads without end."""
    (work / "big").write_bytes(bytes(1001))
    with pytest.raises(VerificationFailed, match="1000 bytes"):
        taken(work, "big")
    (work / "many").mkdir()
    for number in range(500):
        (work / "many" / str(number)).touch()
    with pytest.raises(VerificationFailed, match="50 files"):
        taken(work, "many")
    deep = work / "deep"
    deep.mkdir()
    deep.joinpath(*["d"] * 70).mkdir(parents=True)
    with pytest.raises(VerificationFailed, match="64 folders"):
        taken(work, "deep")


@pytest.mark.parametrize(
    "listing",
    [b"f\t1\t1\ta", b"f\t1\t1\ta\0", b"f\t1\t1\0\0", b"f\tx\t1\ta\0\0", b"f\t1\t1\tnone/a\0\0", b"\0\0"],
)
def test_a_listing_that_is_none_is_refused(listing: bytes) -> None:
    """Lost: a listing that was cut off is taken for the whole of what a step left."""
    with pytest.raises(VerificationFailed, match="listing"):
        read_listing(listing)


def test_open_beneath_reads_a_file_and_follows_nothing(work: Path) -> None:
    """Lost: a link on the way to a step's input or output leads the node to a file of the host."""
    (work / "d").mkdir()
    (work / "d" / "file").write_text("x")
    (work / "away").symlink_to("/etc")
    (work / "d" / "link").symlink_to("/etc/passwd")
    os.mkfifo(work / "fifo")
    fd = open_beneath(work, "d/file")
    assert os.read(fd, 10) == b"x"
    os.close(fd)
    for name, error in (
        ("away/passwd", VerificationFailed),
        ("d/link", VerificationFailed),
        ("fifo", VerificationFailed),
        ("d", VerificationFailed),
        ("d/none", NotFound),
        ("../work/d/file", BadInput),
        ("/etc/passwd", BadInput),
    ):
        with pytest.raises(error):
            open_beneath(work, name)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_text_that_passes_for_a_plain_name_climbs(name: str) -> None:
    """Lost: one spelling of «..» that the check does not know."""
    try:
        plain = plain_name(name)
    except ComityError:
        return
    assert os.path.normpath(os.path.join("/base", plain)) == f"/base/{plain}"
    assert plain.isprintable() or all(character.isprintable() or character not in "\0\n\r\x1b" for character in plain)
