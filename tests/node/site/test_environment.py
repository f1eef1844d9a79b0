"""Environments between sites: fetched where a block is to run, shared between blocks, kept and served as blocks are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import trio

from catalog.block import BlockFields
from catalog.body import write_body
from catalog.cid import Cid
from catalog.error import BadInput, Infeasible, NotFound, VerificationFailed
from catalog.mirror import MirrorFields
from catalog.project import ProjectRef
from cli.roots import roots_of
from node.execute.environment.checkouts import Checkouts
from node.execute.environment.description import Description, Reference, write
from node.execute.machine import platform_here
from node.execute.step import StepExecutor
from node.site.locating import Mirrors
from node.site.publishing import check_content
from node.site.repair import Repair
from node.step import Finished, Limits, Work
from node.storage.disk import DiskBlobs
from node.storage.memo import Memos
from node.storage.pooled import checkout_pooled, drop_unused
from privacy.label import OPEN, resident, shared
from tests.adversary.hospital import NOW, Hospital, at_a_hospital
from tests.adversary.test_peers import Carrier, _materials
from tests.adversary.test_steps import Hostile, Shelf
from tests.node.execute.cwl.evaluating import EVALUATOR
from tests.node.storage.walk import names
from workflow.argument import Argument, Data

DIGEST = f"sha256:{'1' * 64}"
TOOL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Environment: {lock: requirements.lock}}
baseCommand: [x]
inputs: {table: File?}
stdout: out
outputs: {out: {type: stdout}}
"""
PROJECT = ProjectRef(site="did:key:x", name="trial")


class Author:
    """The store of a site that authors blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = DiskBlobs(folder / "author")
        self.same = {f"lib/{number}": os.urandom(4_000) for number in range(90)}

    async def environment(self, name: str, count: int = 10) -> Cid:
        """An environment of which 90 files are those of every other, and ``count`` its own."""
        tree = self.folder / name
        for path, data in {**self.same, **{f"own/{name}{n}": os.urandom(4_000) for n in range(count)}}.items():
            place = tree / "root" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        described = Description(platform=platform_here(), variables={}, links={}, lock=DIGEST)
        (tree / "environment.json").write_bytes(write(described))
        return await self.blobs.add_path(tree)

    async def block(self, name: str, environment: Cid, size: int = 1_000_000) -> BlockFields:
        """A block that runs in it."""
        folder = self.folder / f"block-{name}"
        folder.mkdir()
        (folder / "tool.cwl").write_text(TOOL)
        (folder / "requirements.lock").write_text(name)
        reference = Reference(environment=str(environment), platform=platform_here(), bytes=size, lock=DIGEST)
        (folder / "environment.json").write_bytes(write(reference))
        cid = await self.blobs.add_path(folder)
        return BlockFields(
            cid=cid, name=name, label=OPEN, description="", outputs={"out": "row-level"}, environment=environment
        )

    async def nodes(self, *roots: Cid) -> dict[Cid, bytes]:
        """All nodes below these."""
        found = {cid for root in roots for cid in await names(self.blobs, root)}
        return {cid: await self.blobs.node(cid) for cid in found}


class Counting(Carrier):
    """A network that counts the bytes that it carried."""

    @property
    def bytes(self) -> int:
        return sum(len(self.has[cid]) for _, wanted in self.asked for cid in wanted if cid in self.has)


def test_two_blocks_that_share_most_of_their_environments_move_the_rest_only(tmp_path: Path) -> None:
    """Lost: a numpy that crosses the wire, and fills the disk, once for every block that uses it."""

    async def test(there: Hospital) -> None:
        author = Author(tmp_path)
        first, second = [await author.block(name, await author.environment(name)) for name in ("one", "two")]
        for block in (first, second):
            there.other.add("block", block)
        moved = []
        for block in (first, second):
            assert block.environment is not None
            network = Counting(await author.nodes(block.environment))
            await _put(there, author, block)
            await _materials(there, network).environment(block.environment, block.cid)
            assert await there.site.blobs.missing(block.environment) == []
            moved.append(network.bytes)
        assert moved[0] > 100 * 4_000
        assert 10 * 4_000 < moved[1] < moved[0] // 8, moved

    at_a_hospital(tmp_path, test)


def test_an_environment_that_is_larger_than_its_block_says_is_not_fetched(tmp_path: Path) -> None:
    """Lost: a disk that fills with what nobody announced."""

    async def test(there: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("node.site.materials.SLACK", 0)
        author = Author(tmp_path)
        block = await author.block("block", await author.environment("one"), size=100_000)
        there.other.add("block", block)
        nodes = await author.nodes(*block.roots)
        materials = _materials(there, Counting(nodes))
        await materials.block(block.cid)
        with pytest.raises(Infeasible):
            await materials.environment(block.roots[1], block.cid)

    with pytest.MonkeyPatch.context() as monkeypatch:
        at_a_hospital(tmp_path, lambda there: test(there, monkeypatch))


def test_a_site_that_may_not_have_a_block_does_not_learn_that_its_environment_is_here(tmp_path: Path) -> None:
    """Lost: a publisher who names nodes of others' environments sees who has them, by what is not asked for."""

    async def test(there: Hospital) -> None:
        author = Author(tmp_path)
        environment = await author.environment("one")
        private = await author.block("private", environment)
        there.other.add("block", _shared(private, there.other.root.did, there.site.root))
        await _put(there, author, private)
        await _materials(there, Counting(await author.nodes(environment))).environment(environment, private.cid)
        bait = await author.block("bait", await author.environment("two"))
        there.mallory.add("block", bait)
        assert bait.environment is not None
        await _put(there, author, bait)
        network = Counting(await author.nodes(bait.environment))
        await _materials(there, network).environment(bait.environment, bait.cid)
        assert network.bytes > 100 * 4_000, "all of it was asked for"

    at_a_hospital(tmp_path, test)


def test_an_environment_comes_only_as_a_block_that_is_shared_says(tmp_path: Path) -> None:
    """Lost: a catalog's word for an environment which the block's own CID does not cover."""

    async def test(there: Hospital) -> None:
        author = Author(tmp_path)
        named, other = await author.environment("one"), await author.environment("two")
        block = await author.block("block", named)
        nodes = await author.nodes(block.cid, named, other)
        there.other.add("block", _with(block, other))
        materials = _materials(there, Counting(nodes))
        with pytest.raises(NotFound):
            await materials.environment(named, block.cid)
        steps = StepExecutor(
            Hostile(lambda _: None), EVALUATOR, materials, there.site.blobs, tmp_path / "work",
            Limits(),
            checkouts=there.site.steps._checkouts,
        )  # fmt: skip
        await steps.start()
        with pytest.raises(NotFound):
            await steps.run(Work(block.cid, {}), 30.0, Cid.of(b"order"), PROJECT)
        assert there.site.blobs.size(named) is None
        there.mallory.add("block", block)
        finished = await steps.run(Work(block.cid, {}), 30.0, Cid.of(b"order"), PROJECT)
        assert finished.usage is not None
        assert there.site.blobs.size(named) is not None

    at_a_hospital(tmp_path, test)


def test_the_tool_of_a_block_is_read_and_its_environment_not_fetched(tmp_path: Path) -> None:
    """Lost: an order that will be denied makes a site fetch 300 MB: a tool is read before anything is decided."""

    async def test(there: Hospital) -> None:
        author = Author(tmp_path)
        environment = await author.environment("one")
        block = await author.block("block", environment)
        there.other.add("block", block)
        network = Counting(await author.nodes(block.cid, environment))
        steps = StepExecutor(
            Hostile(lambda _: None), EVALUATOR, _materials(there, network), there.site.blobs, tmp_path / "work",
            Limits(),
            checkouts=there.site.steps._checkouts,
        )  # fmt: skip
        tool = await steps.tool(block.cid)
        assert tool.runs_in is not None
        assert {path for path, _ in network.asked} == {f"/ipfs/{block.cid}"}

    at_a_hospital(tmp_path, test)


def test_what_is_published_is_held_served_and_kept_with_its_block(tmp_path: Path) -> None:
    """Lost: a block that others may fetch and not run; an environment that is swept while its block stands."""

    async def test(there: Hospital) -> None:
        site, author = there.site, Author(tmp_path)
        environment = await author.environment("one")
        block = await author.block("block", environment)
        with pytest.raises(NotFound):
            await check_content(site, write_body("block", block, site=site.root, at=NOW, by=there.steward))
        await site.blobs.put_nodes(list((await author.nodes(block.cid, environment)).items()))
        lying = _with(block, await author.environment("two"))
        await site.blobs.put_nodes(list((await author.nodes(lying.roots[1])).items()))
        with pytest.raises(BadInput, match="names another"):
            await check_content(site, write_body("block", lying, site=site.root, at=NOW, by=there.steward))
        fields = _shared(block, site.root, there.other.root.did)
        await check_content(site, write_body("block", fields, site=site.root, at=NOW, by=there.steward))
        await there.write("block", fields)
        assert site.holdings.for_site(environment, there.other.root.did)
        with pytest.raises(NotFound):
            site.holdings.for_site(environment, there.mallory.root.did)
        assert environment in set(site.holdings.roots())
        repair = Repair(site.root, site.index, site.blobs, site.materials, lambda _: None)
        assert {root for _, root, _ in repair.roots()} >= {block.cid, environment}
        site.holdings.withdraw(block.cid)
        assert environment not in set(site.holdings.roots())

    at_a_hospital(tmp_path, test)


def test_an_output_is_not_given_out_by_calling_it_an_environment(tmp_path: Path) -> None:
    """Lost: what was not released leaves as what a block runs in."""

    async def test(there: Hospital) -> None:
        site, author = there.site, Author(tmp_path)
        environment = await author.environment("one")
        block = await author.block("block", environment)
        await site.blobs.put_nodes(list((await author.nodes(block.cid, environment)).items()))
        site.holdings.hold(environment, resident(site.root), [])
        with pytest.raises(NotFound):
            await check_content(site, write_body("block", block, site=site.root, at=NOW, by=there.steward))
        await there.write("block", block)
        with pytest.raises(NotFound):
            site.holdings.for_site(environment, there.mallory.root.did)

    at_a_hospital(tmp_path, test)


def test_who_mirrors_a_block_serves_its_environment(tmp_path: Path) -> None:
    """Lost: a block that is to be had while its author is away, and cannot be run."""

    async def test(there: Hospital) -> None:
        site, author = there.site, Author(tmp_path)
        environment = await author.environment("one")
        block = await author.block("block", environment)
        there.other.add("block", _shared(block, there.other.root.did, site.root, there.mallory.root.did))
        await there.write("mirror", MirrorFields(cid=block.cid, owner=there.other.root.did, withdrawn=False))
        mirrors = Mirrors(site.root, site.index)
        assert {block.cid, environment} <= set(mirrors.roots())
        assert [owner for owner, _ in mirrors.labels(environment)] == [there.other.root.did]

    at_a_hospital(tmp_path, test)


class Lending(Shelf):
    """Materials of a site whose environments are here, or are to be had of nobody."""

    def __init__(self, resident: Callable[[], Path], *, here: bool = False) -> None:
        super().__init__(resident)
        self.asked: list[Cid] = []
        self._here = here

    async def environment(self, cid: Cid, block: Cid) -> None:
        self.asked.append(cid)
        if not self._here:
            raise NotFound("nobody shares it any more")


def test_what_a_step_made_before_is_given_without_its_environment_and_not_without_its_data(tmp_path: Path) -> None:
    """Lost: 300 MB that are fetched to run nothing; or a memo that is given though the data are not what they were."""
    table = tmp_path / "table"
    table.write_text("1")

    def changed() -> Path:
        raise VerificationFailed("it is not what was published")

    async def test(there: Hospital) -> None:
        author, blobs = Author(tmp_path), there.site.blobs
        environment = await author.environment("one")
        block = await author.block("block", environment)
        await blobs.put_nodes(list((await author.nodes(block.cid, environment)).items()))
        data: dict[str, Argument] = {
            "table": Data(site=there.site.root, cid=Cid.of(b"1").keyed(bytes(32)), name="table")
        }

        async def run(name: str, materials: Lending, number: bytes, inputs: Mapping[str, Argument] = data) -> Finished:
            checkouts = Checkouts(tmp_path / name, partial(checkout_pooled, blobs.get), drop_unused)
            steps = StepExecutor(
                Hostile(lambda work: (work / "out").write_bytes(number)), EVALUATOR, materials, blobs,
                 tmp_path / "work", Limits(),
                Memos(blobs, "here"), checkouts=checkouts,
            )  # fmt: skip
            await steps.start()
            finished = await steps.run(Work(block.cid, inputs), 30.0, Cid.of(number), PROJECT)
            for product in finished.products.values():
                blobs.named(product.cid)
            return finished

        away = Lending(lambda: table)
        first = await run("checked-out", Lending(lambda: table, here=True), b"first")
        assert first.memo is None, first.failure
        again = await run("empty", away, b"again")
        assert (again.memo, again.products) == (Cid.of(b"first"), first.products)
        assert away.asked == []
        spoilt = await run("empty", Lending(changed), b"spoilt")
        assert (spoilt.memo, spoilt.products, spoilt.failure) == (None, {}, "it is not what was published")
        with pytest.raises(NotFound):
            await run("empty", away, b"other", {})
        assert away.asked == [environment], "what was not made before is run, and wants its environment"

    at_a_hospital(tmp_path, test)


async def _put(there: Hospital, author: Author, block: BlockFields) -> None:
    """Have the block here, as a site has whose order for it is decided."""
    await there.site.blobs.put_nodes(list((await author.nodes(block.cid)).items()))


def _shared(fields: BlockFields, owner: str, *readers: str) -> BlockFields:
    return _changed(fields, label=shared(owner, readers))


def _with(fields: BlockFields, environment: Cid) -> BlockFields:
    return _changed(fields, environment=environment)


def _changed(fields: BlockFields, **changes: object) -> BlockFields:
    from msgspec import structs

    return structs.replace(fields, **changes)


def test_a_check_of_the_disk_looks_at_environments_too(tmp_path: Path) -> None:
    """Lost: a folder that «site fsck» calls whole, whose block cannot be run."""

    async def test(there: Hospital) -> None:
        author = Author(tmp_path)
        block = await author.block("one", await author.environment("one"))
        await there.site.blobs.put_nodes(list((await author.nodes(*block.roots)).items()))
        await there.write("block", block)
        named = await trio.to_thread.run_sync(roots_of, there.site.folder.path)
        assert named == {block.cid: "one", block.roots[1]: "one (environment)"}

    at_a_hospital(tmp_path, test)
