"""The nearest change that would allow what was denied: one fact, or two, that people can change.

The policy is asked again, floor and all, with the facts changed: so nothing is suggested that a rule forbids, or that
makes one fail. Only facts that rules read are changed. How often it is asked is bounded, so that it takes 50 ms at
most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from msgspec import structs

from privacy.duty import NO_DUTIES, Duties
from privacy.policy import Policy, answer, may_be_named
from privacy.request import Request
from privacy.schema import Attribute, CedarRequest, Uid, in_cedar, plain

MOST_ASKED: Final = 80
"""Times that a policy of few rules is asked: at 0.4 ms each."""

_RULES_AT_ONCE: Final = 250
"""So many rules about one action take as long again as the question itself."""

_TYPES: Final = ("statistics", "table", "model")
_ROLES: Final = ("researcher", "steward", "auditor")
_CLAIM: Final = re.compile(
    r'"((?:AffiliationAndRole|AcceptedTermsAndPolicies|ResearcherStatus|'
    r'ControlledAccessGrants|LinkedIdentities) [^"\\ ]{1,255})"'
)
_MOST_OF_A_KIND: Final = 4


@dataclass(frozen=True, slots=True)
class Change:
    """A fact that people can change, with what they would do in words, and the facts it changes by their names."""

    words: str
    facts: Mapping[str, Attribute]

    @property
    def reads(self) -> frozenset[str]:
        """The facts that it is about."""
        return frozenset(self.facts)

    def made(self, question: CedarRequest) -> CedarRequest:
        """The question as it were then."""
        parts = {"principal": dict(question.about_principal), "resource": dict(question.about_resource)}
        parts["context"] = dict(question.context)
        for name, value in self.facts.items():
            of, _, attribute = name.partition(".")
            parts[of][attribute] = value
        return replace(
            question,
            about_principal=parts["principal"],
            about_resource=parts["resource"],
            context=parts["context"],
        )


@dataclass(frozen=True, slots=True)
class Nearest:
    """The changes that would allow it together, the rules that would, and the duties that are left then."""

    changes: tuple[Change, ...]
    rules: tuple[str, ...]
    duties: Duties = NO_DUTIES

    @property
    def told(self) -> str:
        """One line for people: «a grant for compute by St. Anna would allow it»."""
        words = ", and ".join(change.words for change in self.changes)
        return f"{words} would allow it" + (
            f", which asks {', and '.join(self.duties.told)}" if self.duties.told else ""
        )


def nearest(policy: Policy, question: CedarRequest, names: Callable[[str], str] = str, most: int = 2) -> Nearest | None:
    """The fewest changes, and of as few those that are least to people, that would allow it; none if ``most`` do not.

    ``names`` says what a site's key is called.
    """
    reads = policy.reads(question.action)
    changes = [each for each in changes_of(policy, question, names) if each.reads & reads]
    left = _times(policy, question)
    for count in range(1, most + 1):
        for together in combinations(changes, count):
            if count > 1 and together[0].reads & together[1].reads:
                continue
            if left == 0:
                return None
            left -= 1
            changed = question
            for each in together:
                changed = each.made(changed)
            given = answer(policy, changed)
            if given.allowed:
                rules = tuple(sorted({policy.name_of(index) for index in given.rules}))
                return Nearest(together, rules, structs.replace(given.duties, endorsed=0))
    return None


def hint(policy: Policy, request: Request, names: Callable[[str], str]) -> str:
    """The one change that would allow it, for its asker; empty if there is none, or by a rule not named to them.

    Another purpose is not one: nobody is told which to claim.
    """
    question = in_cedar(request)
    if answer(policy, question).allowed:
        return ""  # it was denied for something else
    found = nearest(policy, question, names, most=1)
    if found is None or "context.purpose" in found.changes[0].reads:
        return ""
    return found.told if may_be_named(policy, found.rules, request) else ""


def _times(policy: Policy, question: CedarRequest) -> int:
    rules = sum(question.action in rule.actions for rule in (*policy.floor_rules, *policy.rules))
    return MOST_ASKED * _RULES_AT_ONCE // (_RULES_AT_ONCE + rules)


def changes_of(policy: Policy, question: CedarRequest, names: Callable[[str], str]) -> Iterator[Change]:
    """What people could change about ``question``, what is least to them first."""
    yield from _false(question, names)
    yield from _endorsements(policy, question)
    yield from _purposes(question)
    yield from _types(question)
    yield from _readers(question, names)
    yield from _standing(policy, question)


def _false(question: CedarRequest, names: Callable[[str], str]) -> Iterator[Change]:
    """The facts that are false and could be true."""
    context = question.context
    owner, here = _owner(question, names), names(_id(context["here"]))
    reader = (
        f"a label that lets {here} hold it"
        if question.action == "compute"
        else f"the asker named as a reader by {owner}"
    )
    words = {
        "granted": f"a grant for {question.action} by {owner}",
        "fresh": "newer word of those who vouch for it",
        "endorsed": f"an endorsement of the block by the steward of {here}",
        "purposeMatches": "a project with a purpose that the data may be used for",
        "reader": reader,
    }
    for name, told in words.items():
        if context.get(name) is False:
            more = {"context.endorsements": max(1, _number(context))} if name == "endorsed" else {}
            yield Change(told, {f"context.{name}": True, **more})


def _endorsements(policy: Policy, question: CedarRequest) -> Iterator[Change]:
    if "endorsements" in question.context:
        wanted = {rule.duties.endorsed for rule in policy.rules if question.action in rule.actions}
        for count in sorted(each for each in wanted if each > _number(question.context))[:_MOST_OF_A_KIND]:
            yield Change(f"endorsements of the block by {count} sites", {"context.endorsements": count})


def _purposes(question: CedarRequest) -> Iterator[Change]:
    """Another purpose, of those that the dataset's own terms name."""
    terms = question.about_resource.get("purposes", frozenset())
    if "purpose" in question.context and isinstance(terms, frozenset):
        for term in sorted(str(term) for term in terms)[:_MOST_OF_A_KIND]:
            if term != question.context["purpose"]:
                facts: dict[str, Attribute] = {"context.purpose": term, "context.purposeMatches": True}
                yield Change(f"a project with the purpose «{plain(term, 60)}»", facts)


def _types(question: CedarRequest) -> Iterator[Change]:
    for kind in _TYPES:
        if "outputTypes" in question.context and question.context["outputTypes"] != frozenset({kind}):
            yield Change(f"outputs of the type «{kind}» alone", {"context.outputTypes": frozenset({kind})})
        if question.action == "release" and question.about_resource.get("outputType") != kind:
            yield Change(f"an output of the type «{kind}»", {"resource.outputType": kind})


def _readers(question: CedarRequest, names: Callable[[str], str]) -> Iterator[Change]:
    """Results that go to fewer: to the asker's site alone, or nowhere."""
    home = question.about_principal["site"]
    if "readers" in question.context and isinstance(home, Uid):
        for sites in (frozenset({home}), frozenset[Uid]()):
            if question.context["destinations"] != sites:
                told = (
                    f"results that go to {names(home.id)} alone" if sites else "results that stay where they are made"
                )
                readers = frozenset(site.id for site in sites)
                yield Change(told, {"context.readers": readers, "context.destinations": sites})


def _standing(policy: Policy, question: CedarRequest) -> Iterator[Change]:
    """A role that the asker has not, and claims that the policy names."""
    if question.principal.type != "Person":
        return
    roles, claims = question.about_principal["roles"], question.about_principal["claims"]
    if isinstance(roles, frozenset):
        for role in _ROLES:
            if role not in roles:
                yield Change(f"an asker who is {role}", {"principal.roles": frozenset({role})})
    if isinstance(claims, frozenset):
        named = dict.fromkeys(_CLAIM.findall(policy.text))
        for claim in [each for each in named if each not in claims][:_MOST_OF_A_KIND]:
            more = frozenset({claim, *(str(each) for each in claims)})
            yield Change(f"the claim «{plain(claim, 100)}» of the asker", {"principal.claims": more})


def _owner(question: CedarRequest, names: Callable[[str], str]) -> str:
    owners = question.about_resource.get("owners", frozenset({question.about_resource.get("owner")}))
    ids = sorted(_id(each) for each in owners) if isinstance(owners, frozenset) else []
    return " and ".join(names(each) for each in ids[:3] if each) or names(_id(question.context["here"]))


def _id(value: object) -> str:
    return value.id if isinstance(value, Uid) else ""


def _number(context: Mapping[str, Attribute]) -> int:
    given = context.get("endorsements", 0)
    return given if isinstance(given, int) else 0
