"""Parcels between a node and a container: what went in comes out, and a liar writes nothing where it should not."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from node.execute.discard import discard
from node.execute.inside.parcel import Bounds, MoreError, ParcelError, receive, send

MUCH = Bounds(1000, 1 << 24)


def parcel(*tops: tuple[str, str], links: bool = False) -> io.BytesIO:
    out = io.BytesIO()
    send(tops, out.write, links=links)
    return io.BytesIO(out.getvalue())


def row(kind: str, path: bytes, size: int = 0) -> bytes:
    return f"{kind}\t644\t{size}\t".encode() + path + b"\0"


def test_files_folders_and_unusual_names_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Lost: an output called «ü\\n», or an empty folder, is lost on its way."""
    top = tmp_path / "top"
    (top / "empty").mkdir(parents=True)
    (top / "-rf ü\n\"':=\\").write_bytes(content := os.urandom(1_000_000))
    (top / "nothing").touch()
    (top / "run").write_text("x")
    (top / "run").chmod(0o750)
    (into := tmp_path / "into").mkdir()
    receive(parcel(("there", str(top))).read, str(into), MUCH, modes=True)
    assert (into / "there" / "-rf ü\n\"':=\\").read_bytes() == content
    assert sorted(path.name for path in (into / "there").iterdir()) == sorted(path.name for path in top.iterdir())
    assert (into / "there" / "run").stat().st_mode & 0o777 == 0o750


def test_links_are_left_out_unless_they_are_wanted(tmp_path: Path) -> None:
    """Lost: what a link of a step leads to on the node's own machine is taken for an output."""
    (top := tmp_path / "top").mkdir()
    (top / "link").symlink_to("/etc/passwd")
    os.mkfifo(top / "pipe")
    (into := tmp_path / "into").mkdir()
    receive(parcel(("there", str(top))).read, str(into), MUCH, modes=False)
    assert list((into / "there").iterdir()) == []
    with pytest.raises(ParcelError, match="kind"):
        receive(parcel(("again", str(top)), links=True).read, str(into), MUCH, modes=False)


@pytest.mark.parametrize(
    "said",
    [
        row("f", b"../out", 0),
        row("f", b"/out", 0),
        row("f", b"a/../../out", 0),
        row("f", b".", 0),
        row("f", b"", 0),
        row("f", b"/".join([b"d"] * 200), 0),
        row("l", b"link", 4) + b"/etc",
        row("p", b"pipe"),
        b"f\t644\t-1\tout\0",
        b"f\tx\t1\tout\0",
        b"nonsense\0",
        b"f\t644\t5\tshort\0abc",
        b"x" * 20_000,
        b"",
    ],
)
def test_nothing_is_written_outside(tmp_path: Path, said: bytes) -> None:
    """Lost: whoever holds the container writes the node's own files."""
    (into := tmp_path / "into").mkdir()
    with pytest.raises(ParcelError):
        receive(io.BytesIO(said).read, str(into), MUCH, modes=False)
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


def test_a_link_that_lies_there_is_not_followed(tmp_path: Path) -> None:
    """Lost: a link that came before leads what comes after out of the folder."""
    (into := tmp_path / "into").mkdir()
    (into / "out").symlink_to(tmp_path)
    with pytest.raises(OSError, match="out"):
        receive(io.BytesIO(row("f", b"out/file") + row("e", b"")).read, str(into), MUCH, modes=False)
    assert [path.name for path in tmp_path.iterdir()] == ["into"]


@pytest.mark.parametrize("bounds", [Bounds(2, 1 << 20), Bounds(100, 2)])
def test_no_more_comes_than_may(tmp_path: Path, bounds: Bounds) -> None:
    """Lost: a step fills the node's disk, though its supervisor was to see to that."""
    (into := tmp_path / "into").mkdir()
    said = b"".join(row("f", name, 1) + b"x" for name in (b"a", b"b", b"c")) + row("e", b"")
    with pytest.raises(MoreError):
        receive(io.BytesIO(said).read, str(into), bounds, modes=False)
    assert sorted(path.name for path in into.iterdir()) == ["a", "b"]


@pytest.mark.parametrize(("depth", "name"), [(1_500, "d"), (40, "d" * 250)])
def test_what_lies_too_deep_is_more_than_may_come_and_no_broken_line(tmp_path: Path, depth: int, name: str) -> None:
    """Lost: a step's place for a quarter of an hour, in which what it left is fetched again and again."""
    (top := tmp_path / "top").mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    (into := tmp_path / "into").mkdir()
    try:
        with pytest.raises(MoreError):
            receive(parcel(("there", str(top))).read, str(into), Bounds(10_000, 1), modes=False)
    finally:
        discard(top)
