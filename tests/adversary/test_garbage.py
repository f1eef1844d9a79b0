"""A member whose catalog holds what no version reads: it stops nothing, and everybody here can see where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.body import write_body
from catalog.dagcbor import encode
from catalog.error import Denied, NotFound
from catalog.leaf import encode_leaf, seal
from catalog.policy import PolicyFields
from catalog.reading import read_leaf
from node.api.faults import wrong_with
from node.site.service import SiteService
from tests.adversary.hospital import NOW, Hospital, at_a_hospital


def garbage(there: Hospital) -> None:
    """Of Mallory: a leaf that is none, a body that is none, one by a key that may not sign it, an unknown kind."""
    index, site = there.mallory.index, there.mallory.root.did
    origin, salt = f"{site}/catalog/0", bytes(32)
    forged = encode(write_body("policy", PolicyFields(text=""), site=site, at=NOW, by=there.mara))
    for kind, body in (("", b""), ("policy", b"no body"), ("policy", forged), ("telepathy", b"who knows")):
        leaf = encode_leaf(seal(origin, 0, kind, body, salt)) if kind else b"no leaf"
        index.take(read_leaf(origin, index.size, leaf, body))


def test_what_does_not_count_is_named_with_its_site_and_its_place(tmp_path: Path) -> None:
    """Lost: a member writes what nobody reads, and nobody is told."""

    async def test(there: Hospital) -> None:
        service, first = SiteService(there.site), there.mallory.index.size
        before = {each.name: each for each in (await service.status()).members}
        assert (before["mallory"].faults, wrong_with(before["mallory"])) == (0, "")
        garbage(there)
        after = {each.name: each for each in (await service.status()).members}
        assert (after["mallory"].faults, after["other"].faults) == (4, 0)
        assert f"4 entries do not count (entry {first}: a leaf of 7 bytes was refused" in wrong_with(after["mallory"])
        assert "«telepathy»" in after["mallory"].stopped
        with pytest.raises(Denied):
            await service.faults(there.mara.did, there.mallory.root.did)
        await there.enrol(there.mara)
        found = await service.faults(there.mara.did, there.mallory.root.did)
        assert (found.count, [each.index for each in found.faults]) == (4, list(range(first, first + 4)))
        assert "may not sign" in found.faults[2].reason
        with pytest.raises(NotFound):
            await service.faults(there.mara.did, there.paul.did)

    at_a_hospital(tmp_path, test)
