"""Orders that are refused before policy is asked: who asked for what stands in the audit log, and nobody fills it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from catalog.body import MAX_BODY, Body, fields_of, read_body
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import BadInput, ComityError, Denied
from catalog.key import PrivateKey
from catalog.project import ProjectRef
from node.api.committed import check_committed
from node.automator import refusal
from node.automator.verify import Verified, Verifier
from node.message import Place
from node.quota import DAY
from privacy.trust import Person
from tests.adversary.stage import TEXT, Stage
from tests.simulation.consortium import CIDS, PRICE, PURPOSE, Site
from workflow.account import MAX_REQUEST, RefusalFields, UnwrittenFields
from workflow.argument import Literal, Many
from workflow.receipt import Status

STRANGER = PrivateKey(b"a key that nobody ever enrolled!")


def rows(stage: Stage) -> list[Body]:
    """What stands in Anna's audit log."""
    stored = stage.anna.disk.audit.bodies
    return [read_body(stored[place][1]) for place in sorted(stored)]


def refusals(stage: Stage) -> list[tuple[Body, RefusalFields]]:
    """What stands there of orders that were refused; each is what those whom it names committed to."""
    found = [(body, fields_of(body, RefusalFields)) for body in rows(stage) if body.kind == "refusal"]
    nodes = {site.did: (site.node.did,) for site in stage.consortium.sites}
    for body, fields in found:
        check_committed(body, fields, lambda site: nodes[site])
    return found


def notices(stage: Stage) -> list[UnwrittenFields]:
    return [fields_of(body, UnwrittenFields) for body in rows(stage) if body.kind == "unwritten"]


def refused(stage: Stage, message: Place, match: str, asker: Site | None = None) -> str:
    with pytest.raises(ComityError, match=match) as told:
        stage.place(message, asker)
    return str(told.value)


def few(monkeypatch: pytest.MonkeyPatch, **most: int) -> None:
    """Fewer rows than the product has, so that a test fills them."""
    for bound, count in most.items():
        monkeypatch.setattr(refusal, bound, replace(getattr(refusal, bound), most=count, a_day=24))


def test_whoever_is_refused_is_written_down_with_the_reason_and_may_ask_again() -> None:
    """Lost: a hospital cannot say who asked for its patients' data and was turned away."""
    stage = Stage()
    unknown = stage.submission(project=ProjectRef(site=stage.institute.did, name="no such project"))
    refused(stage, stage.message(unknown, stage.order(unknown)), "no project «no such project»")
    ((body, row),) = refusals(stage)
    assert (row.person, row.home) == (stage.researcher.did, stage.institute.did)
    assert (row.site, row.bus) == (stage.institute.did, stage.institute.node.did)
    assert (row.instance, row.block) == (stage.order(unknown).instance, CIDS["count"])
    assert row.purpose is None
    assert row.reason.startswith("no project «no such project» stands in the catalog")
    assert set(row.chain) == {stage.researcher.did, str(stage.data(stage.anna).cid)}
    assert body.actor == stage.anna.node.did
    submission = stage.submission()
    dear = stage.message(submission, stage.order(submission, max_cost=PRICE - 1))
    refused(stage, dear, "costs more here")
    refused(stage, dear, "costs more here")
    assert [row.purpose for _, row in refusals(stage)] == [None, PURPOSE], "the same refusal is written down once"
    assert stage.place(stage.message(submission, stage.order(submission))).status is Status.DONE


def test_a_malformed_order_that_its_person_signed_is_written_down() -> None:
    stage = Stage()
    refused(stage, structs.replace(stage.honest(), workflow=TEXT + "\n"), "not the one that was signed")
    submission = stage.submission()
    refused(stage, stage.message(submission, stage.order(submission, block=Cid.of(b"another"))), "not shared")
    reasons = [row.reason for _, row in refusals(stage)]
    assert ["workflow" in reasons[0], "block" in reasons[1], len(reasons)] == [True, True, 2]


def test_a_row_says_of_a_person_what_they_signed_for_and_who_brought_the_rest() -> None:
    """Lost: a bus node puts the theft of a hospital's data into a researcher's row, with her signature for something
    else, long over, and every reader of the log believes it.
    """
    stage = Stage()
    innocent = stage.submission(
        inputs={"data": Many(items=(stage.data(stage.bruno),))}, not_before=0, not_after=1, deadline=1
    )
    framed: dict[str, object] = {"inputs": {"data": stage.data(stage.anna)}, "not_after": 1}
    for changes in (
        {"step": "steal_everything", "block": Cid.of(b"a step that she never named")},
        {"block": Cid.of(b"another block in her step")},
        {"shard": 1, "step": "pool", "block": CIDS["pool"]},
    ):
        refused(stage, stage.message(innocent, stage.order(innocent, **(framed | changes))), "time is over")
    order = stage.order(innocent, **framed)
    refused(stage, structs.replace(stage.message(innocent, order), workflow="another"), "time is over")
    found = [row for _, row in refusals(stage)]
    assert len(found) == 4
    for row in found:
        assert (row.instance, row.block, set(row.chain)) == (None, None, {stage.researcher.did})
        assert (row.site, row.bus) == (stage.institute.did, stage.institute.node.did)


def test_a_workflow_that_cannot_be_read_is_written_down() -> None:
    """Lost: a refusal of another type leaves no row, and whoever finds it asks unseen."""
    stage = Stage()
    text = "this is no workflow"
    submission = stage.submission(workflow=Cid.of(text.encode()))
    with pytest.raises(BadInput):
        stage.place(stage.message(submission, stage.order(submission), (), text))
    ((_, row),) = refusals(stage)
    assert (row.instance, row.block) == (None, None)


def test_a_submission_that_no_row_can_hold_is_told_that_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: padded by some kilobytes, each order is a question about policy, blocks and prices that leaves no row."""
    judged: list[Place] = []
    verify = Verifier.verify

    async def watched(self: Verifier, message: Place, asker: str, person: Person, now: int) -> Verified:
        judged.append(message)
        return await verify(self, message, asker, person, now)

    monkeypatch.setattr(Verifier, "verify", watched)
    stage = Stage()
    inputs = stage.submission().inputs | {"pad": Literal(json='"' + "x" * MAX_REQUEST + '"')}
    padded = stage.submission(inputs=inputs)
    probes: list[dict[str, object]] = [{}, {"block": Cid.of(b"one")}, {"max_cost": 0}, {"step": "none"}]
    told = {refused(stage, stage.message(padded, stage.order(padded, **each)), "too large") for each in probes}
    assert len(told) == 1
    assert rows(stage) == []
    assert judged == [], "nothing is looked up, fetched or compared for it"
    assert stage.place(stage.honest()).status is Status.DONE
    assert len(judged) == 1


def test_the_largest_refusal_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a submission that is just not too large, of many datasets, and a long reason: no row holds it."""
    reason = "«" * 2 * refusal.MOST_REASON
    monkeypatch.setattr(Verifier, "_check_times", lambda *_: (_ for _ in ()).throw(Denied(reason)))
    many: list[Cid] = []

    def prepare(stage: Stage) -> None:
        many.extend(Cid.of(b"%d" % number).keyed(bytes(32)) for number in range(180))
        for cid in many:
            stage.dataset(stage.anna, cid)

    stage = Stage(prepare)
    data = Many(items=tuple(structs.replace(stage.data(stage.anna), cid=cid) for cid in many))
    room = MAX_REQUEST - len(encode(stage.submission(inputs={"data": data, "pad": Literal(json="")}))) - 8
    whole = stage.submission(inputs={"data": data, "pad": Literal(json="x" * room)})
    assert MAX_REQUEST - 16 < len(encode(whole)) <= MAX_REQUEST
    refused(stage, stage.message(whole, stage.order(whole, inputs={"data": data})), "«")
    ((body, row),) = refusals(stage)
    assert len(row.chain) == len(many) + 1
    assert len(encode(body)) < MAX_BODY


def test_an_order_that_is_not_verified_as_its_person_s_leaves_nothing() -> None:
    """Lost: whoever can send a message fills the audit log, in somebody else's name."""
    stage = Stage()
    message = stage.honest()
    refused(stage, structs.replace(message, order=structs.replace(message.order, max_cost=1)), "signature")
    forged = structs.replace(message.submission, min_sites=2)
    refused(stage, stage.message(forged, stage.order(forged)), "signature")
    strange = stage.submission(STRANGER, person=STRANGER.did)
    refused(stage, stage.message(strange, stage.order(strange)), "not enrolled")
    assert rows(stage) == []


@pytest.mark.parametrize("bound", ["BY_PERSON", "BY_SITE"])
def test_a_flood_of_refused_orders_is_bounded_and_stops_no_good_one(
    monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Lost: a member's person fills a hospital's disk with orders that are never carried out; or, behind such a flood,
    asks on unseen, and the log looks complete.
    """
    few(monkeypatch, **{bound: 3})
    stage = Stage()
    submission = stage.submission()
    for attempt in range(1, 4):
        order = stage.order(submission, attempt=attempt, max_cost=PRICE - 1)
        refused(stage, stage.message(submission, order), "costs more here")
    assert notices(stage) == []
    for attempt in range(4, 9):
        order = stage.order(submission, attempt=attempt, max_cost=PRICE - 1)
        more = r"more than 24 orders that this site brings .*are refused a day; .* in (60 min|1\.0 h)"
        refused(stage, stage.message(submission, order), more)
    assert len(refusals(stage)) == 3
    (notice,) = notices(stage)
    assert notice.site == stage.institute.did
    assert set(notice.chain) == {stage.institute.did, str(stage.data(stage.anna).cid)}
    assert stage.place(stage.message(submission, stage.order(submission))).status is Status.DONE


def test_it_is_said_of_all_data_that_there_were_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever asks about a dataset of a large site reads a log that looks complete."""
    few(monkeypatch, BY_SITE=0)
    monkeypatch.setattr(refusal, "MOST_DATASETS", 2)
    more = [Cid.of(b"%d" % number).keyed(bytes(32)) for number in range(4)]
    stage = Stage(lambda stage: [stage.dataset(stage.anna, cid) for cid in more])
    submission = stage.submission()
    refused(stage, stage.message(submission, stage.order(submission, max_cost=0)), "more than")
    chains = [set(notice.chain) for notice in notices(stage)]
    assert [len(each) for each in chains] == [3, 3, 2]
    assert set.union(*chains) == {stage.institute.did, *map(str, [*more, stage.data(stage.anna).cid])}


def test_it_is_said_once_a_day_of_each_member_that_there_were_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the word that rows lack is itself what fills the log; or it is said once, and never again."""
    few(monkeypatch, BY_SITE=0)
    stage = Stage()
    automator = stage.nodes[stage.anna.did].automator
    now = stage.now
    monkeypatch.setattr(automator._refusals._quota, "_now", lambda: now)
    submission = stage.submission()
    for day in range(3):
        now = stage.now + day * DAY
        for attempt in (1, 2):
            order = stage.order(submission, attempt=attempt, max_cost=day)
            with pytest.raises(Denied):
                stage.place(stage.message(submission, order))
        assert len(notices(stage)) == day + 1


def test_whoever_brings_an_order_is_charged_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a node that a submission names spends what its person, or their home, may still be refused with a row."""
    few(monkeypatch, BY_SITE=2, BY_PERSON=2)
    stage = Stage()
    both = stage.submission(buses=(stage.institute.node.did, stage.mallory.node.did))
    for attempt in (1, 2, 3):
        order = stage.order(both, stage.mallory.node, attempt=attempt, max_cost=0)
        refused(stage, stage.message(both, order), "costs more" if attempt < 3 else "more than", stage.mallory)
    refused(stage, stage.message(both, stage.order(both, max_cost=0)), "costs more")
    assert [row.site for _, row in refusals(stage)] == [stage.mallory.did] * 2 + [stage.institute.did]
    assert [row.bus for _, row in refusals(stage)][1:] == [stage.mallory.node.did, stage.institute.node.did]
    assert [notice.site for notice in notices(stage)] == [stage.mallory.did]


def test_a_person_is_not_charged_where_their_site_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: what others of a site spent is taken from each of its people too, and the reverse."""
    few(monkeypatch, BY_SITE=1, BY_PERSON=1)
    stage = Stage()
    quota = stage.nodes[stage.anna.did].automator._refusals
    site, researcher, crook = stage.institute.did, stage.researcher.did, stage.crook.did
    quota._count(site, researcher)
    for _ in range(3):
        with pytest.raises(Denied, match="this site brings are"):
            quota._count(site, crook)
    few(monkeypatch, BY_SITE=9)
    quota._count(site, crook)
    for _ in range(20):
        with pytest.raises(Denied, match="for this person"):
            quota._count(site, researcher)
    for number in range(8):
        quota._count(site, f"{number}")
