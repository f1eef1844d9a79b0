"""Questions from recorded facts: if one of these fails, «diff» and «explain» speak of something that nobody asked."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.decision import ACTIONS
from privacy.policy import answer, decide
from privacy.replay import NotReplayable, question_of
from privacy.request import PersonAsker, Request
from privacy.schema import CONTEXTS, ENTITIES, Uid, facts_of, in_cedar
from tests.privacy.test_policy import COMPUTE, FETCH, POLICIES, RELEASE, RESEARCHER, SEE, requests

words = st.text(st.characters(categories=["L", "N", "P"], exclude_characters="…"), min_size=1, max_size=20)
claims = st.builds("{} {}".format, st.sampled_from(["ResearcherStatus", "AcceptedTermsAndPolicies"]), words)


@given(requests)
def test_a_question_is_told_again_from_its_facts(request_: Request) -> None:
    question = in_cedar(request_)
    assert question_of(request_.action, facts_of(question)) == question


@given(st.frozensets(claims, max_size=8), st.frozensets(words, max_size=8), words, st.integers(-(2**63), 2**63 - 1))
def test_so_is_one_with_odd_texts(said: frozenset[str], types: frozenset[str], text: str, count: int) -> None:
    asker = PersonAsker(RESEARCHER.did, RESEARCHER.site, types, said)
    question = in_cedar(replace(COMPUTE, asker=asker, output_types=types, project=f"{text} {text}", endorsements=count))
    assert question_of("compute", facts_of(question)) == question


@given(requests)
def test_the_decision_is_the_same_again(request_: Request) -> None:
    for policy in POLICIES.values():
        decision = decide(policy, request_)
        again = answer(policy, question_of(decision.action, decision.facts))
        assert again.allowed == decision.allowed
        assert sorted({policy.name_of(index) for index in again.rules}) == list(decision.rules)


@pytest.mark.parametrize(
    "odd",
    [
        replace(COMPUTE, project="x" * 2000),
        replace(COMPUTE, project="a\nb"),
        replace(COMPUTE, project="ends with …"),
        replace(COMPUTE, asker=PersonAsker("did:x", "did:y", frozenset(), frozenset({"oneword"}))),
        replace(COMPUTE, readers=frozenset(f"{'k' * 60}{number}" for number in range(40))),
    ],
)
def test_what_its_text_does_not_tell_is_refused(odd: Request) -> None:
    """Lost: a list that was cut would come back shorter, and the forbid that names its end would not hold."""
    with pytest.raises(NotReplayable):
        question_of(odd.action, facts_of(in_cedar(odd)))


def test_facts_that_are_none_are_refused() -> None:
    facts = facts_of(in_cedar(SEE))
    for broken in (
        {},
        facts | {"resource": "Nothing x"},
        facts | {"more": "x"},
        {name: text for name, text in facts.items() if name != "context.granted"},
        facts | {"context.granted": "perhaps"},
    ):
        with pytest.raises(NotReplayable):
            question_of("see", broken)


def test_the_types_are_those_of_what_is_asked() -> None:
    """The tables are read out of the schema's text: what the code writes must be what they say."""
    kinds = {bool: "Bool", int: "Long", str: "String", Uid: "Site"}
    assert set(CONTEXTS) == set(ACTIONS) == {get.action for get in get_args(Request)}
    for request_ in (COMPUTE, RELEASE, FETCH, SEE):
        question = in_cedar(request_)
        for values, types in (
            (question.context, CONTEXTS[request_.action]),
            (question.about_resource, ENTITIES[question.resource.type]),
            (question.about_principal, ENTITIES[question.principal.type]),
        ):
            assert values.keys() == types.keys()
            assert all(isinstance(v, frozenset) or kinds[type(v)] == types[name] for name, v in values.items())
