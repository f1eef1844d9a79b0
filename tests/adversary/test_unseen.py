"""Two values about the same people that another site made: no owner sees either, so no ledger can compare them.

The hospitals let the institute read what they count, for its own use; what it pools leaves on its reports.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from node.automator.answering import BLIND, COMPARED
from node.automator.disclosing import UNSEEN
from node.message import question_bytes, read_reply
from privacy.disclosure.record import read_record
from privacy.label import shared
from privacy.starters import HOSPITAL
from tests.adversary import test_reports
from tests.adversary.stage import Stage
from tests.adversary.test_reports import MINUTE, Pool
from tests.simulation.consortium import dataset_fields
from workflow.evidence import Evidence
from workflow.order import Wanted
from workflow.receipt import ASKED_TO_LET_OUT, WAITS_FOR_OWNERS, Receipt, Status

AGAIN = b"another question"


def read_by_the_institute(stage: Stage) -> None:
    """What the hospitals count need not be released to the institute."""
    for site in (stage.anna, stage.bruno):
        for cid in site.datasets:
            label = shared(site.did, [site.did, stage.institute.did])
            stage.publish(site, "dataset", str(cid), structs.replace(dataset_fields(site, cid), label=label))


def second(pool: Pool) -> Status:
    """What becomes of a second pool about the same people within two minutes, after the first has left."""
    first = pool.stage.place(pool.message)
    assert first.status is Status.DONE, first.outputs["pooled"].reason
    pool.order(AGAIN)
    pool.begin()
    pool.pass_time(2 * MINUTE)
    return pool.told().status


def test_a_second_pooled_value_about_the_same_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else two sums that nobody here has seen differ by one patient, and both leave unasked."""
    pool = Pool(before=read_by_the_institute)
    assert second(pool) is Status.ACCEPTED
    assert pool.told().reason.startswith(WAITS_FOR_OWNERS)
    for site in (pool.stage.anna, pool.stage.bruno):
        (asked,) = pool.node(site).ledger.inquiries.open(pool.stage.now)
        assert COMPARED in asked.fields.decision.reason
        assert asked.fields.examined is not None
        record = read_record(site.disk.records[asked.fields.examined])
        assert (record.holder, record.told) == (pool.stage.institute.did, None)
        assert record.line.startswith("made at ")
        assert "groups of 10 or more" in record.line

    monkeypatch.setattr(Evidence, "untold", lambda *_: frozenset())
    assert second(Pool(before=read_by_the_institute)) is Status.DONE


def count_for_mara() -> tuple[Pool, Receipt]:
    """What becomes of St. Anna's own count, for the researcher, after the pool has left."""
    pool = Pool(before=read_by_the_institute)
    stage = pool.stage
    assert stage.place(pool.message).status is Status.DONE
    submission = stage.submission(grants=tuple(pool.cited), destinations=(pool.mara,), nonce=AGAIN)
    wanted = Wanted(type="statistics", readers=(pool.mara,))
    order = stage.order(submission, outputs={"result": wanted})
    question = question_bytes(stage.message(submission, order))
    return pool, read_reply(Receipt, stage.ask(stage.institute, stage.anna, question))


def test_a_count_of_its_own_after_a_value_that_nobody_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the hospital's own count tells, beside the pooled one, of the few between."""
    pool, told = count_for_mara()
    stage = pool.stage
    assert (told.status, told.reason) == (Status.ACCEPTED, ASKED_TO_LET_OUT)
    (asked,) = pool.node(stage.anna).ledger.inquiries.open(stage.now)
    assert asked.fields.examined is not None
    found = read_record(stage.anna.disk.records[asked.fields.examined]).found
    assert [each.words for each in found] == [UNSEEN[2]]

    monkeypatch.setattr(Evidence, "untold", lambda *_: frozenset())
    pool, _ = count_for_mara()
    assert list(pool.node(pool.stage.anna).ledger.inquiries.open(pool.stage.now)) == []
    assert pool.stage.watch.seen["release"] > 0


def test_a_pool_of_what_the_owners_released_themselves_is_in_their_ledgers() -> None:
    """Else every pooled result waits for a steward, though it tells nothing that did not leave before."""
    pool = Pool()
    assert second(pool) is Status.DONE


def test_a_duty_that_nobody_can_see_to_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a policy that lets no small cell out lets out what its node never saw."""
    strict = '@id("strict") @min_cell("20") permit (principal, action == Action::"release", resource);'
    monkeypatch.setattr(test_reports, "HOSPITAL", HOSPITAL + strict)
    pool = Pool(before=read_by_the_institute)
    receipt = pool.stage.place(pool.message)
    assert receipt.status is Status.HELD
    assert receipt.outputs["pooled"].reason.endswith(BLIND)
    assert pool.vouched() == 0
