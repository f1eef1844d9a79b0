"""The vectors of shared data, read by the reference implementation of Crypt4GH and by none of ours."""

from __future__ import annotations

import hashlib
import io

import cbor2
import pytest
from crypt4gh import lib

from catalog.cid import Cid
from tests.protocol.people import SEEDS
from tests.protocol.told import TOLD

SHARED = TOLD["shared"]
SECRET = bytes([100 + SEEDS["mara"]]) * 32


def opened(body: str) -> bytes:
    """What the reader makes of a header and a body."""
    out = io.BytesIO()
    lib.decrypt([(0, SECRET, None)], io.BytesIO(bytes.fromhex(SHARED["header"] + body)), out)
    return out.getvalue()


@pytest.mark.parametrize("path", sorted(SHARED["files"]))
def test_each_file_opens_behind_the_header(path: str) -> None:
    """Lost: vectors that say how others write what is read here."""
    file = SHARED["files"][path]
    assert opened(file["body"]) == bytes.fromhex(file["plain"])
    assert Cid.parse(file["cid"]).digest == hashlib.sha256(bytes.fromhex(file["body"])).digest()


def test_the_manifest_opens_too_and_names_them() -> None:
    """Lost: as above, for names and sizes."""
    data = opened(SHARED["manifest"]["body"])
    assert data.hex() == SHARED["manifest"]["bytes"]
    told = cbor2.loads(data)
    assert {each["path"]: each["size"] for each in told["files"]} == {
        path: len(file["plain"]) // 2 for path, file in SHARED["files"].items()
    }
    for each in told["files"]:
        assert each["body"].value[1:] == bytes(Cid.parse(SHARED["files"][each["path"]]["cid"]))


def test_the_root_is_the_folder_of_numbered_bodies() -> None:
    """Lost: where a reader finds them."""
    folder = bytes.fromhex(SHARED["folder"])
    assert Cid.parse(SHARED["root"]).digest == hashlib.sha256(folder).digest()
    for name, cid in (("0", SHARED["files"]["empty.txt"]["cid"]), ("1", SHARED["files"]["ward/table.csv"]["cid"])):
        assert bytes(Cid.parse(cid)) + b"\x12\x01" + name.encode() in folder
