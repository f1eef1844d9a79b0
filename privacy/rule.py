"""Policy text, read rule by rule: places for error messages, bounds, annotations, duties.

Cedar's parser says what is wrong and not where, and brackets in brackets overrun its stack and end the process.
So the text is first cut into tokens here, which gives places and bounds; what it means is Cedar's word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, NoReturn

import msgspec
from cedarpy import PolicySet, policies_to_json_str, validate_policies

from catalog.error import BadInput
from privacy.decision import ACTIONS, Action
from privacy.duty import (
    APPROVE,
    ENDORSED,
    EXPIRES,
    MIN_CELL,
    NO_DUTIES,
    QUOTA,
    TREAT,
    Duties,
    read_day,
    read_duty,
    strictest,
)
from privacy.schema import plain, schema

MAX_TEXT: Final = 1 << 18
"""Characters of a policy."""

MAX_RULES: Final = 2000
MAX_TOKENS: Final = 1000
"""Words and signs in one rule."""

MAX_NESTING: Final = 32
"""Levels of brackets in one rule. Cedar 4.12 ends its process at 150 to 250 on a stack of 2 MiB."""

_STEP: Final = frozenset[Action]({"compute", "release"})
_LEAVING: Final = frozenset[Action]({"release"})
_DUTIES: Final[Mapping[str, frozenset[Action]]] = {
    APPROVE: _STEP,
    ENDORSED: _STEP,
    MIN_CELL: _LEAVING,
    TREAT: _LEAVING,
    QUOTA: _LEAVING,
}
"""For each duty the actions that it can be fulfilled for; elsewhere it would promise what nobody does. What a step
reads it reads whole, so a quota is of what leaves."""

_BESIDE: Final = frozenset({"id", EXPIRES})
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TOKEN: Final = re.compile(
    r'(?P<skip>\s+|//[^\n\r]*)|(?P<word>[A-Za-z_]\w*|[0-9]+)|(?P<string>"(?:\\.|[^"\\])*")'
    r"|(?P<slot>\?\w+)|(?P<sign>::|&&|\|\||[=!<>]=|[-+*.,:;<>!@(){}\[\]%/=])",
    re.ASCII | re.DOTALL,
)
_NAMED: Final = re.compile(r"`([^`]+)`|[:] @?(\w+)$")
_POLICY: Final = re.compile(r"(?:for policy )?`policy([0-9]+)`(?:, )?")
# Control characters, and those that make text run backwards or take no room.
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_END: Final = "unexpected end of input"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its ``@id``, what it does, for which actions, which facts it reads, and its duties.

    ``reads`` are facts by their names, such as ``context.granted``. ``expires`` is the last day on which it permits, if
    it has one; a ``forbid`` holds for ever. ``names`` are the ids of all entities that it speaks of by name: of a
    dataset its CID.
    """

    id: str
    effect: Literal["permit", "forbid"]
    actions: frozenset[Action]
    reads: frozenset[str]
    duties: Duties = NO_DUTIES
    expires: str = ""
    names: frozenset[str] = frozenset()

    def past(self, day: int) -> bool:
        """Whether its time as a permit is over on ``day`` (since 1970-01-01).

        A ``forbid`` stays whatever it says: a clock that is set forward, or a day that nobody thought of, would open
        what it closes. Whoever wants it gone takes it out.
        """
        return self.effect == "permit" and self.expires != "" and read_day(self.expires) < day


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str


class _Entity(msgspec.Struct, frozen=True):
    id: str


class _Scope(msgspec.Struct, frozen=True):
    op: str
    entity: _Entity | None = None
    entities: Sequence[_Entity] = ()


class _Policy(msgspec.Struct, frozen=True):
    """One rule in Cedar's JSON policy format, as far as it is read here."""

    effect: Literal["permit", "forbid"]
    action: _Scope
    resource: object
    conditions: list[object]
    annotations: dict[str, str | None] = {}


class _Set(msgspec.Struct, frozen=True):
    staticPolicies: dict[str, _Policy]  # noqa: N815 - Cedar's word


def read_rules(text: str, source: str) -> tuple[Rule, ...]:
    """The rules of ``text`` in their order, checked against the schema.

    Raises:
        BadInput: ``SOURCE:LINE:COLUMN: …`` for a syntax error, something that the schema does not know, a missing
            or doubled ``@id``, an annotation that is unknown or not enforced yet, a template, or too much of
            anything.
    """
    if len(text) > MAX_TEXT:
        raise BadInput(f"{source}: a policy of {len(text):,} characters was refused: at most {MAX_TEXT:,} are read")
    return _Text(text, source).rules()


class _Text:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._cuts = self._cut()

    def rules(self) -> tuple[Rule, ...]:
        self._parse()
        self._validate()
        written = msgspec.json.decode(policies_to_json_str(self._text), type=_Set).staticPolicies
        if len(written) != len(self._cuts):
            self._fail(0, f"Cedar reads {len(written)} rules where {len(self._cuts)} were checked")
        rules: dict[str, Rule] = {}
        for index, tokens in enumerate(self._cuts):
            rule = self._rule(written[f"policy{index}"], tokens)
            if rule.id in rules:
                self._fail(
                    self._annotation(tokens, "id"), f"a second rule is called «{rule.id}»; give each its own @id"
                )
            rules[rule.id] = rule
        return tuple(rules.values())

    def _cut(self) -> list[list[_Token]]:
        """The tokens of each rule, its «;» included, within bounds that Cedar's parser survives."""
        hidden = _HIDDEN.search(self._text)
        if hidden is not None:
            self._fail(hidden.start(), f"the character {hidden[0]!a} can hide what a rule says; take it out")
        rules: list[list[_Token]] = [[]]
        at = depth = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                what = "text in quotes that is not closed" if self._text[at] == '"' else f"«{self._text[at]!a}»"
                self._fail(at, f"{what} has no place in a policy")
            token = _Token(at, match.end(), match[0])
            at = match.end()
            if match.lastgroup == "skip":
                continue
            if match.lastgroup == "slot":
                self._fail(token.start, f"«{token.text}» belongs to a template, which policies here are not")
            if token.text == "has":
                self._fail(
                    token.start, "every attribute is always there, and a misspelt one would pass: leave «has» out"
                )
            rules[-1].append(token)
            depth += (token.text in "([{") - (token.text in ")]}")
            if depth > MAX_NESTING or len(rules[-1]) > MAX_TOKENS:
                self._fail(
                    token.start, f"a rule of over {MAX_TOKENS} words or {MAX_NESTING} levels; make several of it"
                )
            if token.text == ";":
                rules.append([])
                depth = 0
            if len(rules) > MAX_RULES + 1:
                self._fail(token.start, f"over {MAX_RULES:,} rules")
        return rules if rules[-1] else rules[:-1]

    def _parse(self) -> None:
        for tokens in self._cuts:
            wrong = self._syntax_error(tokens, len(tokens))
            if wrong is None:
                continue
            place = self._stumble(tokens, wrong) if wrong.startswith("unexpected") else self._find(tokens, wrong)
            self._fail(place, f"{wrong}; a rule reads «permit (principal, action, resource) when {{ … }};»")

    def _syntax_error(self, tokens: list[_Token], count: int) -> str | None:
        try:
            PolicySet.from_str(self._text[tokens[0].start : tokens[count - 1].end])
        except ValueError as error:
            return str(error)
        return None

    def _stumble(self, tokens: list[_Token], message: str) -> int:
        """Where the token stands that Cedar did not expect; the rule's end if it misses something there.

        It is the named one that comes last before the first place up to which Cedar complains of more than a
        missing rest (it notices a token or two late).
        """
        counts = range(1, len(tokens) + 1)
        late = bisect_left(counts, True, key=lambda n: (self._syntax_error(tokens, n) or _END) != _END)
        named = [token for token in tokens[: late + 1] if f"`{token.text}`" in message]
        return named[-1].start if named else tokens[min(late, len(tokens) - 1)].end

    def _validate(self) -> None:
        result = validate_policies(self._text, schema())
        if result.validation_passed:
            return
        error = result.errors[0]
        number = error.policy_id.removeprefix("policy")
        message = _POLICY.sub("", error.error)
        if not number.isdecimal() or int(number) >= len(self._cuts):
            self._fail(0, message)
        tokens = self._cuts[int(number)]
        more = f" (and {len(result.errors) - 1} more)" if len(result.errors) > 1 else ""
        self._fail(self._find(tokens, message), f"{message}{more}; docs/protocol/policy.md has the schema")

    def _rule(self, policy: _Policy, tokens: list[_Token]) -> Rule:
        annotations = policy.annotations
        actions = _actions(policy.action)
        name = annotations.get("id")
        if name is None or not _ID.fullmatch(name):
            where = self._annotation(tokens, "id") if "id" in annotations else tokens[0].start
            self._fail(where, 'a rule needs a name of letters, digits and dashes: write @id("…") before it')
        return Rule(
            id=name,
            effect=policy.effect,
            actions=actions,
            reads=_reads(policy.conditions),
            duties=strictest(
                [self._duty(key, policy, actions, tokens) for key in sorted(annotations.keys() - _BESIDE)]
            ),
            expires=self._expires(policy, tokens) if EXPIRES in annotations else "",
            names=_names([policy.resource, policy.conditions]),
        )

    def _duty(self, key: str, policy: _Policy, actions: frozenset[Action], tokens: list[_Token]) -> Duties:
        where = self._annotation(tokens, key)
        if key not in _DUTIES:
            known = ", ".join(f"@{each}" for each in (*sorted(_BESIDE), *_DUTIES))
            self._fail(where, f"the annotation @{key} is not known; known are {known}")
        if policy.effect != "permit" or not actions <= _DUTIES[key]:
            for_what = " and ".join(sorted(_DUTIES[key]))
            self._fail(where, f"@{key} is a duty of permits for {for_what} alone; name that in the rule")
        try:
            return read_duty(key, policy.annotations[key] or "")
        except BadInput as error:
            self._fail(where, str(error))

    def _expires(self, policy: _Policy, tokens: list[_Token]) -> str:
        day = policy.annotations[EXPIRES] or ""
        try:
            read_day(day)
        except BadInput as error:
            self._fail(self._annotation(tokens, EXPIRES), str(error))
        return day

    def _annotation(self, tokens: list[_Token], name: str) -> int:
        return next(
            (at.start for at, word in pairwise(tokens) if at.text == "@" and word.text == name), tokens[0].start
        )

    def _find(self, tokens: list[_Token], message: str) -> int:
        """Where the first thing that ``message`` names stands in a rule; the rule's start if it names nothing."""
        for match in _NAMED.finditer(message):
            name = match[1] or match[2]
            for token in tokens:
                if self._text.startswith(name, token.start) and any(token.start + len(name) == t.end for t in tokens):
                    return token.start
        return tokens[0].start

    def _fail(self, at: int, message: str) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise BadInput(plain(f"{self._source}:{line}:{column}: {message}", 400))


def _actions(scope: _Scope) -> frozenset[Action]:
    """The actions that a rule's scope names; all of them where it names none."""
    if scope.op == "All":
        return frozenset(ACTIONS)
    ids = {entity.id for entity in (*scope.entities, scope.entity) if entity is not None}
    return frozenset(action for action in ACTIONS if action in ids)


def _reads(body: object) -> frozenset[str]:
    """The facts that an expression reads, by their names (Cedar's JSON policy format)."""
    return frozenset(
        f"{left['Var']}.{get['attr']}"
        for node in _maps(body)
        if isinstance(get := node.get("."), dict) and isinstance(left := get.get("left"), dict) and "Var" in left
    )


def _names(body: object) -> frozenset[str]:
    """The ids of the entities that an expression names."""
    return frozenset(
        node["id"] for node in _maps(body) if isinstance(node.get("id"), str) and isinstance(node.get("type"), str)
    )


def _maps(body: object) -> Iterator[dict[str, Any]]:
    """All maps in an expression, at any depth."""
    stack = [body]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            yield node
            stack.extend(node.values())
