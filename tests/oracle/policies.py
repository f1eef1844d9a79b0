"""Generated policies and questions, decided here and by cedar-go: the same answer, for the same rules, errors included.

Rules are made of everything that the schema lets them say of the four actions, with arithmetic that overflows in some;
one in eight reads nothing. Only text that Comity would publish is asked.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from catalog.error import BadInput
from privacy.cases import case_question
from privacy.decision import ACTIONS, Action
from privacy.policy import Answer, Policy, answer
from privacy.schema import CONTEXTS, ENTITIES, Attribute, CedarRequest, Uid, cedar_entities, cedar_request

POLICIES: Final = 100
QUESTIONS: Final = 20
"""To each policy."""

RULES: Final = 12
SEED: Final = 7

OFTEN: Final[tuple[Action, ...]] = (*ACTIONS, "compute", "compute", "release", "release")
"""Those with more facts are asked more often."""

SITES: Final = ("here", "anna", "nordstad")
WORDS: Final = (
    "",
    "statistics",
    "table",
    "open",
    "resident",
    "DUO:0000006",
    "DUO:0000007/MONDO:1",
    "researcher",
    "node",
)
NUMBERS: Final = (0, 1, 2, 3, 4_611_686_018_427_387_904, 9_223_372_036_854_775_807)
PRINCIPALS: Final[dict[Action, tuple[str, ...]]] = {
    "see": ("Person", "Site"),
    "fetch": ("Person", "Site"),
    "compute": ("Person",),
    "release": ("Person",),
    "report": ("Site",),
}
RESOURCES: Final[dict[Action, tuple[str, ...]]] = {
    "see": ("Dataset", "Block", "Value", "AuditTrail", "Rule"),
    "fetch": ("Dataset", "Block", "Value"),
    "compute": ("Dataset", "Value"),
    "release": ("Value",),
    "report": ("Value",),
}


class Answered(msgspec.Struct):
    """What cedar-go says, as policy.go has it."""

    allowed: bool
    reasons: list[str]
    errors: list[str]


@dataclass(frozen=True)
class AskedPolicy:
    """A policy with the questions that are put to it."""

    policy: Policy
    questions: list[CedarRequest]


@dataclass
class Decided:
    """What was compared: how many questions, what came of them, and where the two did not agree."""

    asked: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The table of it."""
        yield "Comity decided, cedar-go decided"
        yield f"  {self.asked:,} questions to {POLICIES} policies of {RULES} rules"
        for outcome, count in sorted(self.counts.items()):
            yield f"  {outcome:30} {count:8,}"
        for fault in self.faults[:20]:
            yield f"  FAULT {fault}"


def generated() -> list[AskedPolicy]:
    """The policies and questions; each time the same."""
    chance = random.Random(SEED)
    return [
        AskedPolicy(_policy(chance), [_question(chance, chance.choice(OFTEN)) for _ in range(QUESTIONS)])
        for _ in range(POLICIES)
    ]


def written(asked: list[AskedPolicy]) -> bytes:
    """All of it for policy.go."""
    return json.dumps(
        [
            {
                "policy": each.policy.text,
                "questions": [
                    cedar_request(question) | {"entities": json.loads(str(cedar_entities(question)))}
                    for question in each.questions
                ],
            }
            for each in asked
        ]
    ).encode()


def compare(asked: list[AskedPolicy], theirs: list[list[Answered]]) -> Decided:
    """Hold cedar-go's answers against ours."""
    found = Decided()
    for each, answers in zip(asked, theirs, strict=True):
        for question, told in zip(each.questions, answers, strict=True):
            found.asked += 1
            ours = answer(each.policy, question)
            found.counts[_outcome(ours)] += 1
            if (ours.allowed, set(ours.rules)) != _expected(told):
                found.faults.append(f"{ours} where cedar-go has {told} of {question} by\n{each.policy.text}")
    return found


def _expected(told: Answered) -> tuple[bool, set[int]]:
    """What Comity makes of Cedar's answer: any failure denies."""
    if told.errors:
        return False, {int(name.removeprefix("policy")) for name in told.errors}
    return told.allowed, {int(name.removeprefix("policy")) for name in told.reasons}


def _outcome(ours: Answer) -> str:
    if ours.error:
        return "a rule failed"
    if ours.forbidden:
        return "forbidden"
    return "allowed" if ours.allowed else "denied by default"


def _policy(chance: random.Random) -> Policy:
    rules: list[str] = []
    while len(rules) < RULES:
        rule = _rule(chance, len(rules))
        with suppress(BadInput):  # such as a comparison that the schema knows to be always false
            Policy.parse(rule, site="oracle", version="1")
            rules.append(rule)
    return Policy.parse("\n".join(rules), site="oracle", version="1")


def _rule(chance: random.Random, number: int) -> str:
    action = chance.choice(OFTEN)
    kind = chance.choice(RESOURCES[action])
    effect = chance.choice(("permit", "permit", "forbid"))
    scope = f'action == Action::"{action}"'
    head = f'@id("r{number}") {effect} (principal is {chance.choice(PRINCIPALS[action])}, {scope}, resource is {kind})'
    if chance.random() < 0.125:
        return f"{head};"
    how = chance.choice(("when", "when", "unless"))
    return f"{head} {how} {{ {_truth(chance, action, kind, 3)} }};"


def _truth(chance: random.Random, action: Action, kind: str, depth: int) -> str:
    """An expression that is true or false."""
    if depth and chance.random() < 0.6:
        one, two, three = (_truth(chance, action, kind, depth - 1) for _ in range(3))
        return chance.choice(
            (
                f"({one} && {two})",
                f"({one} || {two})",
                f"!({one})",
                f"(if {one} then {two} else {three})",
                f"({one}) == ({two})",
            )
        )
    if "endorsements" in CONTEXTS[action] and chance.random() < 0.2:
        return _about(chance, "context.endorsements", "Long")  # the one number, and so the one thing that can overflow
    of, types = chance.choice(
        (("context", CONTEXTS[action]), ("resource", ENTITIES[kind]), ("principal", ENTITIES["Person"]))
    )
    name, type_ = chance.choice(list(types.items()))
    return _about(chance, f"{of}.{name}", type_)


def _about(chance: random.Random, value: str, type_: str) -> str:
    word, site, number = chance.choice(WORDS), f'Site::"{chance.choice(SITES)}"', chance.choice(NUMBERS)
    match type_:
        case "Bool":
            return value
        case "Long":
            sign, order = chance.choice("+-*"), chance.choice(("<", "<=", "==", "!=", ">", ">="))
            return f"{value} {sign} {number} {order} {chance.choice(NUMBERS)}"
        case "String":
            return chance.choice((f'{value} == "{word}"', f'{value} like "{word[:3]}*"', f'{value} != "{word}"'))
        case "Site":
            return chance.choice(
                (
                    f"{value} == {site}",
                    f"{value} in {site}",
                    f'{value}.roles.contains("node")',
                    f"{value} == context.here",
                )
            )
        case "Set<String>":
            listed = f'["{word}", "{chance.choice(WORDS)}"]'
            return chance.choice(
                (
                    f'{value}.contains("{word}")',
                    f"{value}.containsAny({listed})",
                    f"{value}.isEmpty()",
                    f"{listed}.containsAll({value})",
                )
            )
        case _:
            return chance.choice(
                (f"{value}.contains({site})", f"[context.here, {site}].containsAll({value})", f"{value}.isEmpty()")
            )


def _question(chance: random.Random, action: Action) -> CedarRequest:
    principal, resource = chance.choice(PRINCIPALS[action]), chance.choice(RESOURCES[action])
    return case_question(
        action,
        Uid(principal, chance.choice(SITES) if principal == "Site" else "mara"),
        Uid(resource, "thing"),
        _attributes(chance, ENTITIES[principal]),
        _attributes(chance, ENTITIES[resource]),
        _attributes(chance, CONTEXTS[action]),
    )


def _attributes(chance: random.Random, types: dict[str, str]) -> dict[str, Attribute]:
    return {name: _value(chance, type_) for name, type_ in types.items()}


def _value(chance: random.Random, type_: str) -> Attribute:
    match type_:
        case "Bool":
            return chance.random() < 0.5
        case "Long":
            return chance.choice(NUMBERS[:4])
        case "String":
            return chance.choice(WORDS)
        case "Site":
            return Uid("Site", chance.choice(SITES))
        case "Set<String>":
            return frozenset(chance.sample(WORDS, chance.randint(0, 3)))
        case _:
            return frozenset(Uid("Site", site) for site in chance.sample(SITES, chance.randint(0, 3)))
