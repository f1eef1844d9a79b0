"""A disk that a step really fills: a small one in memory, where steps are staged; what every runner then does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.cid import Cid
from node.execute.step import StepExecutor
from node.step import Finished, Limits, Runner, Work
from node.storage.disk import DiskBlobs
from tests.adversary.test_steps import PROJECT, Shelf
from tests.infra.machine import run
from tests.node.execute.cwl.evaluating import EVALUATOR

MIB = 1 << 20
DISK = 24 * MIB
TOOL = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {out: {type: statistics}}}
baseCommand: [sh, -c]
arguments: [{valueFrom: "%s"}]
inputs: {}
outputs: {out: {type: File, outputBinding: {glob: out}}}
"""
GOOD = "echo well > out"
FILLING = {
    "at once": "head -c 64000000 /dev/zero > out",
    "by and by": "i=0; while :; do head -c 1000000 /dev/zero >> out; sleep 0.05; done",
    "and says nothing of it": "head -c 64000000 /dev/zero > out 2> /dev/null; exit 0",
}
FULL = f"room on the disk where steps are staged: less than {DISK // 20} bytes are left"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk with room for a few steps, and not for what these want to write, at ``folder``, which is new."""
    folder.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={DISK},nr_inodes=200,mode=0711", "comity-test", folder])
    try:
        yield folder
    finally:
        run(["umount", folder])
        folder.rmdir()


class Site:
    """Steps staged on the ``disk``, and stored in ``folder``, on another."""

    def __init__(self, runner: Runner, disk: Path, folder: Path) -> None:
        self._folder = folder
        self._disk = disk
        self._blobs = DiskBlobs(folder / "blobs")
        shelf: object = Shelf()
        self.steps = StepExecutor(runner, EVALUATOR, shelf, self._blobs, disk / "steps", Limits())  # type: ignore[arg-type]

    async def step(self, script: str) -> Finished:
        """How a step ends that is a shell's."""
        block = self._folder / "block"
        block.mkdir(exist_ok=True)
        (block / "tool.cwl").write_text(TOOL % script)
        return await self.steps.run(Work(await self._blobs.add_path(block), {}), 120.0, Cid.of(b"order"), PROJECT)

    def left(self) -> list[str]:
        """What steps left where they were staged."""
        return sorted(each.name for each in (self._disk / "steps").iterdir() if not each.name.startswith("block-"))


async def fill_by_a_step(site: Site, way: str) -> None:
    """Have a step fill the disk in that ``way``, and see that it is told so, leaves nothing, and the next one runs."""
    await site.steps.start()
    assert site.steps.fault == ""
    finished = await site.step(FILLING[way])
    assert finished.failure == f"its command was ended: {FULL}"
    assert finished.products == {}
    assert finished.usage is not None
    assert site.left() == []
    after = await site.step(GOOD)
    assert (after.failure, list(after.products)) == ("", ["out"])
