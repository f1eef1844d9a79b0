"""A question again from the facts that a decision recorded: the exact inverse of :func:`privacy.schema.facts_of`.

Facts are text: lists are joined with blanks (roles, terms, readers and types have none in them, a claim has one), and
what is long or not printable was cut or replaced. What cannot be told again from its text is refused, so that a
decision made anew is made about the same question or about none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from catalog.error import BadInput
from privacy.decision import Action
from privacy.schema import CONTEXTS, ENTITIES, Attribute, CedarRequest, Uid, facts_of


class NotReplayable(BadInput):
    """Facts that are not those of one question alone."""


def question_of(action: Action, facts: Mapping[str, str]) -> CedarRequest:
    """The question whose facts these are.

    Raises:
        NotReplayable: there is none, or none can be told for certain.
    """
    name, _, identity = _fact(facts, "resource").partition(" ")
    if name not in ENTITIES:
        raise NotReplayable(f"the facts are of a resource of the unknown kind «{name[:40]}»")
    asker = _fact(facts, "principal")
    kind = "Site" if _fact(facts, "principal.site") == asker else "Person"
    question = CedarRequest(
        principal=Uid(kind, asker),
        action=action,
        resource=Uid(name, identity),
        about_principal=_attributes(facts, "principal", ENTITIES[kind]),
        about_resource=_attributes(facts, "resource", ENTITIES[name]),
        context=_attributes(facts, "context", CONTEXTS[action]),
    )
    if facts_of(question) != dict(facts):
        raise NotReplayable("the facts were shortened, or are not those of a question of this version")
    return question


def _attributes(facts: Mapping[str, str], of: str, types: Mapping[str, str]) -> dict[str, Attribute]:
    return {name: _VALUES[kind](name, _fact(facts, f"{of}.{name}")) for name, kind in types.items()}


def _fact(facts: Mapping[str, str], name: str) -> str:
    text = facts.get(name)
    if text is None:
        raise NotReplayable(f"the fact «{name}» is not among those recorded")
    if text.endswith("…") or "\N{REPLACEMENT CHARACTER}" in text:
        raise NotReplayable(f"the fact «{name}» was shortened, or has a character that is not recorded")
    return text


def _bool(_name: str, text: str) -> Attribute:
    return text == "true"


def _long(name: str, text: str) -> Attribute:
    if not text.removeprefix("-").isdecimal():
        raise NotReplayable(f"the fact «{name}» is no number")
    return int(text)


def _strings(name: str, text: str) -> Attribute:
    words = text.split(" ") if text else []
    if name != "claims":
        return frozenset(words)
    # A claim is two words, its type and its value; one too many is found out when all is written again.
    return frozenset(f"{kind} {value}" for kind, value in zip(words[::2], words[1::2], strict=False))


def _sites(_name: str, text: str) -> Attribute:
    return frozenset(Uid("Site", site) for site in text.split(" ") if site)


_VALUES: Final[Mapping[str, Callable[[str, str], Attribute]]] = {
    "Bool": _bool,
    "Long": _long,
    "String": lambda _, text: text,
    "Site": lambda _, text: Uid("Site", text),
    "Set<String>": _strings,
    "Set<Site>": _sites,
}
