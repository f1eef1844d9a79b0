"""What is not run again: the same step on the same data in the same project, unless its block forbids it."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trio

from bench.hospital import INSTITUTE, PRICE, Hospital, hospital
from catalog.cid import Cid
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.execute.sandbox import Sandbox
from node.execute.step import StepExecutor
from node.step import Finished, Limits, Work
from node.storage.disk import DiskBlobs
from node.storage.memo import Memos
from tests.node.execute.cwl.evaluating import EVALUATOR
from workflow.account import ResultFields
from workflow.argument import Argument, Literal
from workflow.receipt import Status

SITE = PrivateKey(b"a site that runs two projects...").did
TRIAL, OTHER = (ProjectRef(site=SITE, name=name) for name in ("trial", "other"))
LOTS = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {lot: {type: statistics}}}
requirements: {%s}
baseCommand: [head, -c, "32", /dev/urandom]
inputs: {seed: "int?"}
stdout: lot.bin
outputs: {lot: {type: stdout}}
"""
SEED: Mapping[str, Argument] = {"seed": Literal(json="1")}
"""Draws a lot: it makes another thing each time that it is run, so whoever gets the same twice got it from the memo."""


class Nothing:
    """No data are brought."""

    async def block(self, cid: Cid) -> None:
        """It is here."""


class Play:
    """A place where the lot is drawn."""

    def __init__(self, folder: Path, requirements: str = "") -> None:
        self.folder = folder
        (folder / "block").mkdir()
        (folder / "block" / "tool.cwl").write_text(LOTS % requirements)
        self.number = 0
        self.start("3.11")

    def start(self, place: str) -> None:
        """The node starts, on a machine whose steps run with ``place``."""
        self.blobs = DiskBlobs(self.folder / "blobs")
        nothing: object = Nothing()
        memos = Memos(self.blobs, place)
        self.steps = StepExecutor(Sandbox(), EVALUATOR, nothing, self.blobs, self.folder / "work", Limits(), memos)  # type: ignore[arg-type]

    async def draw(self, project: ProjectRef = TRIAL, inputs: Mapping[str, Argument] = SEED) -> Finished:
        block = await self.blobs.add_path(self.folder / "block")
        if not (self.folder / "work").exists():
            (self.folder / "work").mkdir()
        self.number += 1
        finished = await self.steps.run(Work(block, inputs), 30.0, Cid.of(str(self.number).encode()), project)
        assert not finished.failure, finished.failure
        for product in finished.products.values():
            self.blobs.named(product.cid)
        return finished

    async def twice(self, between: Callable[[], object] = lambda: None) -> bool:
        """Whether the second lot is the first."""
        first = await self.draw()
        between()
        second = await self.draw()
        assert (second.memo is None) == (second.usage is not None)
        same = first.products == second.products
        assert second.memo == (Cid.of(b"1") if same else None)
        return same


def test_the_same_again_is_not_run_and_anything_else_is(tmp_path: Path) -> None:
    """Lost: a lost answer costs an hour of computing; or one step is given what another made, of other data."""
    play = Play(tmp_path)

    async def story() -> None:
        assert await play.twice()
        first = await play.draw()
        for other in (
            await play.draw(OTHER),
            await play.draw(TRIAL, {"seed": Literal(json="2")}),
            await play.draw(TRIAL, {}),
        ):
            assert other.memo is None
            assert other.products != first.products
        play.start("3.11")
        assert (await play.draw()).products == first.products, "a restart forgets nothing"
        play.start("3.12")
        assert (await play.draw()).memo is None, "another interpreter may make another thing of it"

    trio.run(story)


def test_a_block_that_draws_lots_says_so_and_is_run_each_time(tmp_path: Path) -> None:
    """Lost: a simulation that is asked for ten times and run once."""
    assert not trio.run(Play(tmp_path, "WorkReuse: {enableReuse: false}").twice)


def test_a_memo_goes_with_its_project_s_key(tmp_path: Path) -> None:
    """Lost: what an ended project made is handed out under its name later."""
    play = Play(tmp_path)
    assert not trio.run(play.twice, lambda: play.blobs.sealed.end(TRIAL))


def test_what_was_swept_is_made_again_though_another_project_holds_the_same(tmp_path: Path) -> None:
    """Lost: an output that is told to be held here, and goes when somebody else's project ends."""
    play = Play(tmp_path)

    def sweep() -> None:
        [lot] = (tmp_path / "blobs" / "held").rglob("baf*")
        lot.unlink()

    assert not trio.run(play.twice, sweep)


@pytest.mark.parametrize("damage", [b"", b"short", bytes(200)])
def test_a_damaged_memo_costs_a_run_and_nothing_else(tmp_path: Path, damage: bytes) -> None:
    """Lost: whoever writes to the disk chooses what a step is told to have made; or one bad file ends a project."""
    play = Play(tmp_path)

    def spoil() -> None:
        [memo] = (tmp_path / "blobs" / "held").rglob("memo-*")
        memo.write_bytes(damage)

    assert not trio.run(play.twice, spoil)


def test_a_memo_tells_nothing_to_whoever_reads_the_disk(tmp_path: Path) -> None:
    """Lost: which block ran on which data, or how a small table reads, from a disk that was thrown away."""
    play = Play(tmp_path)
    trio.run(play.twice)
    [memo] = (tmp_path / "blobs" / "held").rglob("memo-*")
    assert b"lot.bin" not in memo.read_bytes()
    assert b"seed" not in memo.read_bytes()


def test_an_order_that_was_not_run_is_decided_written_down_and_charged_nothing(tmp_path: Path) -> None:
    """Lost: a memo that goes round policy or the audit log; a run that is charged twice; usage that nobody had."""
    tool = LOTS.replace("%s", "").replace("lot: {", "result: {")

    async def carried(there: Hospital) -> ResultFields:
        message = there.order("lots", {"seed": Literal(json="1")})
        receipt = await there.automator.carry(message, INSTITUTE.did)
        assert receipt.status is Status.DONE, receipt.reason
        [attempt] = there.site.book.ledger.attempts(message.order.instance)
        assert attempt.result is not None
        assert attempt.access.decision.allowed
        return attempt.result

    async def story() -> None:
        async with hospital(tmp_path) as there:
            await there.share("lots", tool, tmp_path)
            first, second = await carried(there), await carried(there)
            assert (first.memo, first.cost) == (None, PRICE)
            assert first.spent is not None
            assert (second.memo, second.cost, second.spent) == (first.order, 0, None)
            assert second.kept["result"].cid == first.kept["result"].cid
            assert second.kept["result"].output.handle != first.kept["result"].output.handle
            size = there.site.audit.size
            rows = [(await there.site.book.row(place))[0] for place in range(size - 4, size)]
            assert rows == ["intent", "result", "intent", "result"]

    trio.run(story)
