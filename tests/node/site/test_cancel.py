"""An order that is ended before its time: by whose it is, by its own end of time, or by what its block says."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from msgspec import structs

from bench.hospital import INSTITUTE, NODE, PERSON, STEWARD, Covered, Hospital, hospital
from catalog.dagcbor import cid_of
from catalog.error import NotFound, Unreachable, VerificationFailed
from catalog.key import UNSIGNED, PrivateKey, signed
from node.message import Cancel, Place
from node.site.orders import Orders
from workflow.cancellation import Cancellation
from workflow.receipt import Receipt, Status

SLEEP = """cwlVersion: v1.2
class: CommandLineTool
$namespaces: {comity: "urn:comity:cwl#"}
hints: {comity:Output: {result: {type: statistics}}}
requirements: {%s}
baseCommand: [sh, -c, "echo begun > begun.txt; sleep 6000"]
inputs: {}
outputs: {result: {type: File, outputBinding: {glob: begun.txt}}}
"""


def play(folder: Path, story: Callable[[Hospital, Orders], Awaitable[None]], requirements: str = "") -> None:
    async def main() -> None:
        async with hospital(folder) as there, trio.open_nursery() as nursery:
            await there.share("sleep", SLEEP % requirements, folder)
            with trio.fail_after(60):
                await story(there, Orders(there.automator, nursery, Covered().reach))
            nursery.cancel_scope.cancel()

    trio.run(main)


async def begun(there: Hospital) -> None:
    """Come back once the command has written its first line."""
    while not list(there.site.folder.work.rglob("begun.txt")):  # noqa: ASYNC110 - a sandbox gives no event
        await trio.sleep(0.01)


def ended(there: Hospital, message: Place, receipt: Receipt) -> None:
    [attempt] = there.site.book.ledger.attempts(message.order.instance)
    assert attempt.result is not None
    assert (attempt.result.status, attempt.result.cost, attempt.result.kept) == (receipt.status, 0, {})
    assert not list(there.site.folder.work.rglob("begun.txt")), "nothing of it stays"


def word(message: Place, by: PrivateKey = PERSON, **changes: object) -> Cancel:
    """The question with which the institute's bus shows the word of ``by``."""
    said = Cancellation(person=by.did, submission=cid_of(message.submission), at=1, sig=UNSIGNED)
    return Cancel(order=cid_of(message.order), word=signed(structs.replace(said, **changes), by))


def test_whose_order_it_is_cancels_it_and_nobody_else(tmp_path: Path) -> None:
    """Lost: a step that nobody wants any more holds a processor for an hour; or a member ends the steps of others."""

    async def story(there: Hospital, orders: Orders) -> None:
        message = there.order("sleep", {})
        question = word(message)
        with pytest.raises(NotFound):
            await orders.cancel(question, INSTITUTE.did)
        with pytest.raises(Unreachable):
            await orders.place(structs.replace(message, seconds=0), INSTITUTE.did)
        await begun(there)
        with pytest.raises(NotFound):
            await orders.cancel(question, there.site.root)
        other = there.order("sleep", {})
        for false in (
            word(message, STEWARD),
            word(message, STEWARD, person=PERSON.did),
            word(message, submission=cid_of(other.submission)),
        ):
            with pytest.raises(VerificationFailed):
                await orders.cancel(false, INSTITUTE.did)
        assert list(there.site.folder.work.rglob("begun.txt")), "it runs still"
        receipt = await orders.cancel(question, INSTITUTE.did)
        assert (receipt.status, receipt.reason) == (Status.CANCELLED, "its person cancelled it")
        ended(there, message, receipt)
        assert await orders.cancel(question, INSTITUTE.did) == receipt, "cancelling again changes nothing"
        assert await orders.place(message, INSTITUTE.did) == receipt, "nor does placing it again run it"

    play(tmp_path, story)


def test_an_order_ends_at_its_time(tmp_path: Path) -> None:
    """Lost: what another site was asked for meanwhile is delivered twice."""

    async def story(there: Hospital, orders: Orders) -> None:
        whole = there.order("sleep", {})
        order = structs.replace(whole.order, not_after=there.site.clock.now() + 2_000, sig=UNSIGNED)
        message = structs.replace(whole, order=signed(order, NODE))
        receipt = await orders.place(structs.replace(message, seconds=50), INSTITUTE.did)
        assert (receipt.status, receipt.cost) == (Status.FAILED, 0)
        ended(there, message, receipt)

    play(tmp_path, story)


def test_a_block_s_own_limit_ends_it(tmp_path: Path) -> None:
    """Lost: its author's bound is read and means nothing."""

    async def story(there: Hospital, orders: Orders) -> None:
        message = there.order("sleep", {})
        receipt = await orders.place(structs.replace(message, seconds=50), INSTITUTE.did)
        ended(there, message, receipt)
        [attempt] = there.site.book.ledger.attempts(message.order.instance)
        assert attempt.result is not None
        assert "wall time: more than 1 seconds" in attempt.result.detail

    play(tmp_path, story, "ToolTimeLimit: {timelimit: 1}")


def test_a_block_that_needs_more_memory_than_there_is_is_not_begun(tmp_path: Path) -> None:
    """Lost: an hour of computing until the site ends it for what it said beforehand."""

    async def story(there: Hospital, orders: Orders) -> None:
        message = there.order("sleep", {})
        receipt = await orders.place(structs.replace(message, seconds=50), INSTITUTE.did)
        assert receipt.status is Status.FAILED
        assert receipt.spent is None
        [attempt] = there.site.book.ledger.attempts(message.order.instance)
        assert attempt.result is not None
        assert "asks for 9,000 MiB of memory, and this site gives 1,024" in attempt.result.detail

    play(tmp_path, story, "ResourceRequirement: {ramMin: 9000}")
