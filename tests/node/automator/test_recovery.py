"""What a restored site takes from members for its own word, whatever they send, and what it makes of that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import trio
from msgspec import structs

from catalog.dagcbor import encode
from catalog.error import Conflict, NotFound
from catalog.key import signed
from node.automator.ledger import Ledger
from node.automator.recovery import MAX_ROW, RECEIPTS_PATH, Remembered, halting, remembered
from node.message import Proof, ReceiptsAnswer
from tests.adversary.stage import Stage, forged
from workflow.receipt import Status


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.scheduler.close()


def proof(stage: Stage, shard: int, status: Status = Status.DONE) -> Proof:
    """An order to St. Anna and her receipt."""
    order = stage.order(stage.submission(), shard=shard)
    return Proof(order=order, receipt=forged(order, stage.anna, {}, status))


def shard_of(proof: Proof) -> int:
    return proof.order.shard


class Members:
    """The port ``Bulk``: each member's receipts, ``page`` at a time; ``endless`` is shown on each page ever after."""

    def __init__(self, held: dict[str, Sequence[Proof]], page: int = 2, endless: Proof | None = None) -> None:
        self._held = held
        self._page = page
        self._endless = endless
        self.asked = 0

    async def get(self, site: str, path: str, limit: int) -> bytes:
        self.asked += 1
        assert self.asked < 100, "a liar is asked again and again"
        if site not in self._held:
            raise NotFound("nothing here")
        start = int(path.removeprefix(f"{RECEIPTS_PATH}/"))
        proofs = self._held[site][start : start + self._page]
        if self._endless is not None:
            return encode(ReceiptsAnswer(proofs=(*proofs, self._endless), more=True))
        return encode(ReceiptsAnswer(proofs=tuple(proofs), more=len(self._held[site]) > start + self._page))


def ask(stage: Stage, members: Members, *asked: str) -> Remembered:
    async def main() -> Remembered:
        return await remembered(members, stage.anna.did, [stage.anna.node.did], asked or ("a",))

    return trio.run(main)


def test_all_that_members_hold_is_found_page_after_page(stage: Stage) -> None:
    """Lost: what is on the second page is delivered, and charged, again."""
    proofs = [proof(stage, shard) for shard in range(5)]
    found = ask(stage, Members({"a": proofs[:3], "b": proofs[2:]}), "a", "b", "c")
    assert sorted(found.proofs, key=shard_of) == proofs
    assert found.away == {"c": "nothing here"}
    assert set(found.lost(Ledger())) == {each.order.instance for each in proofs}


def test_what_was_not_delivered_is_not_lost(stage: Stage) -> None:
    """Lost: an order that failed, or was denied, can never be carried out again."""
    status = [Status.FAILED, Status.DENIED, Status.HELD, Status.DONE]
    proofs = [proof(stage, shard, each) for shard, each in enumerate(status)]
    found = ask(stage, Members({"a": proofs}))
    assert list(found.proofs) == proofs[2:]
    assert found.done == [proofs[3].receipt.order]


def test_only_its_own_word_counts(stage: Stage) -> None:
    """Lost: any member keeps a restored site from delivering what it never delivered."""
    true = proof(stage, 1)
    liar = stage.mallory.node
    lies = [
        structs.replace(true, receipt=signed(true.receipt, liar)),
        structs.replace(true, receipt=signed(structs.replace(true.receipt, node=liar.did), liar)),
        structs.replace(true, receipt=structs.replace(true.receipt, status=Status.HELD)),
        structs.replace(true, order=proof(stage, 2).order),
        structs.replace(true, receipt=forged(true.order, stage.bruno, {}, Status.DONE)),
    ]
    assert ask(stage, Members({"a": lies}, page=9)).proofs == ()


def test_a_liar_that_comes_to_no_end_is_left(stage: Stage) -> None:
    """Lost: one member keeps a site from ever coming back, or fills its memory."""
    true = proof(stage, 1)
    lie = structs.replace(true, receipt=signed(true.receipt, stage.mallory.node))
    for endless in (true, lie):
        found = ask(stage, Members({"a": [proof(stage, 2)], "b": [proof(stage, 3)]}, endless=endless), "a", "b")
        assert {2, 3} <= set(map(shard_of, found.proofs)) <= {1, 2, 3}
        assert all("without end" in why for why in found.away.values())
        assert set(found.away) == {"a", "b"}


class Pruned(Ledger):
    """A ledger whose rows were erased."""

    def attempt(self, order: object) -> None:
        raise Conflict("its rows were erased")


def test_rows_that_were_erased_are_no_loss(stage: Stage) -> None:
    """Lost: a site that has pruned its log cannot be restored."""
    assert Remembered((proof(stage, 1),), {}).lost(Pruned()) == []


def test_a_halt_has_as_many_rows_as_it_takes(stage: Stage) -> None:
    """Lost: a site that lost much cannot write that it is halted."""
    instance = proof(stage, 1).order.instance
    rows = halting(stage.anna.did, [], [instance] * (MAX_ROW + 1))
    sizes = [len(row.fields({}, 0).delivered) for row in rows]
    assert sizes == [MAX_ROW, 1]
    assert [len(row.fields({}, 0).delivered) for row in halting(stage.anna.did, [], [])] == [0]
