"""Decisions: if one of these fails, something runs, leaves or is shown that no rule allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.dagcbor import decode, encode
from catalog.error import BadInput
from catalog.key import PrivateKey
from privacy.decision import Decision
from privacy.duty import Duties, Quota
from privacy.fault import PolicyFault, PolicyFaults
from privacy.label import person_at
from privacy.policy import Policy, decide, told
from privacy.request import (
    Asker,
    AuditRef,
    BlockRef,
    Compute,
    DatasetRef,
    Fetch,
    PersonAsker,
    Release,
    Request,
    RuleRef,
    See,
    SiteAsker,
    ValueRef,
)
from privacy.starters import HOSPITAL, STARTERS

HERE, INSTITUTE_SITE, THIRD, PERSON = (PrivateKey(bytes([number]) * 32).did for number in range(1, 5))
RESEARCHER = PersonAsker(PERSON, INSTITUTE_SITE, frozenset({"researcher"}))
TABLE = DatasetRef("bafkdata", HERE, "resident", ("DUO:0000042",))
OUTPUT = ValueRef("held:1", frozenset({HERE}), "statistics")
COMPUTE = Compute(
    asker=RESEARCHER,
    here=HERE,
    granted=True,
    fresh=True,
    resource=TABLE,
    reader=True,
    project="bafkproject",
    purpose="DUO:0000006",
    purpose_matches=True,
    block="bafkblock",
    block_signer=INSTITUTE_SITE,
    endorsed=True,
    endorsements=1,
    readers=frozenset({INSTITUTE_SITE}),
    runner="sandbox",
    output_types=frozenset({"statistics"}),
)
RELEASE = Release(
    asker=RESEARCHER,
    here=HERE,
    granted=True,
    fresh=True,
    resource=OUTPUT,
    project="bafkproject",
    purpose="DUO:0000006",
    purpose_matches=True,
    block="bafkblock",
    block_signer=INSTITUTE_SITE,
    endorsed=True,
    endorsements=1,
    readers=frozenset({INSTITUTE_SITE, person_at(PERSON, INSTITUTE_SITE)}),
    runner="sandbox",
)
FETCH = Fetch(
    asker=SiteAsker(INSTITUTE_SITE),
    here=HERE,
    granted=False,
    fresh=True,
    resource=BlockRef("bafkblock", HERE),
    reader=True,
    project="",
    purpose="",
    purpose_matches=False,
)
SEE = See(asker=RESEARCHER, here=HERE, granted=False, fresh=True, resource=TABLE, reader=False)

PERMIT = '@id("yes") permit (principal, action == Action::"compute", resource);\n'


def policy(text: str, floor: str = "") -> Policy:
    return Policy.parse(text, site="St. Anna", version="7", floor=floor)


@pytest.mark.parametrize("request_", [COMPUTE, RELEASE, FETCH, SEE])
def test_without_a_policy_nothing_is_allowed(request_: Request) -> None:
    decision = decide(policy(""), request_)
    assert not decision.allowed
    assert decision.rules == ()
    assert decision.reason == f"St. Anna has no policy, so {request_.action} is not allowed"


def test_a_floor_alone_allows_nothing() -> None:
    floor = '@id("no-poa") forbid (principal, action == Action::"compute", resource) when { context.purpose == "x" };'
    assert not decide(policy("", floor), COMPUTE).allowed


def test_a_permit_allows_and_is_named() -> None:
    decision = decide(policy(PERMIT), COMPUTE)
    assert decision.allowed
    assert decision.rules == ("yes",)
    assert decision.reason == "rule «yes» of St. Anna's policy allows compute"
    assert decision.policy == "7"
    assert decision.facts["context.purpose"] == "DUO:0000006"
    assert decision.facts["context.destinations"] == INSTITUTE_SITE
    assert list(decision.facts) == sorted(decision.facts)


def test_forbid_beats_permit_and_its_name_is_told() -> None:
    text = (
        PERMIT
        + '@id("no-docker") forbid (principal, action, resource is Dataset) when { resource.level == "resident" };'
    )
    decision = decide(policy(text), COMPUTE)
    assert not decision.allowed
    assert decision.rules == ("no-docker",)
    assert decision.reason == "rule «no-docker» of St. Anna's policy forbids compute"


def test_the_floor_forbids_over_a_sites_permit_and_cannot_permit() -> None:
    floor = '@id("yes") forbid (principal, action == Action::"compute", resource) when { context.runner == "sandbox" };'
    decision = decide(policy(PERMIT, floor), COMPUTE)
    assert not decision.allowed
    assert decision.rules == ("floor/yes",)
    assert decide(policy(PERMIT, floor), replace(COMPUTE, runner="kubernetes")).rules == ("yes",)
    with pytest.raises(BadInput, match="the floor only forbids, and its rule «yes» permits"):
        policy("", PERMIT)


OVERFLOW = "context.endorsements * 9223372036854775807 > 5"


@pytest.mark.parametrize(("effect", "where"), [("forbid", "site"), ("permit", "site"), ("forbid", "floor")])
def test_a_rule_that_fails_denies_though_another_permits(effect: str, where: str) -> None:
    """Cedar skips a rule that fails: without this a forbid with a fault would let everything through."""
    faulty = f'@id("faulty") {effect} (principal, action == Action::"compute", resource) when {{ {OVERFLOW} }};'
    site, floor = (PERMIT + faulty, "") if where == "site" else (PERMIT, faulty)
    assert decide(policy(site, floor), replace(COMPUTE, endorsements=0)).rules == ("yes",)
    decision = decide(policy(site, floor), replace(COMPUTE, endorsements=4))
    assert not decision.allowed
    assert decision.rules == (("faulty",) if where == "site" else ("floor/faulty",))
    assert "failed (integer overflow" in decision.reason


@pytest.mark.parametrize(
    "odd",
    [
        replace(COMPUTE, endorsements=2**70),
        replace(COMPUTE, project="\ud800"),
        replace(COMPUTE, runner="\ud800"),
        replace(COMPUTE, resource=DatasetRef("\ud800", HERE, "resident", ())),
        replace(COMPUTE, asker=PersonAsker(PERSON, HERE, frozenset({"\ud800"}))),
    ],
)
def test_a_request_that_cedar_cannot_read_is_denied(odd: Compute) -> None:
    decision = decide(policy(PERMIT), odd)
    assert not decision.allowed
    assert "could not be asked" in decision.reason


def test_a_denial_says_which_facts_were_false() -> None:
    hospital = policy(HOSPITAL)
    assert decide(hospital, replace(COMPUTE, granted=False)).reason == (
        "no rule of St. Anna's policy allows compute: the request has no grant"
    )
    denied = decide(
        hospital, replace(COMPUTE, granted=False, purpose_matches=False, purpose="DUO:1\x1b[2J\n", fresh=False)
    )
    assert "no grant; the data may not be used for the purpose «DUO:1\ufffd[2J\ufffd»; what is known" in denied.reason
    assert decide(hospital, replace(RELEASE, endorsed=False)).reason.endswith(
        "has not endorsed the block for such an output"
    )
    rows = ValueRef("held:1", frozenset({HERE}), "rows")
    assert decide(hospital, replace(RELEASE, resource=rows)).reason.endswith("what its rules ask for is not so")
    assert decide(policy(PERMIT), RELEASE).reason == "no rule of St. Anna's policy allows release: it has none for that"


def test_the_strictest_endorsed_duty_of_all_satisfied_permits_counts() -> None:
    text = (
        '@id("one") permit (principal, action == Action::"compute", resource);'
        '@id("two") @endorsed("2") permit (principal, action == Action::"compute", resource) when { context.granted };'
    )
    decision = decide(policy(text), COMPUTE)
    assert not decision.allowed
    assert decision.rules == ("one", "two")
    assert "that 2 sites endorse the block before compute, and 1 did" in decision.reason
    assert decide(policy(text), replace(COMPUTE, endorsements=2)).allowed
    assert decide(policy(text), replace(COMPUTE, granted=False)).rules == ("one",)


def test_the_asker_is_told_only_of_rules_that_it_may_see() -> None:
    rules = (
        '@id("a") forbid (principal, action == Action::"compute", resource) when { context.runner == "sandbox" };'
        '@id("b") forbid (principal, action == Action::"compute", resource) when { context.runner == "docker" };'
        '@id("show") permit (principal, action == Action::"see", resource == Rule::"a");'
    )
    told_of = policy(rules)
    shown = decide(told_of, COMPUTE)
    assert told(told_of, shown, COMPUTE) == "rule «a» of St. Anna's policy forbids compute"
    hidden = replace(COMPUTE, runner="docker")
    assert told(told_of, decide(told_of, hidden), hidden) == (
        "St. Anna's policy refuses compute; its steward can say by which rule"
    )
    neither = replace(COMPUTE, runner="argo", granted=False)
    assert "no rule" in told(told_of, decide(told_of, neither), neither)


@pytest.mark.parametrize("request_", [COMPUTE, RELEASE, FETCH, SEE])
@pytest.mark.parametrize("text", [HOSPITAL, ""])
def test_a_decision_is_recorded_and_read_back(request_: Request, text: str) -> None:
    decision = decide(policy(text), request_)
    assert decode(Decision, encode(decision)) == decision


def test_a_request_of_the_largest_size_still_fits_an_audit_body() -> None:
    crowd = frozenset(f"{PERSON}@{PrivateKey(number.to_bytes(32, 'big')).did}" for number in range(1, 400))
    decision = decide(policy(PERMIT), replace(COMPUTE, readers=crowd, purpose="x" * 100_000, project="ä" * 100_000))
    assert decision.allowed
    assert len(encode(decision)) < 64 << 10


askers: st.SearchStrategy[PersonAsker] = st.builds(
    PersonAsker,
    st.just(PERSON),
    st.sampled_from([HERE, INSTITUTE_SITE]),
    st.frozensets(st.sampled_from(["researcher", "steward", "auditor"])),
)
any_asker: st.SearchStrategy[Asker] = askers | st.just(SiteAsker(INSTITUTE_SITE)) | st.just(SiteAsker(HERE))
owners = st.sampled_from([HERE, THIRD])
datasets = st.builds(DatasetRef, st.just("bafkdata"), owners, st.sampled_from(["open", "resident"]), st.just(()))
blocks = st.builds(BlockRef, st.just("bafkblock"), owners)
values = st.builds(
    ValueRef,
    st.just("held:1"),
    st.frozensets(st.sampled_from([HERE, INSTITUTE_SITE, THIRD])),
    st.sampled_from(["statistics", "model", "rows"]),
)
audits = st.builds(AuditRef, st.just("bafkdata"), owners)
rule_refs = st.builds(RuleRef, st.sampled_from(["no-ancestry-research", "x"]), owners)
purposes = st.sampled_from(["DUO:0000006", "DUO:0000011", ""])
common = {"here": st.just(HERE), "granted": st.booleans(), "fresh": st.booleans()}
project = {"project": st.just("p"), "purpose": purposes, "purpose_matches": st.booleans()}
step = {
    "block": st.just("bafkblock"),
    "block_signer": st.just(THIRD),
    "endorsed": st.booleans(),
    "endorsements": st.integers(0, 3),
    "readers": st.frozensets(st.sampled_from([HERE, INSTITUTE_SITE, person_at(PERSON, THIRD)])),
    "runner": st.just("sandbox"),
}
reader = {"reader": st.booleans()}
requests: st.SearchStrategy[Request] = st.one_of(
    st.builds(See, asker=any_asker, resource=datasets | blocks | values | audits | rule_refs, **common, **reader),
    st.builds(Fetch, asker=any_asker, resource=datasets | blocks | values, **common, **reader, **project),
    st.builds(
        Compute,
        asker=askers,
        resource=datasets | values,
        output_types=st.frozensets(st.sampled_from(["statistics", "rows"])),
        **common,
        **reader,
        **project,
        **step,
    ),
    st.builds(Release, asker=askers, resource=values, **common, **project, **step),
)


def _roles(asker: Asker) -> frozenset[str]:
    return asker.roles if isinstance(asker, PersonAsker) else frozenset({"node"})


def _see(request: See) -> bool:
    thing = request.resource
    if isinstance(thing, AuditRef) and (request.granted or _roles(request.asker) & {"auditor", "steward"}):
        return True
    return request.reader or isinstance(thing, DatasetRef | RuleRef)


def _endorsed(request: Release) -> bool:
    return request.endorsed and request.resource.output_type in {"statistics", "model"}


def hospital_says(request: Request) -> bool:
    """The hospital's starter policy, said again in Python."""
    if isinstance(request, See):
        return _see(request)
    if request.purpose == "DUO:0000011":
        return False
    if isinstance(request, Fetch):
        return request.reader and request.fresh
    if isinstance(request, Release):
        return _endorsed(request)
    own = isinstance(request.resource, ValueRef) and request.reader and request.asker.site == request.here
    return (request.granted or own) and request.purpose_matches and request.fresh


def institute_says(request: Request) -> bool:
    """The institute's starter policy, said again in Python."""
    if isinstance(request, See):
        return _see(request)
    if isinstance(request, Fetch):
        return request.reader and request.fresh
    own = request.asker.site == request.here
    if isinstance(request, Release):
        return _endorsed(request) or (own and request.resource.owners <= {request.here})
    if not request.fresh:
        return False
    granted = isinstance(request.resource, DatasetRef) and request.granted and request.purpose_matches
    return granted or (request.reader and own and "researcher" in _roles(request.asker))


POLICIES = {name: policy(text) for name, text in STARTERS.items()}


@settings(max_examples=500)
@given(requests)
def test_the_starter_policies_mean_what_they_say(request_: Request) -> None:
    """500 generated requests: Cedar's verdict on both starters is that of an oracle which knows no Cedar."""
    assert decide(POLICIES["hospital"], request_).allowed is hospital_says(request_)
    assert decide(POLICIES["institute"], request_).allowed is institute_says(request_)


def test_the_starters_serve_the_demonstration() -> None:
    hospital = POLICIES["hospital"]
    assert decide(hospital, COMPUTE).allowed
    assert decide(hospital, RELEASE).allowed
    assert decide(hospital, FETCH).allowed
    ancestry = replace(COMPUTE, purpose="DUO:0000011")
    refused = decide(hospital, ancestry)
    assert refused.rules == ("no-ancestry-research",)
    assert told(hospital, refused, ancestry) == "rule «no-ancestry-research» of St. Anna's policy forbids compute"


DAY = 86_400_000
BOTH = '[Action::"compute", Action::"release"]'


def test_the_duties_of_all_permits_that_hold_are_joined() -> None:
    text = (
        f'@id("a") @approve("steward") @min_cell("5") permit (principal, action == Action::"release", resource);'
        f'@id("b") @min_cell("10") @quota("9 rows/30d") permit (principal, action == Action::"release", resource);'
        f'@id("c") @approve("2 stewards") permit (principal, action in {BOTH}, resource) when {{ !context.granted }};'
    )
    decision = decide(policy(text), RELEASE)
    assert decision.allowed
    assert decision.rules == ("a", "b")
    assert decision.duties == Duties(approvals=1, min_cell=10, quotas=(Quota(rows=9, days=30),))
    assert decide(policy(text), replace(COMPUTE, granted=False)).duties == Duties(approvals=2)
    assert decide(policy(text), COMPUTE).duties == Duties()


def test_a_permit_that_is_past_its_day_permits_nothing_and_says_so() -> None:
    text = '@id("a") @expires("2030-01-31") permit (principal, action == Action::"compute", resource);'
    last = 1_896_048_000_000  # 2030-01-31
    assert decide(policy(text).on(last + DAY - 1), COMPUTE).allowed
    late = decide(policy(text).on(last + DAY), COMPUTE)
    assert not late.allowed
    assert late.rules == ()
    assert late.reason == "rule «a» of St. Anna's policy allowed compute, and expired after 2030-01-31"
    assert not decide(policy(text), COMPUTE).allowed, "whoever says no day gets nothing of a rule that ends"
    assert decide(policy(text + PERMIT).on(last + DAY), COMPUTE).rules == ("yes",)


def test_the_duties_of_a_permit_that_has_ended_end_with_it() -> None:
    text = (
        PERMIT + '@id("a") @expires("2030-01-31") @approve("steward")'
        ' permit (principal, action == Action::"compute", resource);'
    )
    assert decide(policy(text).on(0), COMPUTE).duties == Duties(approvals=1)
    assert decide(policy(text), COMPUTE).duties == Duties()


def test_a_forbid_that_is_past_its_day_stays() -> None:
    """A clock that is set forward must not open what somebody closed."""
    text = PERMIT + '@id("no") @expires("2030-01-31") forbid (principal, action == Action::"compute", resource);'
    assert decide(policy(text), COMPUTE).rules == ("no",)
    assert decide(policy(text).on(1_900_000_000_000), COMPUTE).rules == ("no",)


def test_a_rule_for_other_actions_is_left_out_and_none_for_this_one_is() -> None:
    """Rules are asked by action: a forbid that names none, or several, must be among those of each."""
    for scope in ("action", f"action in {BOTH}", 'action == Action::"release"'):
        text = f'@id("no") forbid (principal, {scope}, resource); @id("yes") permit (principal, action, resource);'
        assert decide(policy(text), RELEASE).rules == ("no",)
        assert decide(policy(text), SEE).allowed is (scope != "action")


def test_a_failing_rule_is_kept_for_the_steward() -> None:
    faulty = f'@id("faulty") permit (principal, action == Action::"compute", resource) when {{ {OVERFLOW} }};'
    told_of: list[tuple[PolicyFault, int]] = []
    faults = PolicyFaults(lambda: 17)
    faults.tell = lambda fault, times: told_of.append((fault, times))
    for _ in range(5):
        assert not faults.decide(policy(PERMIT + faulty), replace(COMPUTE, endorsements=4)).allowed
    assert faults.decide(policy(PERMIT), COMPUTE).allowed
    assert faults.count == 5
    assert faults.last is not None
    assert (faults.last.rules, faults.last.action, faults.last.at) == (("faulty",), "compute", 17)
    assert "integer overflow" in faults.last.reason
    assert [times for _, times in told_of] == [1, 2, 4], "the log is not for whoever can make a rule fail to fill"
