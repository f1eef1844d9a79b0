"""A block as an archive for registries: what is in it is what a step finds, and only of a block that is open to all."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from catalog.block import BlockFields
from catalog.error import BadInput, Denied, NotFound
from catalog.member import Role
from node.api.blocks import ExportBlock
from node.execute.environment.image import make_image
from node.site.exporting import export_block
from privacy.label import shared
from tests.adversary.hospital import Hospital, at_a_hospital
from tests.node.site.test_environment import Author


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
