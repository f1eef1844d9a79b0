"""What a disk damaged is named, removed, and brought again from whoever holds it: the owner's data, and a mirror's."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from catalog.cid import Cid
from devnet import faults
from devnet.patience import eventually
from devnet.topology import Institution
from node.storage.nodes import node_path
from tests.devnet.consortium import Consortium
from tests.node.storage.test_disk import content


@pytest.mark.parametrize("damaged", ["owner", "mirror"])
def test_what_was_damaged_is_named_and_comes_again(consortium: Consortium, tmp_path: Path, damaged: str) -> None:
    """Lost: what «site fsck --mend» took away is gone, though another site holds it, and nothing says so."""
    known, name = consortium.known, f"open {secrets.token_hex(8)}"
    owner, mirror = known.hospitals[2], known.hospitals[0]
    table = tmp_path / "table.bin"
    table.write_bytes(b"".join(content(name, 3 << 20)))
    with consortium.steward(owner) as author:
        made = author.publish_dataset(table, name, "open")
    eventually(lambda: consortium.command("dataset", "mirror", name, at=mirror).returncode == 0 or None, "the mirror")
    struck = owner if damaged == "owner" else mirror
    leaf = _leaf_of(consortium, struck, next(content(name, 3 << 20)))
    faults.strike(consortium.places, "stop", struck.handle)
    try:
        leaf.write_bytes(b"rotten")
        found = consortium.command("site", "fsck", at=struck)
        assert found.returncode == 5
        assert f"lacking in {made.cid}" in found.stdout
        mended = consortium.command("site", "fsck", "--mend", at=struck)
        assert mended.returncode == 0, mended.stderr
        again = consortium.command("site", "fsck", at=struck)
        assert again.returncode == 5
        assert f"NOT WHOLE «{name}», {made.cid}: it lacks 1 node\n" in again.stdout
        assert "no fault" not in again.stdout
    finally:
        faults.strike(consortium.places, "resume", struck.handle)
    eventually(lambda: leaf.exists() or None, "what was lacking")
    assert Cid.of(leaf.read_bytes()) == Cid.parse(leaf.name)
    with consortium.steward(struck) as steward:
        assert eventually(lambda: not steward.status().storage.lacking or None, "a site that lacks nothing")
        rows = steward.audit(made.cid).rows
    assert any(row.kind == "fetch" and row.site_name == struck.name for row in rows), "it is written down like a fetch"


def _leaf_of(consortium: Consortium, at: Institution, data: bytes) -> Path:
    leaf = node_path(consortium.places.site(at).path / "blobs" / "nodes", Cid.of(data))
    assert leaf.exists()
    return leaf
