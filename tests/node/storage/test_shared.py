"""Shared data in the store: ciphertext alone, and the same files again for whoever has the key."""

from __future__ import annotations

import io
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from crypt4gh import lib
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.cid import Cid
from catalog.crypt4gh import (
    OVERHEAD,
    SEALED,
    SEGMENT,
    open_segment,
    public_of,
    seal_segment,
    sealed_size,
    segments,
    write_header,
)
from catalog.dagcbor import encode
from catalog.error import BadInput, ComityError, NotFound, VerificationFailed
from catalog.manifest import MANIFEST, Manifest, SharedFile
from node.storage.directory import build_directory
from node.storage.disk import DiskBlobs
from node.storage.segments import open_segments, seal_segments
from node.storage.shared import SharedData
from node.storage.unixfs import CHUNK, Child, Put, build_file, chunks_of
from tests.node.storage.walk import names

KEY, OTHER, SECRET = os.urandom(32), os.urandom(32), os.urandom(32)
SIZES = (0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 17)


def play(folder: Path, story: Callable[[SharedData, DiskBlobs], Awaitable[None]]) -> None:
    async def main() -> None:
        blobs = DiskBlobs(folder / "blobs")
        await story(SharedData(blobs, os.urandom), blobs)

    trio.run(main)


def tree(folder: Path) -> Path:
    """Files of the sizes at which something begins anew, in folders, with names that people use."""
    for size in SIZES:
        place = folder / "Stationsbrief ü" / f"{size % 3}" / f"file {size}.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(os.urandom(size))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_a_tree_comes_back_as_it_was_and_only_under_its_key(tmp_path: Path) -> None:
    """Lost: data; or that ciphertext is worth nothing without the key."""
    source = tree(tmp_path / "source")

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        await shared.checkout(root, KEY, tmp_path / "out")
        with pytest.raises(VerificationFailed):
            await shared.checkout(root, OTHER, tmp_path / "other")
        listed = {entry.name for entry in await blobs.entries(root)}
        assert listed == {MANIFEST, *(str(number) for number in range(len(SIZES)))}

    play(tmp_path, story)
    assert files_in(tmp_path / "out") == files_in(source)
    assert not (tmp_path / "other").exists()
    modes = {each.stat().st_mode & 0o777 for each in (tmp_path / "out").rglob("*") if each.is_file()}
    assert modes == {0o444}
    stored = b"".join(files_in(tmp_path / "blobs").values())
    assert b"Stationsbrief" not in stored
    assert all(data[:64] not in stored for data in files_in(source).values() if len(data) > 64)


def test_every_file_opens_with_the_reference_behind_a_header(tmp_path: Path) -> None:
    """Lost: what is stored is no Crypt4GH body."""
    source = tree(tmp_path / "source")

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        for number, file in enumerate((await shared.manifest(root, KEY)).files):
            body = await shared.piece(root, str(number), 0, 1 << 30)
            assert len(body) == sealed_size(file.size)
            out = io.BytesIO()
            lib.decrypt([(0, SECRET, None)], io.BytesIO(write_header(KEY, public_of(SECRET), os.urandom) + body), out)
            assert out.getvalue() == (source / file.path).read_bytes()

    play(tmp_path, story)


def test_one_file_is_one_file_again(tmp_path: Path) -> None:
    """Lost: a step that takes a file is given a folder."""
    source = tmp_path / "table.csv"
    source.write_bytes(b"rows" * 30_000)

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        await shared.checkout(root, KEY, tmp_path / "out")
        assert (await shared.manifest(root, KEY)).files[0].path == "table.csv"
        assert await shared.add_path(source, KEY) != root, "the same data twice can be told to be the same"
        with pytest.raises(BadInput):
            await shared.checkout(root, KEY, tmp_path / "out")

    play(tmp_path, story)
    assert (tmp_path / "out").read_bytes() == source.read_bytes()


def test_a_new_key_makes_other_ciphertext_of_the_same_data(tmp_path: Path) -> None:
    """Lost: an old key opens the new version, or the new version is not the old data."""
    source = tree(tmp_path / "source")

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        old = await shared.add_path(source, KEY)
        new = await shared.reseal(old, KEY, OTHER)
        before, after = await names(blobs, old), await names(blobs, new)
        empty = {Cid.of(b"")}
        assert not (before & after) - empty
        await shared.checkout(new, OTHER, tmp_path / "out")
        with pytest.raises(VerificationFailed):
            await shared.checkout(new, KEY, tmp_path / "old")

    play(tmp_path, story)
    assert files_in(tmp_path / "out") == files_in(source)


def test_what_lies_in_the_store_is_verified_before_it_is_decrypted(tmp_path: Path) -> None:
    """Lost: a flipped bit, or segments that changed places, come out as data."""
    source = tmp_path / "scan"
    source.write_bytes(os.urandom(3 * CHUNK))

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        leaves = sorted((tmp_path / "blobs" / "nodes").rglob("*"), key=lambda each: each.stat().st_size)[-2:]
        first, second = (leaf.read_bytes() for leaf in leaves)
        leaves[0].chmod(0o600)
        leaves[0].write_bytes(second)
        with pytest.raises(VerificationFailed, match="damaged"):
            await shared.checkout(root, KEY, tmp_path / "out")
        leaves[0].write_bytes(first[:-1] + bytes([first[-1] ^ 1]))
        with pytest.raises(VerificationFailed, match="damaged"):
            await shared.checkout(root, KEY, tmp_path / "out")
        leaves[0].unlink()
        with pytest.raises(NotFound):
            await shared.checkout(root, KEY, tmp_path / "out")

    play(tmp_path, story)
    assert not (tmp_path / "out").exists()


def lying(put: Put, body: bytes, size: int, *, manifest: bytes | None = None) -> Child:
    """A dataset of one file whose owner says that ``body`` has ``size`` bytes of plaintext."""
    stored = build_file(chunks_of(body), put)
    file = SharedFile(path="scan", size=size, media_type="", body=stored.cid)
    said = encode(Manifest(folder=True, files=(file,))) if manifest is None else manifest
    sealed = build_file(chunks_of(seal_segments(KEY, said, os.urandom)), put)
    return build_directory({MANIFEST: sealed, "0": stored}, put)


DATA = os.urandom(2 * SEGMENT + 5)
BODY = seal_segments(KEY, DATA, os.urandom)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (BODY[:SEALED], len(DATA)),
        (BODY[: 2 * SEALED], len(DATA)),
        (BODY[:-1], len(DATA)),
        (BODY[:-1], len(DATA) - 1),
        (BODY + BODY[:SEALED], len(DATA)),
        (BODY[: 2 * SEALED] + BODY[2 * SEALED + 1 :], len(DATA) - 1),
        (BODY[:SEALED] + seal_segment(KEY, b"", bytes(12)), SEGMENT),
        (seal_segments(OTHER, DATA, os.urandom), len(DATA)),
        (b"", 1),
    ],
)
def test_a_body_that_is_not_as_its_manifest_says_is_refused(tmp_path: Path, body: bytes, size: int) -> None:
    """Lost: an owner, or whoever wrote into the store, cuts data short and nobody sees it."""

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await blobs.build(lambda put, _get: lying(put, body, size))
        with pytest.raises(VerificationFailed):
            await shared.checkout(root, KEY, tmp_path / "out")

    play(tmp_path, story)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("manifest", [b"", b"no manifest", encode({"folder": True, "files": [], "more": 1})])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: bytes) -> None:
    """Lost: what an owner encrypted decides what a reader's node does."""

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await blobs.build(lambda put, _get: lying(put, BODY, len(DATA), manifest=manifest))
        with pytest.raises(VerificationFailed):
            await shared.checkout(root, KEY, tmp_path / "out")
        with pytest.raises(ComityError):
            await shared.checkout(await blobs.add(b"no folder"), KEY, tmp_path / "out")
        with pytest.raises(NotFound):
            await shared.piece(root, "no such body", 0, 10)

    play(tmp_path, story)


def test_what_cannot_be_added_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """Lost: half a dataset is taken for one, or a link leads an import out of its folder."""
    source = tree(tmp_path / "source")
    (source / "link").symlink_to("/etc/passwd")

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        with pytest.raises(BadInput, match="symbolic link"):
            await shared.add_path(source, KEY)

    play(tmp_path, story)
    assert [each for each in (tmp_path / "blobs" / "nodes").rglob("*") if each.is_file()] == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3 * SEGMENT))
def test_many_segments_are_what_one_after_the_other_is(size: int) -> None:
    """Lost: two ciphers in one product that differ."""
    data = os.urandom(size)
    sealed = seal_segments(KEY, data, os.urandom)
    assert open_segments(KEY, sealed) == data
    assert b"".join(open_segment(KEY, each) for each in segments([sealed])) == data
    singly = (seal_segment(KEY, data[at : at + SEGMENT], os.urandom(12)) for at in range(0, size, SEGMENT))
    assert open_segments(KEY, b"".join(singly)) == data


def test_a_piece_begins_where_it_is_asked_to(tmp_path: Path) -> None:
    """Lost: as above, in the store: at the ends of leaves, within them, and behind the last."""
    source = tmp_path / "scan"
    source.write_bytes(os.urandom(3 * CHUNK + 11))

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        whole = await shared.piece(root, "0", 0, 1 << 30)
        for start in (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(whole) - 1, len(whole), len(whole) + 5):
            for limit in (1, CHUNK, CHUNK + 1):
                assert await shared.piece(root, "0", start, limit) == whole[start : start + limit], (start, limit)

    play(tmp_path, story)


def test_bodies_are_one_stream_from_any_place_on(tmp_path: Path) -> None:
    """Lost: thousands of small files cost a question each; or bytes of one are taken for another's."""
    source = tree(tmp_path / "source")

    async def story(shared: SharedData, blobs: DiskBlobs) -> None:
        root = await shared.add_path(source, KEY)
        count = len((await shared.manifest(root, KEY)).files)
        bodies = [await shared.piece(root, str(number), 0, 1 << 30) for number in range(count)]
        for number, body in enumerate(bodies):
            behind = b"".join(bodies[number:])
            for start in {0, min(1, len(body)), max(0, len(body) - 1), len(body)}:
                for limit in (1, len(body), len(body) + 1, 1 << 30):
                    got = await shared.bodies(root, number, start, limit)
                    assert got == behind[start : start + limit], (number, start, limit)
            assert await shared.bodies(root, number, len(body) + 1, 100) == b""
        with pytest.raises(NotFound):
            await shared.bodies(root, count, 0, 10)

    play(tmp_path, story)


def test_cut_off_segments_are_refused() -> None:
    """Lost: as for one segment."""
    for wrong in (BODY[:OVERHEAD], BODY[: SEALED + OVERHEAD], BODY[:-1], BODY[1:]):
        with pytest.raises(VerificationFailed):
            open_segments(KEY, wrong)
