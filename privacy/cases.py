"""Cases of a policy: questions with the decisions that its author expects, so that policies are tested like code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from privacy.decision import Action
from privacy.duty import NO_DUTIES, Duties
from privacy.label import site_of
from privacy.policy import Policy, answer, decision_on
from privacy.schema import CONTEXTS, ENTITIES, Attribute, CedarRequest, Uid

HERE: Final = "here"
"""What cases call the site whose policy it is; other sites have any other name."""

_EMPTY: Final[Mapping[str, Attribute]] = {
    "Bool": False,
    "Long": 0,
    "String": "",
    "Site": Uid("Site", HERE),
    "Set<String>": frozenset[str](),
    "Set<Site>": frozenset[Uid](),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question with what is expected: allowed or not, by which rules, under which duties, and words of the reason.

    ``place`` is where it stands (``FILE:LINE``). ``day`` counts from 1970-01-01; on day 0 no permit has ended.
    """

    name: str
    place: str
    question: CedarRequest
    allowed: bool
    rules: frozenset[str]
    duties: Duties = NO_DUTIES
    reason: str = ""
    day: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that the policy does not meet: what is ``expected`` and what was ``found``, in words."""

    case: str
    place: str
    expected: str
    found: str


def case_question(
    action: Action,
    principal: Uid,
    resource: Uid,
    about_principal: Mapping[str, Attribute],
    about_resource: Mapping[str, Attribute],
    context: Mapping[str, Attribute],
) -> CedarRequest:
    """A whole question of the attributes that a case gives: what it does not say is false, 0, empty, or this site.

    Of a node, ``site`` and roles are what they are of every node. ``destinations`` are the sites of the ``readers``.
    """
    if principal.type == "Site":
        about_principal = {"site": principal, "roles": frozenset({"node"})}
    readers = context.get("readers")
    if isinstance(readers, frozenset) and "destinations" not in context:
        context = {**context, "destinations": frozenset(Uid("Site", site_of(str(reader))) for reader in readers)}
    return CedarRequest(
        principal=principal,
        action=action,
        resource=resource,
        about_principal=_whole(ENTITIES[principal.type], about_principal),
        about_resource=_whole(ENTITIES[resource.type], about_resource),
        context=_whole(CONTEXTS[action], context),
    )


def failures(policy: Policy, cases: Iterable[Case]) -> list[Failure]:
    """The cases that ``policy`` does not meet, in their order."""
    return [failure for case in cases if (failure := _failure(policy, case)) is not None]


def _failure(policy: Policy, case: Case) -> Failure | None:
    policy = replace(policy, day=case.day)
    decision = decision_on(policy, case.question, answer(policy, case.question))
    met = (decision.allowed, frozenset(decision.rules)) == (case.allowed, case.rules) and case.reason in decision.reason
    if met and (not case.allowed or decision.duties == case.duties):
        return None
    expected = _words(case.allowed, sorted(case.rules), case.duties, f"«{case.reason}»" if case.reason else "")
    found = _words(decision.allowed, decision.rules, decision.duties, decision.reason)
    return Failure(case.name, case.place, expected, found)


def _words(allowed: bool, rules: Iterable[str], duties: Duties, reason: str) -> str:
    by = ", ".join(rules) or "no rule"
    asks = f", asking {', and '.join(duties.told)}" if allowed and duties.told else ""
    return f"{'allow' if allowed else 'deny'} by {by}{asks}" + (f": {reason}" if reason else "")


def _whole(types: Mapping[str, str], given: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {name: given.get(name, _EMPTY[kind]) for name, kind in types.items()}
