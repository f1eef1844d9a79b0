"""Cases of a policy: if one of these fails, a policy that does something else passes its own table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privacy.cases import Case, Failure, case_question, failures
from privacy.duty import Duties
from privacy.policy import Policy
from privacy.schema import Uid, in_cedar
from tests.privacy.test_policy import COMPUTE, FETCH, PERMIT, policy

CASE = Case(name="it runs", place="t:1", question=in_cedar(COMPUTE), allowed=True, rules=frozenset({"yes"}))
TWO = PERMIT + '@id("no") forbid (principal, action, resource) when { context.fresh == false };'


def failed(text: str, case: Case) -> list[Failure]:
    return failures(policy(text), [case])


def test_a_case_is_met_by_the_decision_and_the_rules_and_the_words() -> None:
    assert failed(PERMIT, CASE) == []
    assert failed(PERMIT, replace(CASE, reason="allows compute")) == []
    [failure] = failed(PERMIT, replace(CASE, allowed=False, rules=frozenset()))
    assert failure.place == "t:1"
    assert failure.expected == "deny by no rule"
    assert failure.found.startswith("allow by yes: rule «yes»")
    assert failed(PERMIT, replace(CASE, rules=frozenset({"yes", "other"})))
    assert failed(PERMIT, replace(CASE, rules=frozenset()))
    assert failed(PERMIT, replace(CASE, reason="another word"))


def test_a_denial_is_one_for_the_rule_that_is_expected() -> None:
    """Lost: a case that expects a forbid would pass where the default denies, and say nothing when the forbid goes."""
    stale = replace(CASE, question=in_cedar(replace(COMPUTE, fresh=False)), allowed=False, rules=frozenset({"no"}))
    assert failed(TWO, stale) == []
    assert failed("", stale)


def test_duties_are_part_of_what_is_expected() -> None:
    text = PERMIT.replace("permit", '@approve("2 stewards") permit')
    assert failed(text, CASE)
    assert failed(text, replace(CASE, duties=Duties(approvals=2))) == []
    assert failed(text, replace(CASE, duties=Duties(approvals=1)))


def test_a_case_has_a_day_of_its_own() -> None:
    text = PERMIT.replace("permit", '@expires("2030-01-31") permit')
    assert failed(text, CASE) == []
    assert failed(text, replace(CASE, day=21_945)) == []
    assert "expired after 2030-01-31" in failed(text, replace(CASE, day=21_946))[0].found


def test_what_a_case_does_not_say_is_false_or_empty() -> None:
    person, thing = Uid("Person", "mara"), Uid("Dataset", "visits")
    question = case_question("compute", person, thing, {}, {}, {"readers": frozenset({"did:p@clinic", "clinic"})})
    assert question.context["granted"] is question.context["fresh"] is question.context["endorsed"] is False
    assert question.context["endorsements"] == 0
    assert question.context["destinations"] == frozenset({Uid("Site", "clinic")})
    assert question.about_principal == {"site": Uid("Site", "here"), "roles": frozenset(), "claims": frozenset()}
    node = case_question("fetch", Uid("Site", "clinic"), thing, {}, {}, {})
    assert node.about_principal == {"site": node.principal, "roles": frozenset({"node"}), "claims": frozenset()}
    assert node.about_principal.keys() == in_cedar(FETCH).about_principal.keys()


@pytest.mark.parametrize("text", ["", PERMIT])
def test_no_case_is_no_failure(text: str) -> None:
    assert failures(Policy.parse(text, site="x", version="1"), []) == []
