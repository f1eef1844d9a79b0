"""Attacks on what several owners release: each of them, once, what the site that made it reports, and nothing else.

Two hospitals' counts are pooled at the institute for its researcher, whom neither hospital's label names. The honest
pool leaves when both have released it on the institute's report; each attack changes one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from msgspec import structs

from catalog.block import EndorseFields
from catalog.body import read_body
from catalog.cid import Cid
from catalog.dagcbor import cid_of, encode
from catalog.error import Denied, VerificationFailed
from catalog.key import PrivateKey, signed
from catalog.label import Label
from catalog.policy import PolicyFields
from catalog.revoke import RevokeFields
from node.automator.owners import Owners
from node.automator.pending import Asked
from node.automator.release import SILENT
from node.automator.reports import MemoryReports
from node.automator.verify import Verifier
from node.message import Place, Reported, Reporting, question_bytes, read_reply
from privacy.label import OPEN, effective_readers, person_at
from privacy.starters import HOSPITAL
from tests.adversary.stage import HOUR, Stage, size_of
from tests.simulation.consortium import CIDS, Site
from tests.simulation.node import Node
from tests.simulation.scheduler import Task
from tests.simulation.watch import Violation
from workflow.argument import Data
from workflow.evidence import Evidence
from workflow.order import Wanted
from workflow.receipt import WAITS_FOR_OWNERS, Output, Receipt, Status
from workflow.report import Report

MINUTE = 60_000
LONG = 10 * MINUTE
"""Until an order's time is over."""

TAKES = """
@id("reports-of-the-institute-and-of-mallory")
permit (principal, action == Action::"report", resource)
when {{ context.fresh && [Site::"{holder}", Site::"{other}"].contains(principal) }};
"""


def prepared(
    stage: Stage, takes: Callable[[Stage], tuple[Site, ...]], endorsed: Callable[[Stage], tuple[Site, ...]]
) -> None:
    """Those sites take reports of the institute, and of Mallory on what is made at hers; those have endorsed the pool.

    Both hospitals let the count in.
    """
    for site in (stage.anna, stage.bruno):
        rule = TAKES.format(holder=stage.institute.did, other=stage.mallory.did) if site in takes(stage) else ""
        permits = '@id("r") permit (principal, action == Action::"release", resource) when { context.fresh };'
        stage.publish(site, "policy", "", PolicyFields(text=HOSPITAL + permits + rule))
    for site in endorsed(stage):
        fields = EndorseFields(block=CIDS["pool"], output_types=("statistics",))
        stage.publish(site, "endorse", str(CIDS["pool"]), fields)


class Pool:
    """The stage with the pool's order, for the researcher at the institute."""

    def __init__(
        self,
        takes: Callable[[Stage], tuple[Site, ...]] = lambda s: (s.anna, s.bruno),
        endorsed: Callable[[Stage], tuple[Site, ...]] = lambda s: (s.anna, s.bruno, s.institute),
        millis: int = LONG,
        before: Callable[[Stage], object] = lambda _: None,
    ) -> None:
        self.cited: list[Cid] = []
        self.millis = millis

        def prepare(stage: Stage) -> None:
            before(stage)
            prepared(stage, takes, endorsed)
            self.cited = [stage.grant(site, [stage.data(site).cid]) for site in (stage.anna, stage.bruno)]

        self.stage = stage = Stage(prepare)
        self.mara = person_at(stage.researcher.did, stage.institute.did)
        self.order()

    def order(self, nonce: bytes = bytes(16)) -> Place:
        """Have both hospitals count, and submit the pool of that; with another ``nonce`` it is another submission."""
        stage, over = self.stage, self.stage.now + self.millis
        self.submission = stage.submission(
            grants=tuple(self.cited),
            destinations=(stage.institute.did, self.mara),
            not_after=over,
            deadline=over,
            nonce=nonce,
        )
        counted = [stage.counted(self.submission, site) for site in (stage.anna, stage.bruno)]
        wanted = {"pooled": Wanted(type="statistics", readers=(self.mara,))}
        self.message = stage.pool(
            self.submission, [data for data, _ in counted], [proof for _, proof in counted], outputs=wanted
        )
        return self.message

    def node(self, site: Site) -> Node:
        return self.stage.nodes[site.did]

    def begin(self) -> Task:
        """Send the order to the institute, and come back when the owners are asked."""
        stage = self.stage
        institute = stage.institute.did
        asking = stage.network.ask("control", institute, institute, question_bytes(self.message), 300.0)
        task = stage.scheduler.spawn(stage.attacker, "ask", asking)
        memory = stage.institute.disk.memory
        assert stage.scheduler.run(lambda: bool(memory.asked), stage.scheduler.now + 10 * MINUTE), "nobody is asked"
        return task

    def asked(self) -> Asked:
        """What the owners are told."""
        (pending,) = self.stage.institute.disk.memory.asked.values()
        return pending.outputs["pooled"]

    def told(self) -> Receipt:
        """What the bus hears now."""
        stage = self.stage
        return read_reply(Receipt, stage.ask(stage.institute, stage.institute, question_bytes(self.message)))

    def report(self, by: PrivateKey | None = None, **changes: object) -> Report:
        """The institute's report with something changed, signed again."""
        return signed(structs.replace(self.asked().report, **changes), by or self.stage.institute.node)

    def bring(self, report: Report, asker: Site | None = None, place: Place | None = None) -> Reported:
        """What St. Anna answers to a report."""
        question = question_bytes(Reporting(report=report, place=place or self.message))
        return read_reply(Reported, self.stage.ask(asker or self.stage.institute, self.stage.anna, question))

    def vouched(self) -> int:
        return self.stage.watch.seen["release on a report"]

    def pass_time(self, millis: int) -> None:
        until = self.stage.scheduler.now + millis
        self.stage.scheduler.run(lambda: self.stage.scheduler.now >= until, until + MINUTE)


async def _nobody(_: Owners) -> bool:
    return False


def test_what_two_owners_have_a_part_in_leaves_when_both_released_it() -> None:
    """Lost: a value of several owners never leaves; or one of them lets out what is another's too."""
    pool = Pool()
    receipt = pool.stage.place(pool.message)
    output = receipt.outputs["pooled"]
    assert receipt.status is Status.DONE, output.reason
    owners = [each.owner for each in output.further]
    assert sorted(owners) == sorted([pool.stage.anna.did, pool.stage.bruno.did])
    assert pool.vouched() == 2
    assert output.cid is not None
    proofs = [*((each.order, each.receipt) for each in pool.message.proofs), (pool.message.order, receipt)]
    evidence = Evidence(pool.node(pool.stage.bruno).index, cid_of(pool.submission), proofs)
    made = Data(site=pool.stage.institute.did, cid=output.cid, name=output.name)
    assert pool.mara in (effective_readers(evidence.label(made)) or ())


def test_an_owner_that_is_no_reader_is_told_no_name_from_which_the_value_could_be_guessed() -> None:
    """Lost: St. Anna tries the few tables that are likely, and knows the other hospital's numbers."""
    pool = Pool()
    receipt = pool.stage.place(pool.message)
    value = receipt.outputs["pooled"].cid
    assert value is not None
    for release in receipt.outputs["pooled"].further:
        assert release.value.is_keyed
        assert release.value != value
    for site in (pool.stage.anna, pool.stage.bruno):
        assert all(bytes(value) not in body for _, body in site.disk.audit.bodies.values())


def test_with_one_owner_whose_policy_takes_no_reports_it_stays_held() -> None:
    """Lost: a hospital whose policy says nothing of reports has said yes."""
    pool = Pool(takes=lambda s: (s.anna,))
    receipt = pool.stage.place(pool.message)
    output = receipt.outputs["pooled"]
    assert (receipt.status, output.cid, output.further) == (Status.HELD, None, ())
    assert "did not release it: no report on it is taken from there" in output.reason
    assert pool.vouched() == 1, "St. Anna's, which came to nothing"
    assert pool.stage.institute.disk.memory.asked == {}
    assert refusals(pool, pool.stage.bruno) == 1


def test_the_receipt_of_what_stays_held_tells_nothing_but_its_class() -> None:
    """Lost: whoever reads nothing of a value learns from its receipt what is in it, how large it is, what it took."""
    pool = Pool(takes=lambda s: (s.anna,))
    receipt = pool.stage.place(pool.message)
    output, spent = receipt.outputs["pooled"], receipt.spent
    assert output == Output(
        handle=output.handle, type="statistics", name="", cid=None, size=None, release=None, reason=output.reason
    )
    assert spent is not None
    assert all(amount & (amount - 1) == 0 for amount in (spent.wall_millis, spent.cpu_millis, spent.peak_bytes))
    held = next(iter(pool.node(pool.stage.institute).ledger.ended()))
    assert held.result is not None
    value = held.result.kept["pooled"].cid
    assert bytes(value) not in encode(receipt)
    assert str(value) not in str(receipt)
    assert receipt.decision is not None
    assert receipt.decision.facts == {}
    assert size_of(receipt) < 4096


def test_an_owner_that_leaves_it_to_its_stewards_is_waited_for_and_asks_once() -> None:
    """Lost: what nobody endorsed leaves by the holder's word; or each of the holder's questions asks a person again."""
    pool = Pool(endorsed=lambda s: (s.anna, s.institute))
    pool.begin()
    pool.pass_time(3 * MINUTE)
    waiting = pool.told()
    assert waiting.status is Status.ACCEPTED
    assert waiting.reason.startswith(WAITS_FOR_OWNERS)
    (inquired,) = pool.node(pool.stage.bruno).ledger.inquiries.open(pool.stage.now)
    assert inquired.fields.decision.reason.startswith("z6Mk") or "reports of it" in inquired.fields.decision.reason
    inquiry = cid_of(inquired.fields.inquiry)
    steward = pool.stage.bruno.steward
    pool.stage.play(pool.node(pool.stage.bruno).answer(inquiry, steward, pool.stage.now + HOUR))
    receipt = pool.stage.place(pool.message)
    assert receipt.status is Status.DONE
    reports = {each.owner: each.report for each in receipt.outputs["pooled"].further}
    assert reports[pool.stage.bruno.did] == "approved by a steward of this site"
    assert pool.vouched() == 2


@pytest.mark.parametrize("ending", ["silence", "away"])
def test_what_an_owner_did_not_answer_in_time_stays_held(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an empty office, or a node that is switched off, is a yes."""
    pool = Pool(
        endorsed=lambda s: (s.anna, s.institute) if ending == "silence" else (s.anna, s.bruno, s.institute),
        millis=5 * MINUTE,
    )
    with monkeypatch.context() as patched:
        patched.setattr(Owners, "ask", _nobody)
        pool.begin()
    if ending == "away":
        pool.stage.scheduler.kill(pool.node(pool.stage.bruno).process)
    pool.pass_time(6 * MINUTE)
    receipt = pool.stage.place(pool.message)
    assert (receipt.status, receipt.outputs["pooled"].reason) == (Status.HELD, SILENT)


def test_a_node_that_is_killed_while_owners_are_asked_goes_on_with_the_same_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lost: after a crash a second report of the same output, with another name for it, is refused for ever."""
    pool = Pool()
    stage, institute = pool.stage, pool.stage.institute
    with monkeypatch.context() as patched:
        patched.setattr(Owners, "ask", _nobody)
        pool.begin()
        pool.bring(pool.asked().report)
        pool.pass_time(2 * MINUTE)
    before = pool.asked().report
    stage.scheduler.kill(pool.node(institute).process)
    stage.nodes[institute.did] = stage._node(institute, Node)
    pool.node(institute).start()
    assert stage.scheduler.run(lambda: pool.node(institute).ready, stage.scheduler.now + MINUTE)
    assert pool.asked().report == before
    receipt = stage.place(pool.message)
    assert receipt.status is Status.DONE, receipt.outputs["pooled"].reason
    assert pool.vouched() == 2


def test_a_grant_that_is_revoked_while_owners_are_asked() -> None:
    """Lost: what a hospital takes back while another one thinks leaves when that one has thought."""
    pool = Pool(endorsed=lambda s: (s.anna, s.institute))
    pool.begin()
    pool.pass_time(MINUTE)
    grant = pool.cited[1]
    stage = pool.stage
    stage.play(pool.node(stage.bruno).publish("revoke", str(grant), RevokeFields(grant=grant, reason="no vote")))
    pool.pass_time(5 * MINUTE)
    receipt = stage.place(pool.message)
    assert (receipt.status, receipt.outputs["pooled"].cid) == (Status.HELD, None)


def refusals(pool: Pool, site: Site) -> int:
    """How many orders, or reports of them, a site has written down as refused."""
    return sum(read_body(body).kind == "refusal" for _, body in site.disk.audit.bodies.values())


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The institute asks nobody: the reports that come are the test's."""
    monkeypatch.setattr(Owners, "ask", _nobody)


Forge = Callable[[Pool], object]


def _by_mallory(pool: Pool) -> Reported:
    mallory = pool.stage.mallory
    return pool.bring(pool.report(mallory.node, site=mallory.did, node=mallory.node.did), mallory)


def _in_the_institutes_name(pool: Pool) -> Reported:
    return pool.bring(pool.report(pool.stage.mallory.node), pool.stage.institute)


def _brought_by_mallory(pool: Pool) -> Reported:
    return pool.bring(pool.asked().report, pool.stage.mallory)


def _altered(pool: Pool) -> Reported:
    return pool.bring(structs.replace(pool.asked().report, finding="all is well"))


def _changed(**changes: object) -> Forge:
    return lambda pool: pool.bring(pool.report(**changes))


def _narrowed(pool: Pool) -> Reported:
    return pool.bring(pool.report(owners=(pool.stage.anna.did,)))


def _to_mallory(pool: Pool) -> Reported:
    return pool.bring(pool.report(readers=tuple(sorted((pool.mara, pool.stage.mallory.did)))))


def _to_mallory_by_the_order_too(pool: Pool) -> Reported:
    """The bus signs an order for more readers than the person named."""
    readers = tuple(sorted((pool.mara, pool.stage.mallory.did)))
    wanted = {"pooled": Wanted(type="statistics", readers=readers)}
    order = signed(structs.replace(pool.message.order, outputs=wanted), pool.stage.institute.node)
    place = structs.replace(pool.message, order=order)
    return pool.bring(pool.report(readers=readers, order=cid_of(order)), place=place)


def _without_a_proof(pool: Pool) -> Reported:
    """As if St. Bruno owned nothing of it: nothing says of the other part whose it is."""
    report = pool.asked().report
    place = structs.replace(pool.message, proofs=pool.message.proofs[:1])
    owners = tuple(each for each in report.owners if each != pool.stage.bruno.did)
    return pool.bring(pool.report(owners=owners), place=place)


def _too_late(pool: Pool) -> Reported:
    report = pool.asked().report
    pool.pass_time(LONG + MINUTE)
    return pool.bring(report)


FORGERIES: Mapping[str, Forge] = {
    "report_by_a_site_that_did_not_make_it": _by_mallory,
    "report_in_the_holders_name": _in_the_institutes_name,
    "report_brought_by_another_site": _brought_by_mallory,
    "report_altered_after_signing": _altered,
    "report_with_narrowed_owners": _narrowed,
    "report_for_one_reader_more": _to_mallory,
    "report_and_order_for_one_reader_more": _to_mallory_by_the_order_too,
    "report_of_another_type": _changed(type="table"),
    "report_of_another_output": _changed(output="other"),
    "report_of_another_block": _changed(block=CIDS["count"]),
    "report_with_the_values_own_name": _changed(value=Cid.of(b"a table")),
    "report_without_a_proof": _without_a_proof,
    "report_that_is_stale": _too_late,
}


@pytest.mark.parametrize("name", FORGERIES)
@pytest.mark.usefixtures("quiet")
def test_refused(name: str) -> None:
    """Else a site that never had the data, or a holder that lies, has an owner release what it does not know."""
    pool = Pool()
    pool.begin()
    with pytest.raises((VerificationFailed, Denied)):
        FORGERIES[name](pool)
    assert pool.vouched() == 0


@pytest.mark.usefixtures("quiet")
def test_the_honest_report_is_answered_and_a_replay_gives_nothing_more() -> None:
    """Else every report above is refused because every report is; or one that comes twice releases twice."""
    pool = Pool()
    pool.begin()
    report = pool.asked().report
    first = pool.bring(report)
    assert first.release is None, "nobody has cosigned it yet"
    pool.pass_time(2 * MINUTE)
    given = pool.bring(report).release
    assert given is not None
    assert (given.value, given.owner, given.added) == (report.value, pool.stage.anna.did, report.readers)
    assert pool.bring(report).release == given
    assert pool.vouched() == 1


def _swapped(pool: Pool) -> Reported:
    pool.bring(pool.asked().report)
    return pool.bring(pool.report(value=Cid.of(b"the raw tables").keyed(bytes(32))))


@pytest.mark.usefixtures("quiet")
def test_a_value_that_is_swapped_after_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one yes to an honest sum is a yes to whatever the holder names next."""
    pool = Pool()
    pool.begin()
    with pytest.raises(VerificationFailed, match="another value"):
        _swapped(pool)
    assert pool.vouched() == 1
    assert refusals(pool, pool.stage.anna) == 1

    monkeypatch.setattr(MemoryReports, "released", lambda *_: None)
    pool = Pool()
    pool.begin()
    with pytest.raises(Violation, match="releases its part of pool"):
        _swapped(pool)


def test_statements_that_a_holder_puts_beside_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a holder has a sum released, and hands out the tables under the same statements."""
    pool = Pool()
    receipt = pool.stage.place(pool.message)
    output = structs.replace(receipt.outputs["pooled"], cid=Cid.of(b"the raw tables"), release=None)
    lie = signed(structs.replace(receipt, outputs={"pooled": output}), pool.stage.institute.node)
    proofs = [*((each.order, each.receipt) for each in pool.message.proofs), (pool.message.order, lie)]
    index = pool.node(pool.stage.bruno).index
    with pytest.raises(VerificationFailed, match="another value"):
        Evidence(index, cid_of(pool.submission), proofs)
    monkeypatch.setattr(Cid, "keyed", lambda *_: output.further[0].value)
    Evidence(index, cid_of(pool.submission), proofs)


_reporter = Verifier.reporter


def _brought_by_anybody(verifier: Verifier, message: Reporting, _holder: str) -> object:
    return _reporter(verifier, message, message.report.site)


def _nothing(*_: object) -> None:
    """A check that checks nothing."""


def _of_nobody(evidence: Evidence, data: Data, named: frozenset[Cid] | None) -> Label:
    """What nobody proves is nobody's."""
    return _label(evidence, data, named) if evidence.datasets(data) else OPEN


_CHECK, _SIGNATURES = "node.automator.answering.Answering._check_report", "node.automator.verify.check"
_label = Evidence._label
WITHOUT: Mapping[str, tuple[str, object]] = {
    "report_by_a_site_that_did_not_make_it": ("node.automator.verify.Verifier._check_maker", _nothing),
    "report_in_the_holders_name": (_SIGNATURES, _nothing),
    "report_altered_after_signing": (_SIGNATURES, _nothing),
    "report_brought_by_another_site": ("node.automator.verify.Verifier.reporter", _brought_by_anybody),
    "report_with_narrowed_owners": (_CHECK, _nothing),
    "report_for_one_reader_more": (_CHECK, _nothing),
    "report_and_order_for_one_reader_more": ("node.automator.verify.check_subset", _nothing),
    "report_of_another_block": (_CHECK, _nothing),
    "report_with_the_values_own_name": (_CHECK, _nothing),
    "report_that_is_stale": ("node.automator.verify.Verifier._check_times", _nothing),
}


@pytest.mark.usefixtures("quiet")
def test_and_where_parts_need_no_proof_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a report without a proof fails for another reason: three things stand in its way, each alone enough."""
    pool = Pool()
    pool.begin()
    for taken, stands in (
        (("node.automator.verify._check_proofs", _nothing), "not those that it names"),
        (("node.automator.verify.check_subset", _nothing), "not a proven output of the step that feeds it"),
        (("workflow.evidence.Evidence._label", _of_nobody), "neither a dataset of its site nor a proven output"),
    ):
        with pytest.raises((VerificationFailed, Denied), match=stands):
            _without_a_proof(pool)
        monkeypatch.setattr(*taken)
    _without_a_proof(pool)
    assert pool.vouched() == 1


@pytest.mark.parametrize("name", WITHOUT)
@pytest.mark.usefixtures("quiet")
def test_and_without_the_defence_it_succeeds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a forgery above fails for another reason, and one made with more care would pass."""
    monkeypatch.setattr(*WITHOUT[name])
    pool = Pool()
    pool.begin()
    FORGERIES[name](pool)
    assert pool.vouched() == 1
