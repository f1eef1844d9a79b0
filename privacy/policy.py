"""Policy: Cedar rules of a site over the consortium's floor, and the decision on one request (design section 7).

A site permits, anyone's ``forbid`` wins, and the default is deny. Cedar skips a rule that fails while it is
evaluated, so that a ``forbid`` could fail open: here any failure denies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from cedarpy import AuthzResult, PolicySet, is_authorized

from catalog.error import BadInput
from privacy.decision import Decision
from privacy.request import Compute, Fetch, ProjectQuestion, Request, RuleRef, See, StepQuestion
from privacy.rule import Rule, read_rules
from privacy.schema import cedar_entities, cedar_request, facts_of, in_cedar, plain, schema

FLOOR: Final = "floor/"
"""What stands before the name of a rule of the consortium's floor."""

_FAILED: Final = re.compile(r"error while evaluating policy `policy([0-9]+)`: (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Policy:
    """A site's rules and its consortium's floor, parsed once; make one with :meth:`parse`.

    ``site`` is the name that reasons use, ``version`` what decisions name.

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
    _parsed: PolicySet = field(repr=False, compare=False)

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
        # Cedar numbers policies in order, across both texts: the floor's come first.
        parsed = PolicySet.from_str(floor).with_added_str(text)
        return cls(text, floor, plain(site, 80), version, rules, floor_rules, parsed)

    @property
    def named(self) -> frozenset[str]:
        """The ids of all entities that a rule or the floor speaks of by name; about others it can only say alike."""
        return frozenset[str]().union(*(rule.names for rule in (*self.floor_rules, *self.rules)))

    def name_of(self, index: int) -> str:
        """The name of the rule that Cedar calls ``policy{index}``."""
        if index < len(self.floor_rules):
            return FLOOR + self.floor_rules[index].id
        return self.rules[index - len(self.floor_rules)].id


def decide(policy: Policy, request: Request) -> Decision:
    """What ``policy`` says of ``request``. Denies by default, when any rule forbids, and when any rule fails."""
    question = in_cedar(request)
    result = is_authorized(cedar_request(question), policy._parsed, cedar_entities(question), schema())
    allowed, rules, reason = _verdict(policy, request, result)
    return Decision(
        allowed=allowed,
        action=request.action,
        rules=tuple(sorted(rules)),
        reason=plain(reason, 1000),
        facts=facts_of(question),
        policy=policy.version,
    )


def told(policy: Policy, decision: Decision, request: Request) -> str:
    """The reason for ``decision`` as the asker of ``request`` may have it, one line.

    A rule of the site is named to those who may ``see`` it (``resource is Rule``); the floor is known to members.
    """
    own = (rule for rule in decision.rules if not rule.startswith(FLOOR))
    if all(_may_be_named(policy, rule, request) for rule in own):
        return decision.reason
    verb = "allows" if decision.allowed else "refuses"
    return f"{policy.site}'s policy {verb} {decision.action}; its steward can say by which rule"


def _may_be_named(policy: Policy, rule: str, request: Request) -> bool:
    question = See(
        asker=request.asker,
        here=request.here,
        granted=request.granted,
        fresh=request.fresh,
        resource=RuleRef(rule, request.here),
        reader=False,
    )
    return decide(policy, question).allowed


def _verdict(policy: Policy, request: Request, result: AuthzResult) -> tuple[bool, set[str], str]:
    """Allowed or not, by which rules, and why."""
    errors, action = result.diagnostics.errors, request.action
    if errors:
        return (
            False,
            _failed(policy, errors),
            f"{_name_failed(policy, errors[0])}: {action} is denied until it is mended",
        )
    indices = [int(name.removeprefix("policy")) for name in result.diagnostics.reasons]
    names = {policy.name_of(index) for index in indices}
    if not names:
        return False, names, _nothing_permits(policy, request)
    if not result.allowed:
        return False, names, f"{_quoted(policy, names)} {_forms(names, 'forbids', 'forbid')} {action}"
    # The strictest duty of all satisfied permits counts, not the most convenient one.
    needed = max(policy.rules[index - len(policy.floor_rules)].endorsed for index in indices)
    given = request.endorsements if isinstance(request, StepQuestion) else 0
    if given < needed:
        return (
            False,
            names,
            (
                f"{_quoted(policy, names)} {_forms(names, 'asks', 'ask')} that {needed} sites endorse the block"
                f" before {action}, and {given} did"
            ),
        )
    return True, names, f"{_quoted(policy, names)} {_forms(names, 'allows', 'allow')} {action}"


def _failed(policy: Policy, errors: list[str]) -> set[str]:
    return {policy.name_of(int(match[1])) for error in errors if (match := _FAILED.fullmatch(error))}


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


def _nothing_permits(policy: Policy, request: Request) -> str:
    """Why no permit held: there is none, or which of the facts that permits ask for are false."""
    action = request.action
    if not policy.rules:
        return f"{policy.site} has no policy, so {action} is not allowed"
    permits = [rule for rule in policy.rules if rule.effect == "permit" and action in rule.actions]
    if not permits:
        return f"no rule of {policy.site}'s policy allows {action}: it has none for that"
    reads = frozenset[str]().union(*(rule.reads for rule in permits))
    missing = [words for fact, words in _false(request).items() if fact in reads]
    why = "; ".join(missing) or "what its rules ask for is not so"
    return f"no rule of {policy.site}'s policy allows {action}: {why}"


def _false(request: Request) -> dict[str, str]:
    """The facts of ``request`` that are false, in plain words."""
    words: dict[str, str] = {}
    if not request.granted:
        words["granted"] = plain(request.ungranted, 200) or "the request has no grant"
    if isinstance(request, ProjectQuestion) and not request.purpose_matches:
        why = f": {plain(request.mismatch, 200)}" if request.mismatch else ""
        words["purposeMatches"] = f"the data may not be used for the purpose «{plain(request.purpose, 40)}»{why}"
    if not request.fresh:
        words["fresh"] = "what is known of those who vouch for it is too old"
    if isinstance(request, StepQuestion) and not request.endorsed:
        words["endorsed"] = "the owner's steward has not endorsed the block for such an output"
    if isinstance(request, See | Fetch | Compute) and not request.reader:
        words["reader"] = "the label names no such reader"
    return words
