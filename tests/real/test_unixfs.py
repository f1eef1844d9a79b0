"""The embedded store beside a real Kubo: the same CIDs for the same trees, and each reads what the other wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.cid import Cid
from node.storage.disk import DiskBlobs
from tests.infra.kubo.daemon import Kubo

T = TypeVar("T")
Tree = dict[str, "Tree | bytes"]

CHUNK = 262_144
TREES = 200

NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)
SIZES = st.sampled_from((0, 1, 17, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 5))
FILES = st.builds(lambda byte, size: bytes([byte]) * size, st.integers(0, 255), SIZES)
TREES_OF = st.recursive(
    st.dictionaries(NAMES, FILES, max_size=4),
    lambda inner: st.dictionaries(NAMES, FILES | inner, max_size=4),
    max_leaves=6,
)


def write(tree: Tree, folder: Path) -> None:
    folder.mkdir()
    for name, held in tree.items():
        if isinstance(held, dict):
            write(held, folder / name)
        else:
            (folder / name).write_bytes(held)


def read(folder: Path) -> Tree:
    return {each.name: read(each) if each.is_dir() else each.read_bytes() for each in folder.iterdir()}


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """A folder for one example, which goes with it."""
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def play(store: Path, story: Callable[[DiskBlobs], Coroutine[Any, Any, T]]) -> T:
    return trio.run(story, DiskBlobs(store))


def add(kubo: Kubo, path: Path, *options: str) -> str:
    given = options or ("--cid-version=1", "--raw-leaves")
    return kubo("add", "-r", "--hidden", "-Q", *given, path).decode().strip()


def taken(kubo: Kubo, root: str, at: Path) -> Tree | bytes:
    """What our store makes of what Kubo has under ``root``."""
    car = kubo("dag", "export", "-p=false", root)

    async def story(blobs: DiskBlobs) -> None:
        [cid] = await blobs.import_car(BytesIO(car))
        assert await blobs.missing(cid) == []
        await blobs.checkout(cid, at / "ours")

    play(at / "store", story)
    return read(at / "ours") if (at / "ours").is_dir() else (at / "ours").read_bytes()


def given_to(kubo: Kubo, root: Cid, store: Path, at: Path) -> Tree | bytes:
    """What Kubo makes of what our store has under ``root``."""

    async def story(blobs: DiskBlobs) -> bytes:
        car = BytesIO()
        await blobs.export_car(root, car)
        return car.getvalue()

    (at / "ours.car").write_bytes(play(store, story))
    kubo("dag", "import", "--pin-roots=false", at / "ours.car")
    kubo("get", "-o", at / "theirs", str(root))
    return read(at / "theirs") if (at / "theirs").is_dir() else (at / "theirs").read_bytes()


@settings(
    max_examples=TREES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(tree=TREES_OF)
def test_a_tree_has_one_cid_and_both_read_it(kubo: Kubo, tmp_path: Path, tree: Tree) -> None:
    """Lost: what a hospital publishes as open has another name for the rest of the world, or cannot be read there."""
    with emptied(tmp_path / "example") as at:
        write(tree, at / "tree")
        root = play(at / "blobs", lambda blobs: blobs.add_path(at / "tree"))
        assert add(kubo, at / "tree") == str(root)
        assert taken(kubo, str(root), at) == tree
        assert given_to(kubo, root, at / "blobs", at) == tree


@pytest.mark.parametrize("size", [0, 1, CHUNK, 174 * CHUNK, 174 * CHUNK + 1])
def test_a_file_has_one_cid_and_both_read_it(kubo: Kubo, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    root = play(tmp_path / "blobs", lambda blobs: blobs.add_path(path))
    assert add(kubo, path) == str(root)
    assert taken(kubo, str(root), tmp_path) == path.read_bytes()
    assert given_to(kubo, root, tmp_path / "blobs", tmp_path) == path.read_bytes()


def test_a_folder_that_is_sharded_has_one_cid_and_both_read_it(kubo: Kubo, tmp_path: Path) -> None:
    tree: Tree = {f"{'a long name ' * 4}{number}": b"%d" % number for number in range(4000)}
    write(tree, tmp_path / "tree")
    root = play(tmp_path / "blobs", lambda blobs: blobs.add_path(tmp_path / "tree"))
    assert add(kubo, tmp_path / "tree") == str(root)
    assert taken(kubo, str(root), tmp_path) == tree
    assert given_to(kubo, root, tmp_path / "blobs", tmp_path) == tree


@pytest.mark.parametrize(
    "options",
    [
        ("--cid-version=0",),
        ("--cid-version=1", "--raw-leaves=false"),
        ("--cid-version=1", "--raw-leaves", "--chunker=size-1000"),
        ("--cid-version=1", "--raw-leaves", "--chunker=rabin-1000-2000-4000"),
        ("--cid-version=1", "--raw-leaves", "--chunker=buzhash"),
        ("--cid-version=1", "--raw-leaves", "--trickle"),
        ("--cid-version=0", "--trickle", "--chunker=size-700"),
        ("--cid-version=1", "--raw-leaves", "--max-file-links=5", "--chunker=size-1000"),
    ],
    ids=" ".join,
)
def test_what_others_write_in_other_ways_is_read(kubo: Kubo, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Lost: open data that somebody added with another tool, or years ago, cannot be brought here."""
    tree: Tree = {"empty": b"", "small": b"x", "large": os.urandom(300_000), "folder": {"another": os.urandom(5000)}}
    write(tree, tmp_path / "tree")
    assert taken(kubo, add(kubo, tmp_path / "tree", *options), tmp_path) == tree
