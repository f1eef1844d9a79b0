"""Looking whether what is published here is whole: what lacks and cannot be had is named, with what to do."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from catalog.body import write_body
from catalog.cid import RAW, Cid
from catalog.dataset import Level
from catalog.mirror import MirrorFields, mirrored
from node.site.repair import Repair
from node.storage.unixfs import CHUNK
from privacy.label import resident
from tests.adversary.hospital import NOW, Hospital, at_a_hospital, dataset
from tests.adversary.test_peers import Carrier, _materials
from tests.node.storage.walk import names

Looking = Callable[[Hospital, Repair, Carrier, Cid], Awaitable[None]]


def looking(path: Path, test: Looking) -> None:
    """Run ``test`` at a hospital that publishes a dataset of a few nodes, with a network that has nothing yet."""

    async def play(there: Hospital) -> None:
        root = await there.site.blobs.add(os.urandom(3 * CHUNK))
        await there.write("dataset", dataset(root))
        network = Carrier({})
        materials = _materials(there, network)
        materials._mirrors = lambda _owner, _root: [there.other.root.did]
        repair = Repair(there.site.root, there.site.index, there.site.blobs, materials, lambda _: None)
        await test(there, repair, network, root)

    at_a_hospital(path, play)


async def leaf_of(there: Hospital, root: Cid) -> Cid:
    return next(cid for cid in sorted(await names(there.site.blobs, root)) if cid.codec == RAW)


def test_what_lacks_comes_from_a_mirror_and_no_more_of_it(tmp_path: Path) -> None:
    """Lost: an owner whose disk lost a block goes on with half a dataset, though a member mirrors all of it."""

    async def test(there: Hospital, repair: Repair, network: Carrier, root: Cid) -> None:
        blobs = there.site.blobs
        whole = {cid: await blobs.node(cid) for cid in await names(blobs, root)}
        leaf = await leaf_of(there, root)
        await repair.settle()
        assert network.asked == [], "nobody learns of what is whole"
        blobs._place(leaf).unlink()
        await repair.settle()
        assert "does not let this site have" in repair.lacking[root]
        network.has = whole
        await repair.settle()
        assert repair.lacking == {}
        assert await blobs.missing(root) == []
        assert network.asked[-1] == (f"/ipfs/{root}", (leaf,))
        blobs._place(root).unlink()
        blobs._place(leaf).unlink()
        await repair.settle()
        assert await blobs.missing(root) == []
        assert [cids for _, cids in network.asked[-2:]] == [(root,), (leaf,)]

    looking(tmp_path, test)


def test_what_cannot_be_had_is_named_with_what_to_do(tmp_path: Path) -> None:
    """Lost: an operator who is told of no fault, or of one and not what to do."""

    async def test(there: Hospital, repair: Repair, network: Carrier, root: Cid) -> None:
        blobs = there.site.blobs
        data = await blobs.node(root)
        blobs._place(root).write_bytes(b"rotten")
        await repair.settle()
        assert "fsck --mend" in repair.lacking[root]
        blobs._place(root).write_bytes(data)
        blobs._place(await leaf_of(there, root)).unlink()
        repair._refusal = lambda owner: f"halted for {owner}"
        await repair.settle()
        assert repair.lacking == {root: f"halted for {there.site.root}"}
        assert network.asked == []

    looking(tmp_path, test)


def test_what_was_taken_back_is_looked_after_no_more(tmp_path: Path) -> None:
    """Lost: a site fetches again what it mirrors no more, or never published for others to hold."""

    async def test(there: Hospital, repair: Repair, _network: Carrier, root: Cid) -> None:
        theirs, owner = Cid.of(b"theirs"), there.mallory.root.did
        there.mallory.dataset(theirs)
        await there.write("mirror", MirrorFields(cid=theirs, owner=owner))
        kept = Cid.of(b"in place").keyed(bytes(32))
        await there.write("dataset", dataset(kept, resident(there.site.root), Level.RESIDENT))
        assert set(repair.roots()) == {(there.site.root, root, root), (owner, theirs, theirs)}
        previous = there.site.index.site(there.site.root).latest("mirror", mirrored(owner, theirs))
        assert previous is not None
        ended = write_body(
            "mirror",
            MirrorFields(cid=theirs, owner=owner, withdrawn=True),
            site=there.site.root,
            at=NOW,
            by=there.steward,
            previous=previous.index,
        )
        await there.site.writer.write(ended)
        assert set(repair.roots()) == {(there.site.root, root, root)}

    looking(tmp_path, test)
