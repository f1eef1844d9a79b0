"""Crates of strangers: nothing is unpacked, and nothing is read that is larger than a crate may be."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from catalog.cid import Cid
from catalog.error import BadInput, NotFound, VerificationFailed
from node import crates
from node.crates import check, file_cid, read_crate, write_crate
from node.storage.unixfs import CHUNK

FILES = {"submission.cbor": b"\xa0", "orders/a.cbor": b"one", "README.md": b"text"}


def archive(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    return path


@pytest.mark.parametrize("name", ["crate.zip", "crate"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    """Lost: a file of a crate, on its way through an archive or a folder."""
    write_crate(FILES, tmp_path / name)
    assert read_crate(tmp_path / name) == FILES


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    """Lost: that an archive can be named by its digest; the time at which it was made would be in it."""
    write_crate(FILES, tmp_path / "one.zip")
    write_crate(dict(reversed(FILES.items())), tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    """Lost: the crate of yesterday."""
    (tmp_path / "old.zip").write_bytes(b"old")
    with pytest.raises(BadInput, match="is there already"):
        write_crate(FILES, tmp_path / "old.zip")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a\\..\\b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    """Lost: a file of whoever checks a crate."""
    with pytest.raises(VerificationFailed, match="leads elsewhere"):
        read_crate(archive(tmp_path / "crate.zip", (name, b"x")))


def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Lost: the memory of whoever checks a crate."""
    bomb = archive(tmp_path / "bomb.zip", *((f"results/{number}", bytes(10 << 20)) for number in range(3)))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(VerificationFailed, match="more than a crate may have"):
        read_crate(bomb)


def test_a_file_that_is_longer_than_the_archive_says_is_refused(tmp_path: Path) -> None:
    """Lost: the bound, to an archive whose directory lies about sizes."""
    path = archive(tmp_path / "lie.zip", ("results/x", b"a" * 5000))
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\x01\x02") + 24, data.index(b"PK\x03\x04") + 22):
        data[start : start + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(VerificationFailed):
        read_crate(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_is_packed_so_that_no_bound_holds_is_refused(tmp_path: Path, method: int) -> None:
    """Lost: the memory of whoever checks a crate: bzip2 makes 900 MB of 800 bytes at once, whatever was asked for."""
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w", method) as made:
        made.writestr("results/x", b"text")
    with pytest.raises(VerificationFailed, match="otherwise than by deflate"):
        read_crate(path)


@pytest.mark.parametrize("wide", [False, True])
def test_a_directory_without_end_is_refused_before_it_is_read(tmp_path: Path, wide: bool) -> None:
    """Lost: a minute and a gigabyte of whoever checks a crate, to three million names of nothing."""
    data = archive(tmp_path / "one.zip", ("x", b"")).read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = data[start:end] * 250_000
    many, length, at = 250_000, len(entries), start + len(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, length, start, 0)
    if wide:
        tail = (
            struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, many, many, length, start)
            + struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
            + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
        )
    path = tmp_path / "many.zip"
    path.write_bytes(data[:start] + entries + tail)
    with pytest.raises(VerificationFailed, match="without ZIP64" if wide else "more than 65,535 files"):
        read_crate(path)


def test_what_is_neither_a_file_nor_a_folder_is_refused(tmp_path: Path) -> None:
    """Lost: the checker, who waits for a pipe or reads a device without end."""
    os.mkfifo(tmp_path / "pipe.zip")
    for path in (tmp_path / "pipe.zip", Path("/dev/zero")):
        with pytest.raises(VerificationFailed, match="neither a file nor a folder"):
            read_crate(path)


def test_links_and_pipes_are_refused(tmp_path: Path) -> None:
    """Lost: a file of whoever checks a crate, which a link in it names; or the checker, who waits for a pipe."""
    link = zipfile.ZipInfo("orders/a.cbor")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(VerificationFailed, match="link"):
        read_crate(archive(tmp_path / "link.zip", (link, b"/etc/passwd")))
    for name, make in (("linked", lambda to: to.symlink_to("/etc/passwd")), ("piped", os.mkfifo)):
        folder = tmp_path / name
        folder.mkdir()
        make(folder / "submission.cbor")
        with pytest.raises(VerificationFailed, match="link or no regular file"):
            read_crate(folder)
    (tmp_path / "to").symlink_to(tmp_path / "linked")
    with pytest.raises(VerificationFailed, match="is a link"):
        read_crate(tmp_path / "to")


def test_too_many_files_and_too_deep_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the time of whoever checks a crate."""
    deep = tmp_path / "deep"
    (deep / "a/b/c/d/e/f").mkdir(parents=True)
    with pytest.raises(VerificationFailed, match="deeper"):
        read_crate(deep)
    monkeypatch.setattr(crates, "MAX_FILES", 2)
    write_crate(FILES, tmp_path / "many")
    write_crate(FILES, tmp_path / "many.zip")
    for name in ("many", "many.zip"):
        with pytest.raises(VerificationFailed, match="more than 2 files"):
            read_crate(tmp_path / name)


def test_what_is_no_archive_or_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    """Lost: a word instead of a traceback."""
    (tmp_path / "text.zip").write_bytes(b"PK\x05\x06 no")
    with pytest.raises(VerificationFailed, match="no archive"):
        read_crate(tmp_path / "text.zip")
    with pytest.raises(NotFound, match="no crate"):
        read_crate(tmp_path / "none.zip")


def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """Lost: that two readers of an archive read the same of it."""
    with pytest.warns(UserWarning, match="Duplicate"):
        path = archive(tmp_path / "twice.zip", ("README.md", b"one"), ("README.md", b"two"))
    with pytest.raises(VerificationFailed, match="twice"):
        read_crate(path)


@pytest.mark.parametrize(
    "files", [{}, {"submission.cbor": b"\xff"}, {"x": b""}, {"ro-crate-metadata.json": b"[" * 9000}]
)
def test_what_is_no_crate_is_wrong_and_nothing_breaks(files: dict[str, bytes]) -> None:
    """Lost: a check that ends with a word, on whatever it is given."""
    assert check(files).wrong


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_result_is_named_as_a_store_names_it(size: int) -> None:
    """Lost: that the bytes of a result in a crate can be held against its CID."""
    data = bytes(size)
    assert (file_cid(data) == Cid.of(data)) is (size <= CHUNK)
