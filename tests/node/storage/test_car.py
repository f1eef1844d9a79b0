"""CAR files: what one store writes another reads, and nothing of a file is believed."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from catalog.cid import DAG_PB, Cid
from catalog.error import NotFound, VerificationFailed
from node.storage.car import MAX_HEADER, header, prefix, read_header, read_nodes
from node.storage.dagpb import MAX_NODE
from node.storage.disk import DiskBlobs
from node.storage.protobuf import encode_varint

ONE, TWO = b"one", b"two"
NODES = ((Cid.of(ONE), ONE), (Cid.of(TWO), TWO), (Cid.of(b"", DAG_PB), b""))
CAR = header(NODES[0][0]) + b"".join(prefix(cid, node) + node for cid, node in NODES)


def read(data: bytes) -> tuple[tuple[Cid, ...], list[tuple[Cid, bytes]]]:
    file = io.BytesIO(data)
    return read_header(file), list(read_nodes(file))


def test_what_was_written_is_read() -> None:
    assert read(CAR) == ((NODES[0][0],), list(NODES))
    assert read(header()) == ((), [])


def test_the_header_is_the_one_of_the_specification() -> None:
    """Byte for byte as other tools write it."""
    cid = Cid.parse("bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
    assert header(cid).hex() == "3aa265726f6f747381d82a58250001551220" + cid.digest.hex() + "6776657273696f6e01"


def test_a_cid_of_version_0_is_read_as_that_of_a_dag_pb_node() -> None:
    node = b"\x0a\x02\x08\x01"
    cid = Cid.of(node, DAG_PB)
    old = b"\x12\x20" + cid.digest
    assert read(header(cid) + encode_varint(len(old) + len(node)) + old + node) == ((cid,), [(cid, node)])


def plain_header(data: bytes) -> bytes:
    return encode_varint(len(data)) + data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no header"),
        (encode_varint(MAX_HEADER + 1) + bytes(100), "no header"),
        (b"\x80", "cut off, padded"),
        (b"\x80\x00", "padded"),
        (b"\xff" * 10, "too long"),
        (plain_header(b"\xa0"), "version 1"),
        (plain_header(b"\xa2\x65roots\x80\x67version\x02"), "version 1"),
        (plain_header(b"\xa2\x65roots\x81\x01\x67version\x01"), "roots are not CIDs"),
        (plain_header(b"\xff"), "not DAG-CBOR"),
        (encode_varint(50) + b"\xa0", "cut off"),
        (CAR[:-1], "cut off"),
        (header() + prefix(Cid.of(ONE), TWO) + TWO, "not what it names"),
        (header() + encode_varint(MAX_NODE + 65), "a node of"),
        (header() + encode_varint(1 << 62), "a node of"),
        (header() + b"\x00", "a CID that Comity does not use"),
        (header() + b"\x05abcde", "a CID that Comity does not use"),
    ],
)
def test_what_is_no_car_is_refused_in_plain_words(data: bytes, told: str) -> None:
    """Lost: a file of somebody makes the node read without end, or store under a CID what it does not name."""
    with pytest.raises(VerificationFailed, match=told):
        read(data)


@given(st.integers(0, len(CAR)), st.binary(max_size=4), st.integers(0, 4))
def test_whatever_is_changed_is_found_or_harmless(at: int, change: bytes, over: int) -> None:
    with suppress(VerificationFailed):
        for cid, node in read(CAR[:at] + change + CAR[at + over :])[1]:
            assert cid.matches(node)


def test_a_tree_goes_from_store_to_store_and_a_cut_one_is_known_to_lack_nodes(tmp_path: Path) -> None:
    (tmp_path / "tree" / "folder").mkdir(parents=True)
    (tmp_path / "tree" / "folder" / "file").write_bytes(bytes(600_000))

    async def main() -> None:
        one, other = DiskBlobs(tmp_path / "one"), DiskBlobs(tmp_path / "other")
        root = await one.add_path(tmp_path / "tree")
        car = io.BytesIO()
        await one.export_car(root, car)
        assert await other.import_car(io.BytesIO(car.getvalue())) == (root,)
        assert await other.missing(root) == []
        await other.checkout(root, tmp_path / "out")
        assert (tmp_path / "out" / "folder" / "file").read_bytes() == bytes(600_000)
        third = DiskBlobs(tmp_path / "third")
        with pytest.raises(VerificationFailed, match="cut off"):
            await third.import_car(io.BytesIO(car.getvalue()[:-1]))
        with pytest.raises(NotFound):
            await third.read(root, "folder/file")
        top = await one.node(root)
        await third.import_car(io.BytesIO(header(root) + prefix(root, top) + top))
        assert await third.missing(root) != []

    trio.run(main)
