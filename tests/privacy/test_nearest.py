"""The nearest change: if one of these fails, people are sent to get what would not help them, or what is forbidden."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from privacy import nearest as searching
from privacy.nearest import MOST_ASKED, Nearest, changes_of, hint, nearest
from privacy.policy import Answer, Policy, answer
from privacy.request import DatasetRef, PersonAsker, Request, ValueRef
from privacy.schema import CedarRequest, in_cedar
from privacy.starters import HOSPITAL
from tests.privacy.test_policy import (
    COMPUTE,
    HERE,
    INSTITUTE_SITE,
    PERMIT,
    POLICIES,
    RELEASE,
    SEE,
    TABLE,
    policy,
    requests,
)

NAMES = {HERE: "St. Anna", INSTITUTE_SITE: "Institute"}


def found(rules: Policy, request_: Request) -> Nearest | None:
    return nearest(rules, in_cedar(request_), lambda site: NAMES.get(site, site))


def told(rules: Policy, request_: Request) -> str:
    change = found(rules, request_)
    return change.told if change is not None else ""


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (replace(COMPUTE, granted=False), "a grant for compute by St. Anna would allow it"),
        (
            replace(COMPUTE, granted=False, fresh=False),
            "a grant for compute by St. Anna, and newer word of those who vouch for it would allow it",
        ),
        (
            replace(COMPUTE, purpose="DUO:0000011"),
            "a project with the purpose «DUO:0000042» would allow it",
        ),
        (replace(COMPUTE, granted=False, fresh=False, purpose_matches=False), ""),
        (
            replace(RELEASE, endorsed=False, endorsements=0),
            "an endorsement of the block by the steward of St. Anna would allow it",
        ),
        (
            replace(RELEASE, resource=ValueRef("held:1", frozenset({HERE}), "row-level")),
            "an output of the type «statistics» would allow it",
        ),
    ],
)
def test_what_would_help_is_said_in_words(request_: Request, words: str) -> None:
    assert told(policy(HOSPITAL), request_) == words


def test_of_facts_that_no_rule_reads_nothing_is_said() -> None:
    assert found(policy(""), COMPUTE) is None
    assert found(policy(PERMIT), replace(RELEASE, granted=False)) is None


def test_what_the_floor_forbids_is_never_suggested() -> None:
    denied = replace(COMPUTE, granted=False)
    assert found(policy(HOSPITAL), denied) is not None
    floor = '@id("never") forbid (principal, action == Action::"compute", resource) when { context.granted };'
    change = found(policy(HOSPITAL, floor), denied)
    assert change is None
    fails = HOSPITAL + (
        '@id("f") forbid (principal, action == Action::"compute", resource) when {'
        " context.granted && context.endorsements * 9223372036854775807 > 5 };"
    )
    assert found(policy(fails), replace(denied, endorsements=4)) is None, "a change that makes a rule fail denies"


def test_duties_are_said_with_it() -> None:
    text = (
        '@id("two") @endorsed("2") @approve("steward") permit (principal, action == Action::"compute", resource)'
        " when { context.granted };"
    )
    assert told(policy(text), COMPUTE) == (
        "endorsements of the block by 2 sites would allow it, which asks that a steward approves it"
    )


def test_claims_that_the_policy_names_are_suggested() -> None:
    text = (
        '@id("c") permit (principal, action == Action::"see", resource)'
        ' when { principal.claims.contains("ResearcherStatus https://doi.org/x") };'
    )
    assert told(policy(text), SEE) == "the claim «ResearcherStatus https://doi.org/x» of the asker would allow it"


@settings(max_examples=150)
@given(requests)
def test_a_change_that_is_named_allows_it_and_is_the_smallest(request_: Request) -> None:
    for rules in POLICIES.values():
        question = in_cedar(request_)
        if answer(rules, question).allowed:
            continue
        change = found(rules, request_)
        singles = [each for each in changes_of(rules, question, str) if answer(rules, each.made(question)).allowed]
        if change is None:
            assert not singles
            continue
        changed = question
        for each in change.changes:
            changed = each.made(changed)
        assert answer(rules, changed).allowed
        assert len(change.changes) == (1 if singles else 2)


def test_how_often_a_policy_is_asked_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever is denied could keep a site busy with the question of what would help."""
    asked = 0

    def counted(rules: Policy, question: CedarRequest) -> Answer:
        nonlocal asked
        asked += 1
        return Answer(allowed=False)

    monkeypatch.setattr(searching, "answer", counted)
    everything = (
        "context.granted && context.fresh && context.endorsed && context.purposeMatches && context.reader &&"
        ' context.purpose == "x" && context.outputTypes.contains("y") && context.destinations.isEmpty() &&'
        ' principal.roles.contains("z")'
    )
    rules = [
        f'@id("r{n}") permit (principal, action == Action::"compute", resource) when {{ {everything} }};'
        for n in range(500)
    ]
    request_ = replace(
        COMPUTE,
        asker=PersonAsker("did:p", INSTITUTE_SITE, frozenset()),
        resource=DatasetRef(TABLE.name, HERE, "resident", ("a", "b", "c", "d")),
        granted=False,
        fresh=False,
        endorsed=False,
        purpose_matches=False,
        reader=False,
    )
    assert found(policy(rules[0]), request_) is None
    assert 0 < asked <= MOST_ASKED
    few, asked = asked, 0
    assert found(policy("\n".join(rules)), request_) is None
    assert asked < few / 2


SEEN = '@id("seen") permit (principal, action == Action::"see", resource is Rule);\n'


def test_who_asks_is_told_one_change_by_rules_that_may_be_named_to_them_alone() -> None:
    """Lost: whoever is denied reads in the hint what a rule says that is kept from them."""
    asked = replace(COMPUTE, granted=False)
    granted = PERMIT.replace("resource);", "resource) when { context.granted && context.fresh };")

    def name(site: str) -> str:
        return NAMES.get(site, site)

    assert hint(policy(granted + SEEN), asked, name) == "a grant for compute by St. Anna would allow it"
    assert hint(policy(granted), asked, name) == ""
    assert hint(policy(granted + SEEN), replace(asked, fresh=False), name) == "", "two are needed"
    assert hint(policy(HOSPITAL + SEEN), replace(COMPUTE, purpose="DUO:0000011"), name) == "", "which purpose to claim"
    assert hint(policy(granted + SEEN), COMPUTE, name) == "", "the policy allows it: it was denied for something else"
