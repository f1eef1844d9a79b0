"""What a site charges: by the offer that counted when the order was verified, and no more than it said before."""

from __future__ import annotations

import pytest

from catalog.body import fields_of, read_body
from catalog.error import Denied
from catalog.offer import Most, OfferFields
from tests.adversary.stage import Stage
from workflow.account import ResultFields
from workflow.price import most, price
from workflow.receipt import Status

OFFER = OfferFields(
    runner="sandbox", price=1000, step_millis=1, cpu_hour=3_600_000,
    most=Most(seconds=600, cpu_seconds=1, memory_mib=1),
)  # fmt: skip
"""A millisecond of a processor is a millionth."""
CAP = most(OFFER, 0)


def priced() -> Stage:
    """St. Anna charges by use."""
    return Stage(lambda stage: stage.publish(stage.anna, "offer", "", OFFER))


def test_a_receipt_charges_by_the_use_that_it_tells_and_names_the_offer() -> None:
    """Lost: a requester cannot reckon again what a site charges, nor an auditor by what it was."""
    stage = priced()
    submission = stage.submission()
    receipt = stage.place(stage.message(submission, stage.order(submission, max_cost=CAP)))
    assert receipt.status is Status.DONE
    assert receipt.spent is not None
    assert receipt.spent.cpu_millis == 128, "a tenth of a second, as a receipt tells it"
    assert receipt.cost == price(OFFER, receipt.spent, 0) == 1128
    assert receipt.offer == stage.anna.subjects["offer", ""]
    rows = [read_body(stored[1]) for stored in stage.anna.disk.audit.bodies.values()]
    (row,) = (fields_of(body, ResultFields) for body in rows if body.kind == "result")
    assert (row.cost, row.offer) == (receipt.cost, receipt.offer)


def test_an_order_that_could_come_to_more_than_its_cap_is_refused_before_anything_runs() -> None:
    """Lost: a step runs that its requester cannot pay for, or pays more for than was agreed."""
    stage = priced()
    submission = stage.submission()
    assert CAP == 2000
    with pytest.raises(Denied, match="costs more here"):
        stage.place(stage.message(submission, stage.order(submission, max_cost=CAP - 1)))
    assert stage.watch.seen["intent"] == 0
