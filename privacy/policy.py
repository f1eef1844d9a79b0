"""Policy: Cedar rules of a site over the consortium's floor, and the decision on one request (design section 7).

A site permits, anyone's ``forbid`` wins, and the default is deny. Cedar skips a rule that fails while it is
evaluated, so that a ``forbid`` could fail open: here any failure denies.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cedarpy import AuthzResult, PolicySet, is_authorized, policies_to_json_str

from catalog.error import BadInput
from privacy.decision import ACTIONS, Decision
from privacy.duty import DAY_MILLIS, LAST_DAY, NO_DUTIES, Duties, strictest
from privacy.missing import asked_for, false_facts
from privacy.request import Request, RuleRef, See
from privacy.rule import Rule, read_rules
from privacy.schema import CedarRequest, cedar_entities, cedar_request, facts_of, in_cedar, plain, schema

FLOOR: Final = "floor/"
"""What stands before the name of a rule of the consortium's floor."""

_FAILED: Final = re.compile(r"error while evaluating policy `policy([0-9]+)`: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Policy:
    """A site's rules and its consortium's floor, parsed once; make one with :meth:`parse`.

    ``site`` is the name that reasons use, ``version`` what decisions name. ``day`` is the day that decisions are made
    on, as days since 1970-01-01 (:meth:`on`); unless it is said, every permit that ends has ended.

    >>> policy = Policy.parse(HOSPITAL, site="St. Anna", version="7")  # doctest: +SKIP
    >>> decide(policy, Compute(…)).reason  # doctest: +SKIP
    "no rule of St. Anna's policy allows compute: the request has no grant"
    """

    text: str
    floor: str
    site: str
    version: str
    rules: tuple[Rule, ...]
    floor_rules: tuple[Rule, ...]
    _parts: Mapping[str, PolicySet] = field(repr=False, compare=False)
    day: int = LAST_DAY

    @classmethod
    def parse(cls, text: str, *, site: str, version: str, floor: str = "", source: str = "policy") -> Policy:
        """Read a site's rules and its consortium's floor. No text means no rule: everything is denied.

        ``source`` is the name of the file that messages start with.

        Raises:
            BadInput: ``SOURCE:LINE:COLUMN: …``, as for :func:`privacy.rule.read_rules`; or a floor that permits.
        """
        floor_rules = read_rules(floor, "floor")
        permit = next((rule for rule in floor_rules if rule.effect == "permit"), None)
        if permit is not None:
            raise BadInput(f"the floor only forbids, and its rule «{permit.id}» permits; leave that to each site")
        rules = read_rules(text, source)
        parts = _parts((*floor_rules, *rules), (*_written(floor), *_written(text)))
        return cls(text, floor, plain(site, 80), version, rules, floor_rules, parts)

    def on(self, now: int) -> Policy:
        """This policy on the day (UTC) of ``now``, in Unix milliseconds; itself, if that is its day already."""
        day = now // DAY_MILLIS
        return self if day == self.day else replace(self, day=day)

    @property
    def named(self) -> frozenset[str]:
        """The ids of all entities that a rule or the floor speaks of by name; about others it can only say alike."""
        return frozenset[str]().union(*(rule.names for rule in (*self.floor_rules, *self.rules)))

    def reads(self, action: str) -> frozenset[str]:
        """The facts that rules about ``action`` read, the floor's too, or that their duties are about."""
        rules = [rule for rule in (*self.floor_rules, *self.rules) if action in rule.actions]
        counted = {"context.endorsements"} if any(rule.duties.endorsed for rule in rules) else set()
        return frozenset(counted).union(*(rule.reads for rule in rules))

    def rule_at(self, index: int) -> Rule:
        """The rule that Cedar calls ``policy{index}``: the floor's stand first."""
        return (*self.floor_rules, *self.rules)[index]

    def name_of(self, index: int) -> str:
        """The name of the rule that Cedar calls ``policy{index}``."""
        return (FLOOR if index < len(self.floor_rules) else "") + self.rule_at(index).id


def _written(text: str) -> list[object]:
    """The rules of a text in Cedar's JSON format, in their order."""
    found = json.loads(policies_to_json_str(text))["staticPolicies"]
    return [found[f"policy{index}"] for index in range(len(found))]


def _parts(rules: Iterable[Rule], written: Iterable[object]) -> dict[str, PolicySet]:
    """For each action the rules whose scope has it. Cedar would pass the others over, one by one, at each request."""
    numbered = [(f"policy{index}", rule, text) for index, (rule, text) in enumerate(zip(rules, written, strict=True))]
    return {
        action: PolicySet.from_json_str(
            json.dumps(
                {
                    "staticPolicies": {name: text for name, rule, text in numbered if action in rule.actions},
                    "templates": {},
                    "templateLinks": [],
                }
            )
        )
        for action in ACTIONS
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """What the rules say of a question, before anybody is told in words.

    ``rules`` decided, by their places (:meth:`Policy.name_of`): that failed, or forbade, or permit. ``lapsed`` would
    permit if they had not ended. ``duties`` are those of all permits, ``error`` is what Cedar says of the first
    failure.
    """

    allowed: bool
    rules: tuple[int, ...] = ()
    lapsed: tuple[int, ...] = ()
    duties: Duties = NO_DUTIES
    forbidden: bool = False
    error: str = ""


def answer(policy: Policy, question: CedarRequest) -> Answer:
    """What ``policy`` says of ``question``. Denies by default, when any rule forbids, and when any rule fails."""
    part = policy._parts[question.action]
    try:
        result = is_authorized(cedar_request(question), part, cedar_entities(question), schema())
    except ValueError as error:
        return Answer(allowed=False, error=str(error))
    errors = result.diagnostics.errors
    if errors:
        return Answer(allowed=False, rules=_failed(errors), error=errors[0])
    indices = _reasons(result)
    if not result.allowed:
        return Answer(allowed=False, rules=indices, forbidden=bool(indices))
    standing = tuple(index for index in indices if not policy.rule_at(index).past(policy.day))
    if not standing:
        return Answer(allowed=False, lapsed=indices)
    duties = strictest(policy.rule_at(index).duties for index in standing)
    given = question.context.get("endorsements", 0)
    return Answer(allowed=isinstance(given, int) and given >= duties.endorsed, rules=standing, duties=duties)


def decide(policy: Policy, request: Request) -> Decision:
    """The decision of ``policy`` on ``request``: what :func:`answer` says, with the reason and the facts."""
    question = in_cedar(request)
    return decision_on(policy, question, answer(policy, question), request)


def decision_on(policy: Policy, question: CedarRequest, given: Answer, request: Request | None = None) -> Decision:
    """The decision that ``given`` is, in words; ``request`` knows more of why a fact is false."""
    return Decision(
        allowed=given.allowed,
        action=question.action,
        rules=tuple(sorted({policy.name_of(index) for index in given.rules})),
        reason=plain(_reason(policy, question, given, request), 1000),
        facts=facts_of(question),
        policy=policy.version,
        duties=given.duties,
    )


def told(policy: Policy, decision: Decision, request: Request) -> str:
    """The reason for ``decision`` as the asker of ``request`` may have it, one line.

    A rule of the site is named to those who may ``see`` it (``resource is Rule``); the floor is known to members.
    """
    if may_be_named(policy, decision.rules, request):
        return decision.reason
    verb = "allows" if decision.allowed else "refuses"
    return f"{policy.site}'s policy {verb} {decision.action}; its steward can say by which rule"


def may_be_named(policy: Policy, rules: Iterable[str], request: Request) -> bool:
    """Whether the asker of ``request`` may know of all these rules."""
    return all(_may_see(policy, rule, request) for rule in rules if not rule.startswith(FLOOR))


def _may_see(policy: Policy, rule: str, request: Request) -> bool:
    question = See(
        asker=request.asker,
        here=request.here,
        granted=request.granted,
        fresh=request.fresh,
        resource=RuleRef(rule, request.here),
        reader=False,
    )
    return answer(policy, in_cedar(question)).allowed


def _reasons(result: AuthzResult) -> tuple[int, ...]:
    return tuple(sorted(int(name.removeprefix("policy")) for name in result.diagnostics.reasons))


def _failed(errors: Iterable[str]) -> tuple[int, ...]:
    return tuple(sorted({int(match[1]) for error in errors if (match := _FAILED.fullmatch(error))}))


def _reason(policy: Policy, question: CedarRequest, given: Answer, request: Request | None) -> str:
    """Why it is allowed or not."""
    action, names = question.action, {policy.name_of(index) for index in given.rules}
    if given.error:
        return f"{_name_failed(policy, given.error)}: {action} is denied until it is mended"
    if given.forbidden:
        return f"{_quoted(policy, names)} {_forms(names, 'forbids', 'forbid')} {action}"
    if given.lapsed:
        return _lapsed(policy, given, action)
    if not names:
        return _nothing_permits(policy, question, request)
    if not given.allowed:
        return (
            f"{_quoted(policy, names)} {_forms(names, 'asks', 'ask')} that {given.duties.endorsed} sites endorse the"
            f" block before {action}, and {question.context.get('endorsements', 0)} did"
        )
    return f"{_quoted(policy, names)} {_forms(names, 'allows', 'allow')} {action}"


def _lapsed(policy: Policy, given: Answer, action: str) -> str:
    names = {policy.name_of(index) for index in given.lapsed}
    last = max(policy.rule_at(index).expires for index in given.lapsed)
    return f"{_quoted(policy, names)} allowed {action}, and expired after {last}"


def _name_failed(policy: Policy, error: str) -> str:
    match = _FAILED.fullmatch(error)
    if match is None:
        return f"{policy.site}'s policy could not be asked ({plain(error, 300)})"
    return f"rule «{policy.name_of(int(match[1]))}» of {policy.site}'s policy failed ({plain(match[2], 300)})"


def _quoted(policy: Policy, names: set[str]) -> str:
    listed = ", ".join(f"«{name}»" for name in sorted(names)[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{_forms(names, 'rule', 'rules')} {listed}{more} of {policy.site}'s policy"


def _forms(names: set[str], one: str, several: str) -> str:
    return one if len(names) == 1 else several


def _nothing_permits(policy: Policy, question: CedarRequest, request: Request | None) -> str:
    """Why no permit held: there is none, or which of the facts that permits ask for are false."""
    action = question.action
    if not policy.rules:
        return f"{policy.site} has no policy, so {action} is not allowed"
    permits = [rule for rule in policy.rules if rule.effect == "permit" and action in rule.actions]
    if not permits:
        return f"no rule of {policy.site}'s policy allows {action}: it has none for that"
    reads = frozenset[str]().union(*(rule.reads for rule in permits))
    missing = asked_for(false_facts(question, request), reads)
    why = "; ".join(missing.values()) or "what its rules ask for is not so"
    return f"no rule of {policy.site}'s policy allows {action}: {why}"
