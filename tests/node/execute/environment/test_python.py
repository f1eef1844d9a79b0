"""Environments from locks, made by the real pip from wheels that are made here."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from catalog.cid import Cid
from catalog.error import BadInput, ComityError, Full, VerificationFailed
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.lock import read_lock
from node.execute.environment.python import Base, make_python
from node.execute.environment.wheels import unpack
from node.execute.sandbox import Sandbox
from node.step import Ending, Job
from node.storage.disk import DiskBlobs
from node.storage.pooled import checkout_pooled, drop_unused
from tests.node.execute.environment.wheelhouse import lock, serve, wheel

LARGE = 1 << 30
GREETING = b"def greet():\n    print('hello', __import__('sys').argv[1:])\n"


def make(base: Path, folder: Path, text: bytes) -> dict[str, str]:
    """Make the environment of a lock in ``folder``."""
    folder.mkdir()
    return trio.run(make_python, read_lock(text, "requirements.lock"), Base(base), folder, lambda _: None)


def cid_of(folder: Path) -> Cid:
    """What a made environment is called."""
    return trio.run(DiskBlobs(folder.with_name(f"{folder.name}-blobs")).hash_path, folder / "tree")


def test_the_same_lock_is_the_same_bytes_and_its_packages_run(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: that what a site runs is what the author tried; and that its steps need no index."""
    house = tmp_path / "house"
    serve(monkeypatch, house)
    greeting = wheel(house, "greeting", "1.0", {"greeting/__init__.py": GREETING}, scripts={"greet": "greeting:greet"})
    other = wheel(house, "other", "2.0", {"other.py": b"import greeting\nX = {'a', 'b', 'c'}\n"}, ["greeting"])
    made = make(base, tmp_path / "one", lock(greeting, other))
    assert made == {"greeting": "1.0", "other": "2.0"}
    make(base, tmp_path / "two", lock(greeting, other))
    assert cid_of(tmp_path / "one") == cid_of(tmp_path / "two")
    assert [each for each in (tmp_path / "one" / "tree").rglob("*") if each.is_symlink()] == []
    trio.run(run_in, tmp_path, ("greet", "you"), ("python3", "-c", "import other; other.greeting.greet()"))


async def run_in(folder: Path, *commands: tuple[str, ...]) -> None:
    """Run commands that greet, in the environment that was made in ``folder/one``."""
    blobs = DiskBlobs(folder / "blobs")
    checkouts = Checkouts(folder / "environments", partial(checkout_pooled, blobs.get), drop_unused)
    checkouts.start()
    cid = await blobs.add_path(folder / "one" / "tree")
    for number, argv in enumerate(commands):
        work = folder / f"step-{number}" / "work"
        work.mkdir(parents=True)
        async with checkouts.using(cid, LARGE) as there:
            ended = await Sandbox().run(Job(argv, work, environment=there, stdout="out"))
        assert (ended.ending, ended.code, ended.errors) == (Ending.EXITED, 0, b"")
        assert (work / "out").read_text().startswith("hello")


def test_bytecode_is_of_its_own_package_alone(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: that two blocks with the same package share it; what Python compiled before must not show in it."""
    house = tmp_path / "house"
    serve(monkeypatch, house)
    first = wheel(house, "aaa", "1.0", {"aaa.py": b"def greet(name='x'): return {'a', 'b', 'argv', 'name', 'greet'}\n"})
    second = wheel(house, "bbb", "1.0", {"bbb.py": b"def greet(name='x'): return {'b', 'argv', 'name', 'greet'}\n"})
    make(base, tmp_path / "one", lock(second))
    make(base, tmp_path / "two", lock(first, second))
    one, two = ([each.read_bytes() for each in (tmp_path / name).glob("tree/**/bbb*.pyc")] for name in ("one", "two"))
    assert one == two
    assert len(one) == 1


def _wrong_hash(house: Path) -> bytes:
    return lock(wheel(house, "greeting", "1.0", {"a.py": b""})).replace(b"sha256:", b"sha256:" + b"0" * 8)[:-9] + b"\n"


def _compiler(house: Path) -> bytes:
    house.mkdir()
    (house / "greeting-1.0.tar.gz").write_bytes(b"never opened")
    return b"greeting==1.0 --hash=sha256:" + b"a" * 64 + b"\n"


def _unknown(house: Path) -> bytes:
    return lock(wheel(house, "greeting", "1.0", {"a.py": b""})).replace(b"greeting==1.0", b"greeting==2.0")


def _not_whole(house: Path) -> bytes:
    wheel(house, "other", "1.0", {"b.py": b""})
    return lock(wheel(house, "greeting", "1.0", {"a.py": b""}, ["other"]))


@pytest.mark.parametrize(
    ("written", "error", "told"),
    [
        (_wrong_hash, VerificationFailed, "«greeting» has another hash"),
        (_compiler, BadInput, "«greeting==1.0» has no wheel .* compiled"),
        (_unknown, BadInput, "no «greeting==2.0»"),
        (_not_whole, BadInput, "«other» is needed and not in it"),
    ],
    ids=["hash", "compiler", "unknown", "whole"],
)
def test_a_lock_that_cannot_be_had_is_told_in_one_line(
    written: Callable[[Path], bytes],
    error: type[ComityError],
    told: str,
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lost: an author who reads pip's three screens, or gets a block that runs nowhere."""
    text = written(tmp_path / "house")
    serve(monkeypatch, tmp_path / "house")
    with pytest.raises(error, match=told) as found:
        make(base, tmp_path / "made", text)
    assert "\n" not in str(found.value)
    assert not (tmp_path / "made" / "tree").exists()


@pytest.mark.parametrize("name", ["../out.py", "/tmp/out.py", "a/../../out.py", "a//b.py", "a\\..\\b.py", "a/./b.py"])
def test_a_wheel_names_no_path_outside_itself(name: str, tmp_path: Path) -> None:
    """Lost: a wheel that writes over the node's own files."""
    made = wheel(tmp_path / "house", "evil", "1.0", {name: b"x"})
    (tmp_path / "root").mkdir()
    with pytest.raises(VerificationFailed, match="«evil» was refused"):
        unpack(made, "evil", tmp_path / "root")
    assert list((tmp_path / "root").iterdir()) == []


def test_a_wheel_has_no_links_and_nothing_twice_and_no_more_than_it_records(tmp_path: Path) -> None:
    """Lost: a link by which the next file is written elsewhere; bytes that no record vouches for."""
    linked = wheel(tmp_path / "a", "evil", "1.0", {"a.py": b"x"})
    with zipfile.ZipFile(linked, "a") as archive:
        link = zipfile.ZipInfo("evil")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    unrecorded = wheel(tmp_path / "c", "evil", "1.0", {"a.py": b"x"}, unrecorded={"b.py": b"y"})
    twice = wheel(tmp_path / "b", "evil", "1.0", {"a.py": b"x"})
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.py", b"y")
    for number, each in enumerate((linked, unrecorded, twice)):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(VerificationFailed, match="«evil» was refused"):
            unpack(each, "evil", tmp_path / str(number))


@pytest.mark.parametrize("target", ["a", "a:", "a b:c", "%(x)s:y", "a:b\na = a:b"])
def test_scripts_that_are_none_are_told_in_one_line(target: str, tmp_path: Path) -> None:
    """Lost: a traceback, for a line that nobody can run."""
    made = wheel(tmp_path / "house", "odd", "1.0", {"a.py": b""}, scripts={"a": target})
    (tmp_path / "root").mkdir()
    with pytest.raises(VerificationFailed, match="«odd» was refused: its scripts") as found:
        unpack(made, "odd", tmp_path / "root")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("place", ["a script", "data"])
def test_a_wheel_takes_no_place_of_the_base(
    place: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a «python3» that is a package's script, and runs whatever step is told to run Python."""
    house = tmp_path / "house"
    serve(monkeypatch, house)
    if place == "data":
        made = wheel(house, "odd", "1.0", {"odd-1.0.data/data/bin/python3": b""})
    else:
        made = wheel(house, "odd", "1.0", {"odd.py": b""}, scripts={"python3": "odd:main"})
    with pytest.raises(BadInput, match=r"«odd» was refused: «opt/python/bin/python3»"):
        make(base, tmp_path / "one", lock(made))


def test_a_full_disk_is_told_as_such(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an author who looks for the fault in the lock."""
    house = tmp_path / "house"
    serve(monkeypatch, house)
    text = lock(wheel(house, "greeting", "1.0", {"a.py": b""}))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("node.execute.environment.trees.os.link", full)
    with pytest.raises(Full, match="no room"):
        make(base, tmp_path / "made", text)
