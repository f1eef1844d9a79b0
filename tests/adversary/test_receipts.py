"""Attacks by a site that answers: Mallory has data of her own, takes the order for them, and answers what she likes.

The submission asks for at least one of two counts. Whatever she answers, St. Anna's count is pooled and hers is not,
she is named as missing with what was wrong, and nothing is charged for her.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from msgspec import structs

from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.dataset import DatasetFields, Level
from catalog.error import NotFound
from catalog.key import signed
from catalog.offer import Most, OfferFields
from node.bus.journal import Record, State
from node.bus.receipts import Receipts
from node.message import Outcome, Place, Reply, read_question, reply_bytes
from privacy.label import resident
from tests.adversary.stage import HOUR, TEXT, Stage, forged, output
from tests.simulation.consortium import EPOCH_BEGAN, PRICE, PURPOSE, statistics
from tests.simulation.scheduler import Process
from workflow.argument import Data, Many
from workflow.order import Order
from workflow.receipt import Receipt, Release, Spent, Status

Answer = Callable[[Stage, Order], bytes]
HERS = Cid.of(b"mallory's").keyed(b"k" * 32)
COUNTED = statistics(1, 1000000)
COUNT = Cid.of(COUNTED)

OFFER = OfferFields(
    runner="sandbox", price=PRICE // 2, step_millis=1000, cpu_hour=PRICE - PRICE // 2,
    most=Most(seconds=3600, cpu_seconds=3600, memory_mib=1024),
)  # fmt: skip
"""Hers costs as much as anyone's where an hour of a processor was used, or more."""
AN_HOUR = Spent(wall_millis=1 << 22, cpu_millis=1 << 22, peak_bytes=1 << 20)


def _publish(stage: Stage) -> None:
    fields = DatasetFields(
        cid=HERS, name="hers", level=Level.RESIDENT, label=resident(stage.mallory.did), purposes=(PURPOSE,),
        description="", media_type="text/csv", size=1,
    )  # fmt: skip
    stage.publish(stage.mallory, "dataset", str(HERS), fields)
    stage.publish(stage.mallory, "offer", "", OFFER)
    stage.consortium.approve(stage.mallory, stage.consortium.project, stage.consortium.terms)
    # Without it no order is planned for her.
    stage.block(stage.institute, "count")


def played(answer: Answer, **changes: object) -> tuple[Stage, Record]:
    """How a submission over St. Anna's and Mallory's data ends, when Mallory answers orders with ``answer``."""
    stage = Stage(_publish)
    orders: dict[Cid, Order] = {}

    async def serve(channel: str, asker: str, data: bytes) -> bytes:
        if channel == "bulk":
            return b"+" + COUNTED
        match read_question(data):
            case Place(order=order):
                orders[cid_of(order)] = order
                return answer(stage, order)
            case Outcome(order=cid):
                return answer(stage, orders[cid])
        return await stage.serve(channel, asker, data)

    stage.network.attach(stage.mallory.did, Process("Liar"), serve)
    hers = Data(site=stage.mallory.did, cid=HERS, name="hers")
    submission = stage.submission(inputs={"data": Many(items=(stage.data(stage.anna), hers))}, **changes)
    node = stage.nodes[stage.institute.did]
    stage.play(node.submit(submission, TEXT))
    journal = stage.institute.disk.journal
    cid = cid_of(submission)
    ended = stage.scheduler.run(lambda: journal.kept[cid].state is not State.RUNNING, stage.scheduler.now + 2 * HOUR)
    assert ended, "a lying site holds a submission up for ever"
    return stage, journal.kept[cid]


def _receipt(change: Callable[[Stage, Order, Receipt], Receipt]) -> Answer:
    """The receipt that would count, changed, and signed by her node."""

    def answer(stage: Stage, order: Order) -> bytes:
        return reply_bytes(signed(change(stage, order, _honest(stage, order)), stage.mallory.node))

    return answer


def _honest(stage: Stage, order: Order) -> Receipt:
    made = output(stage.mallory, COUNT)
    release = signed(
        Release(
            order=cid_of(order), output="result", handle=made.handle, value=COUNT, owner=stage.mallory.did,
            added=(stage.institute.did,), policy=0, report="", ledger=0, sig=bytes(64),
        ),
        stage.mallory.node,
    )  # fmt: skip
    return forged(order, stage.mallory, {"result": structs.replace(made, release=release)}, **_charged(stage, PRICE))


def _charged(stage: Stage, cost: int, cpu_millis: int = AN_HOUR.cpu_millis) -> dict[str, object]:
    """What a receipt of hers says of its price."""
    spent = structs.replace(AN_HOUR, cpu_millis=cpu_millis)
    return {"cost": cost, "spent": spent, "offer": stage.mallory.subjects["offer", ""]}


def _output(**changes: object) -> Answer:
    return _receipt(
        lambda _s, _o, receipt: structs.replace(
            receipt, outputs={"result": structs.replace(receipt.outputs["result"], **changes)}
        )
    )


def _false_signature(stage: Stage, order: Order) -> bytes:
    return reply_bytes(structs.replace(_honest(stage, order), cost=0))


LIES: Mapping[str, Answer] = {
    "garbage": lambda _s, _o: b"\xff" * 900,
    "nothing": lambda _s, _o: b"",
    "an_answer_to_another_question": lambda s, _o: reply_bytes(s.submission()),
    "neither_answer_nor_refusal": lambda _s, _o: encode(Reply(answer=None, refusal=None)),
    "false_signature": _false_signature,
    "signed_by_her_steward": lambda s, o: reply_bytes(signed(_honest(s, o), s.mallory.steward)),
    "names_her_steward_as_node": lambda s, o: reply_bytes(
        signed(structs.replace(_honest(s, o), node=s.mallory.steward.did), s.mallory.steward)
    ),
    "for_another_order": _receipt(lambda _s, _o, r: structs.replace(r, order=Cid.of(b"another"))),
    "for_another_site": _receipt(lambda s, _o, r: structs.replace(r, site=s.bruno.did)),
    "charges_more_than_was_allowed": _receipt(lambda _s, _o, r: structs.replace(r, cost=PRICE + 1)),
    "charges_more_than_its_offer_says": _receipt(
        lambda s, _o, r: structs.replace(r, **_charged(s, PRICE // 2 + 2, cpu_millis=1))
    ),
    "charges_by_no_offer": _receipt(lambda _s, _o, r: structs.replace(r, offer=None)),
    "charges_by_an_entry_that_is_no_offer": _receipt(lambda _s, _o, r: structs.replace(r, offer=0)),
    "charges_by_an_offer_that_never_comes": _receipt(lambda _s, _o, r: structs.replace(r, offer=9999)),
    "charges_for_a_failure": _receipt(lambda _s, _o, r: structs.replace(r, status=Status.FAILED, outputs={})),
    "charges_for_a_denial": _receipt(lambda _s, _o, r: structs.replace(r, status=Status.DENIED, outputs={})),
    "delivers_nothing": _receipt(lambda _s, _o, r: structs.replace(r, outputs={})),
    "delivers_more": _receipt(
        lambda _s, _o, r: structs.replace(r, outputs={**r.outputs, "\x1b[2Jmore": r.outputs["result"]})
    ),
    "holds_what_was_not_ordered": _receipt(
        lambda _s, _o, r: structs.replace(r, status=Status.HELD, outputs={"\x1b[2J": r.outputs["result"]})
    ),
    "delivers_something_else": _receipt(lambda _s, _o, r: structs.replace(r, outputs={"more": r.outputs["result"]})),
    "done_and_not_released": _output(release=None),
    "done_and_another_value_released": _output(cid=Cid.of(b"another")),
    "done_and_no_value": _output(cid=None, form=None),
    "name_that_climbs": _output(name="../../.bashrc"),
    "name_of_two_lines": _output(name="a\nb"),
    "name_that_steers_a_terminal": _output(name="\x1b]0;x\x07"),
    "no_name": _output(name=""),
    "name_longer_than_any_order_takes": _output(name="x" * 200),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_costs_its_liar_alone(lie: str) -> None:
    """Else one member falsifies, or stops, what the others work out together, or is paid for it."""
    stage, record = played(LIES[lie])
    assert record.state is State.DONE, record.reason
    assert "Liar" in record.reason
    assert record.spent == 2 * PRICE
    (pool,) = (order for order in record.orders if order.step == "pool")
    parts = pool.inputs["parts"]
    assert isinstance(parts, Many)
    assert [item.site for item in parts.items if isinstance(item, Data)] == [stage.anna.did]


def test_the_honest_answer_is_pooled() -> None:
    """Else every lie above is left out because Mallory always is."""
    stage, record = played(lambda stage, order: reply_bytes(_honest(stage, order)))
    assert (record.state, record.reason, record.spent) == (State.DONE, "", 3 * PRICE)
    assert stage.watch.seen["release"] == 1, "St. Anna's; what Mallory says she released stands in no log here"


def test_a_price_that_changed_while_a_step_ran_is_no_fault_and_its_cap_binds() -> None:
    """Else a steward who changes a price costs every step that runs its outcome."""
    before = _receipt(lambda s, _o, r: structs.replace(r, offer=_replaced(s)))
    _, record = played(before)
    assert (record.state, record.reason, record.spent) == (State.DONE, "", 3 * PRICE)
    dearer = _receipt(lambda s, _o, r: structs.replace(r, offer=_replaced(s), cost=PRICE + 1))
    _, record = played(dearer)
    assert record.spent == 2 * PRICE


def _replaced(stage: Stage) -> int:
    """Where the offer stands that Mallory's replaced."""
    mallory = stage.nodes[stage.institute.did].index.site(stage.mallory.did)
    latest = mallory.latest("offer", "")
    assert latest is not None
    assert latest.body.previous is not None
    return latest.body.previous


CHECKED = [
    "false_signature",
    "done_and_not_released",
    "charges_for_a_failure",
    "for_another_order",
    "for_another_site",
    "charges_more_than_was_allowed",
    "charges_more_than_its_offer_says",
    "charges_by_an_entry_that_is_no_offer",
    "name_that_climbs",
]


@pytest.mark.parametrize("lie", CHECKED)
def test_the_check_is_what_leaves_it_out(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the lies above do no harm for another reason, and one told with more care would."""
    monkeypatch.setattr(Receipts, "check", lambda _s, _o, _p, receipt: receipt)
    _, record = played(LIES[lie])
    assert (record.state, record.reason, record.spent) != (State.DONE, "", 2 * PRICE)
    assert record.spent != 2 * PRICE or record.state is not State.DONE


def test_an_answer_that_is_accepted_for_ever() -> None:
    """Else a site that never ends a step keeps a submission beyond its deadline."""
    accepted = _receipt(lambda _s, _o, r: structs.replace(r, status=Status.ACCEPTED, outputs={}, cost=0))
    soon = EPOCH_BEGAN + 180_000
    stage, record = played(accepted, deadline=soon, not_after=soon)
    assert record.state is not State.RUNNING
    assert "Liar" in record.reason
    assert record.ended <= record.submission.deadline + 120_000
    assert stage.watch.seen["release"] == 1


def test_a_refusal_that_steers_a_terminal_is_still_one_line_of_text() -> None:
    """Else a peer's words end the bus, or are more than a reason; the terminal shows their control characters."""
    _, record = played(lambda _s, _o: reply_bytes(NotFound("\x1b[2J\nall is well")))
    assert record.state is State.DONE
    assert "Liar" in record.reason


def test_a_denied_site_is_not_asked_again() -> None:
    """Else a site that refuses is pressed until it gives in."""
    asked: list[int] = []

    def answer(stage: Stage, order: Order) -> bytes:
        asked.append(order.attempt)
        return reply_bytes(forged(order, stage.mallory, {}, Status.DENIED, reason="no"))

    played(answer)
    assert asked == [1]


def test_a_record_counts_final_receipts_alone() -> None:
    """Else an accepted receipt with a price is money spent."""
    stage, record = played(LIES["nothing"])
    order = record.orders[0]
    accepted = forged(order, stage.mallory, {}, Status.ACCEPTED, cost=PRICE)
    assert replace(record, receipts=(*record.receipts, accepted)).spent == record.spent
