"""Orders that are refused before policy is asked: who asked for what stands in the audit log, and nobody fills it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from catalog.body import Body, fields_of, read_body
from catalog.cid import Cid
from catalog.error import Denied, VerificationFailed
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.automator import refusal
from node.message import Place
from tests.adversary.stage import TEXT, Stage
from tests.simulation.consortium import PRICE, PURPOSE
from workflow.account import AccessFields
from workflow.receipt import Status

STRANGER = PrivateKey(b"a key that nobody ever enrolled!")


def denials(stage: Stage) -> list[tuple[Body, AccessFields]]:
    """What stands in Anna's audit log of orders that were denied."""
    stored = stage.anna.disk.audit.bodies
    bodies = [read_body(stored[place][1]) for place in sorted(stored)]
    return [(body, fields_of(body, AccessFields)) for body in bodies if body.kind == "decision"]


def refused(stage: Stage, message: Place, match: str) -> None:
    with pytest.raises((Denied, VerificationFailed), match=match):
        stage.place(message)


def test_whoever_is_refused_is_written_down_with_the_reason_and_may_ask_again() -> None:
    """Lost: a hospital cannot say who asked for its patients' data and was turned away."""
    stage = Stage()
    unknown = stage.submission(project=ProjectRef(site=stage.institute.did, name="no such project"))
    refused(stage, stage.message(unknown, stage.order(unknown)), "no project «no such project»")
    ((body, row),) = denials(stage)
    assert (row.person, row.home) == (stage.researcher.did, stage.institute.did)
    assert (row.decision.allowed, row.judged, row.purpose) == (False, False, None)
    assert row.decision.reason.startswith("no project «no such project» stands in the catalog")
    assert set(row.chain) == {stage.researcher.did, str(stage.data(stage.anna).cid)}
    assert body.actor == stage.anna.node.did
    submission = stage.submission()
    dear = stage.message(submission, stage.order(submission, max_cost=PRICE - 1))
    refused(stage, dear, "costs more here")
    refused(stage, dear, "costs more here")
    assert [row.purpose for _, row in denials(stage)] == [None, PURPOSE], "the same refusal is written down once"
    assert stage.place(stage.message(submission, stage.order(submission))).status is Status.DONE


def test_a_malformed_order_that_its_person_signed_is_written_down() -> None:
    stage = Stage()
    refused(stage, structs.replace(stage.honest(), workflow=TEXT + "\n"), "not the one that was signed")
    submission = stage.submission()
    refused(stage, stage.message(submission, stage.order(submission, block=Cid.of(b"another"))), "not shared")
    reasons = [row.decision.reason for _, row in denials(stage)]
    assert ["workflow" in reasons[0], "block" in reasons[1], len(reasons)] == [True, True, 2]


def test_an_order_that_is_not_verified_as_its_person_s_leaves_nothing() -> None:
    """Lost: whoever can send a message fills the audit log, in somebody else's name."""
    stage = Stage()
    message = stage.honest()
    refused(stage, structs.replace(message, order=structs.replace(message.order, max_cost=1)), "signature")
    forged = structs.replace(message.submission, min_sites=2)
    refused(stage, stage.message(forged, stage.order(forged)), "signature")
    strange = stage.submission(STRANGER, person=STRANGER.did)
    refused(stage, stage.message(strange, stage.order(strange)), "not enrolled")
    assert denials(stage) == []


@pytest.mark.parametrize("bound", ["BY_PERSON", "BY_SITE"])
def test_a_flood_of_refused_orders_is_bounded_and_stops_no_good_one(monkeypatch, bound: str) -> None:
    """Lost: a member's person fills a hospital's disk with orders that are never carried out."""
    monkeypatch.setattr(refusal, bound, replace(getattr(refusal, bound), most=3, a_day=24))
    stage = Stage()
    submission = stage.submission()
    for attempt in range(1, 4):
        order = stage.order(submission, attempt=attempt, max_cost=PRICE - 1)
        refused(stage, stage.message(submission, order), "costs more here")
    order = stage.order(submission, attempt=4, max_cost=PRICE - 1)
    refused(
        stage, stage.message(submission, order), r"more than 24 orders of this .* refused a day; .* in 60 min|1\.0 h"
    )
    assert len(denials(stage)) == 3
    assert stage.place(stage.message(submission, stage.order(submission))).status is Status.DONE
