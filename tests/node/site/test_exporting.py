"""A block as an archive for registries: what is in it is what a step finds, and only of a block that is open to all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from msgspec import structs

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.error import BadInput, Denied, NotFound
from catalog.member import Role
from node.api.blocks import ExportBlock
from node.execute.environment.image import make_image
from node.site.exporting import export_block
from privacy.label import shared
from tests.adversary.hospital import NOW, Hospital, Neighbour, at_a_hospital
from tests.adversary.test_peers import T, _materials
from tests.node.site.test_environment import Author, Counting


async def stored(there: Hospital, author: Author, name: str) -> BlockFields:
    """A block with its environment, in the hospital's store."""
    environment = await author.environment(name)
    block = await author.block(name, environment)
    await there.site.blobs.put_nodes(list((await author.nodes(block.cid, environment)).items()))
    return block


def test_the_archive_holds_environment_and_block_and_is_the_same_each_time(tmp_path: Path) -> None:
    """Lost: that a tool that is taken from a registry is the one whose results were released."""

    async def test(there: Hospital) -> None:
        there.site.checkouts.start()
        block = await stored(there, Author(tmp_path), "one")
        await there.write("block", block)
        made = []
        for name in ("a.tar", "b.tar"):
            request = ExportBlock(cid=block.cid, path=str(tmp_path / name))
            made.append(await export_block(there.site, there.steward.did, request))
        assert made[0] == made[1]
        assert made[0].name == f"comity.local/one:{str(block.cid)[-16:]}"
        assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
        assert (tmp_path / "a.tar").stat().st_size == made[0].bytes
        (tmp_path / "again").mkdir()
        make_image(tmp_path / "a.tar", made[0].digest, tmp_path / "again")
        root = tmp_path / "again/tree/root"
        assert (root / "lib/0").read_bytes() == (tmp_path / "one/root/lib/0").read_bytes()
        assert (root / "block/tool.cwl").read_bytes() == (tmp_path / "block-one/tool.cwl").read_bytes()
        with pytest.raises(BadInput, match="is there already"):
            await export_block(there.site, there.steward.did, request)
        assert list((there.site.folder.environments / "packing").iterdir()) == []

    at_a_hospital(tmp_path, test)


def test_a_block_that_is_for_some_is_not_exported(tmp_path: Path) -> None:
    """Lost: what a site shared with two others stands in a public registry."""

    async def test(there: Hospital) -> None:
        block = await stored(there, Author(tmp_path), "one")
        label = shared(there.site.root, [there.other.root.did])
        await there.write("block", structs.replace(block, label=label))
        request = ExportBlock(cid=block.cid, path=str(tmp_path / "a.tar"))
        with pytest.raises(Denied, match=r"for .*other.* alone.*open"):
            await export_block(there.site, there.steward.did, request)
        assert not (tmp_path / "a.tar").exists()

    at_a_hospital(tmp_path, test)


@pytest.mark.parametrize("lies", ["entry", "block", "copy"])
def test_what_another_site_keeps_to_some_is_not_exported_by_calling_it_open(lies: str, tmp_path: Path) -> None:
    """Lost: a private environment, at hand here, in a public archive: any member can name its CID, and has no byte."""

    async def test(there: Hospital) -> None:
        there.site.checkouts.start()
        author = Author(tmp_path)
        secret, mine = await author.environment("secret"), await author.environment("mine")
        private = await author.block("private", secret)
        await there.site.blobs.put_nodes(list((await author.nodes(*private.roots)).items()))
        there.other.add("block", structs.replace(private, label=shared(there.other.root.did, [there.site.root])))
        async with there.site.checkouts.using(secret, 1_000_000):
            pass  # a step ran in it here
        public = await author.block("public", secret if lies == "block" else mine)
        said = private if lies == "copy" else structs.replace(public, environment=secret)
        there.mallory.add("block", said)
        network = Counting(await author.nodes(public.cid, mine))
        there.site.materials = _materials(there, network)
        request = ExportBlock(cid=said.cid, path=str(tmp_path / "a.tar"))
        with pytest.raises((BadInput, NotFound), match="names another" if lies == "entry" else "mallory does not let"):
            await export_block(there.site, there.steward.did, request)
        assert not (tmp_path / "a.tar").exists()

    at_a_hospital(tmp_path, test)


def test_a_false_entry_does_not_keep_a_block_from_being_exported(tmp_path: Path) -> None:
    """Lost: a member that takes a block from all others, by an entry of its own for it."""

    async def test(there: Hospital) -> None:
        there.site.checkouts.start()
        author = Author(tmp_path)
        block = await author.block("one", await author.environment("one"))
        there.site.materials = _materials(there, Counting(await author.nodes(*block.roots)))
        first, second = sorted((there.mallory, there.other), key=lambda each: each.root.did)
        first.add("block", structs.replace(block, environment=await author.environment("two")))
        second.add("block", block)
        made = await export_block(
            there.site, there.steward.did, ExportBlock(cid=block.cid, path=str(tmp_path / "a.tar"))
        )
        assert made.bytes == (tmp_path / "a.tar").stat().st_size

    at_a_hospital(tmp_path, test)


class Narrowing(Counting):
    """A network over which news come with the bytes: the block of ``author`` is for some alone."""

    def __init__(self, has: dict[Cid, bytes], block: BlockFields, author: Neighbour, *readers: str) -> None:
        super().__init__(has)
        root, index = author.root.did, author.index
        narrower = structs.replace(block, label=shared(root, readers))
        previous = index.latest("block", str(block.cid))
        assert previous is not None
        body = write_body("block", narrower, site=root, at=NOW, by=author.steward, previous=previous.index)
        self.narrow = lambda: index.add(index.size, "block", body)

    async def query(self, site: str, path: str, query: bytes, take: Callable[[IO[bytes]], T], limit: int) -> T:
        found = await super().query(site, path, query, take, limit)
        self.narrow()
        return found


@pytest.mark.parametrize("also", [False, True])
def test_a_block_that_is_narrowed_while_it_comes_is_not_exported(also: bool, tmp_path: Path) -> None:
    """Lost: an author who took a block back, and finds it in a registry; though another says, too, that it is open."""

    async def test(there: Hospital) -> None:
        there.site.checkouts.start()
        author = Author(tmp_path)
        block = await author.block("one", await author.environment("one"))
        first, second = sorted((there.mallory, there.other), key=lambda each: each.root.did)
        for each in (first, second) if also else (first,):
            each.add("block", block)
        network = Narrowing(await author.nodes(*block.roots), block, first, there.site.root)
        there.site.materials = _materials(there, network)
        request = ExportBlock(cid=block.cid, path=str(tmp_path / "a.tar"))
        with pytest.raises(Denied, match="another site opens it" if also else "alone"):
            await export_block(there.site, there.steward.did, request)
        assert not (tmp_path / "a.tar").exists()
        assert list((there.site.folder.environments / "packing").iterdir()) == []

    at_a_hospital(tmp_path, test)


def test_who_may_not_write_this_machine_s_disk_exports_nothing(tmp_path: Path) -> None:
    """Lost: a researcher who has the node write where the researcher cannot."""

    async def test(there: Hospital) -> None:
        await there.enrol(there.mara, Role.RESEARCHER)
        block = await stored(there, Author(tmp_path), "one")
        request = ExportBlock(cid=block.cid, path=str(tmp_path / "a.tar"))
        with pytest.raises(NotFound):
            await export_block(there.site, there.steward.did, request)
        await there.write("block", structs.replace(block, environment=None))
        with pytest.raises(Denied):
            await export_block(there.site, there.mara.did, request)
        with pytest.raises(BadInput, match="names no environment"):
            await export_block(there.site, there.steward.did, request)
        with pytest.raises(BadInput, match="not an absolute path"):
            await export_block(there.site, there.steward.did, ExportBlock(cid=block.cid, path="a.tar"))

    at_a_hospital(tmp_path, test)
