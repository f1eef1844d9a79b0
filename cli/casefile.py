"""A table of cases for a policy (``policy.cases.yaml``), read strictly, each case with its place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from catalog.error import BadInput
from privacy.cases import Case, case_question
from privacy.decision import ACTIONS
from privacy.duty import Duties, read_day, read_duty, strictest
from privacy.schema import CONTEXTS, ENTITIES, Attribute, Uid
from workflow.document import MAX_TEXT, Part, read_document

MAX_CASES: Final = 2000

T = TypeVar("T")
W = TypeVar("W", bound=str)

_FIELDS: Final = ("case", "asks", "principal", "resource", "context", "day", "expect", "rules", "duties", "reason")


def read_cases(text: str | bytes, file: str) -> list[Case]:
    """The cases of a table.

    Raises:
        BadInput: ``FILE:LINE:COLUMN: …``: not YAML as :mod:`workflow.document` reads it, a field or an attribute that
            is not known, a value of another type, or two cases of one name.
    """
    cases: dict[str, Case] = {}
    items = _record(read_document(text, file), "a table of cases", ("cases",)).get("cases")
    for part in items.items() if items is not None else []:
        case = _case(part)
        if case.name in cases:
            raise part.error(f"a second case is called «{case.name}»")
        cases[case.name] = case
        if len(cases) > MAX_CASES:
            raise part.error(f"over {MAX_CASES:,} cases")
    if not cases:
        raise BadInput(f"{file}:1:1: there is no case in it; write them below «cases:»")
    return list(cases.values())


def cases_of(path: Path) -> list[Case]:
    """The cases in a file.

    Raises:
        BadInput: it cannot be read, or as for :func:`read_cases`.
    """
    try:
        with path.open("rb") as stream:
            return read_cases(stream.read(MAX_TEXT + 1), str(path))
    except OSError as error:
        raise BadInput(f"the cases {path} cannot be read: {error.strerror}") from error


def _case(part: Part) -> Case:
    fields = _record(part, "a case", _FIELDS)
    action = _one_of(part.required("asks"), ACTIONS)
    expect = _one_of(part.required("expect"), ("allow", "deny"))
    principal, about_principal = _entity(part.required("principal"), {"person": "Person", "node": "Site"})
    kinds = {kind: kind for kind in ENTITIES if kind not in ("Person", "Site")}
    resource, about_resource = _entity(part.required("resource"), kinds)
    context = _attributes(fields["context"], "the context", CONTEXTS[action]) if "context" in fields else {}
    return Case(
        name=part.required("case").text(),
        place=f"{part.file}:{part.line}",
        question=case_question(action, principal, resource, about_principal, about_resource, context),
        allowed=expect == "allow",
        rules=frozenset(each.text() for each in fields["rules"].items()) if "rules" in fields else frozenset(),
        duties=_duties(fields["duties"]) if "duties" in fields else Duties(),
        reason=fields["reason"].text() if "reason" in fields else "",
        day=_placed(fields["day"], read_day) if "day" in fields else 0,
    )


def _entity(part: Part, kinds: Mapping[str, str]) -> tuple[Uid, dict[str, Attribute]]:
    """An entity, named by the field that says its kind, with what is said of it."""
    named = [word for word in kinds if word in part.fields()]
    if len(named) != 1:
        raise part.error(f"one of these fields is needed here, and no other of them: {', '.join(kinds)}")
    kind = kinds[named[0]]
    # What is so of a node is so of each.
    types = {} if kind == "Site" else ENTITIES[kind]
    return Uid(kind, part.required(named[0]).text()), _attributes(part, f"a {kind}", types, named[0])


def _attributes(part: Part, what: str, types: Mapping[str, str], *beside: str) -> dict[str, Attribute]:
    fields = _record(part, what, (*beside, *types))
    return {name: _VALUES[kind](fields[name]) for name, kind in types.items() if name in fields}


def _record(part: Part, what: str, read: Collection[str]) -> dict[str, Part]:
    """The fields of ``what``; unlike in CWL, none of another vocabulary is passed over."""
    fields = part.record(what, read)
    for name, each in part.fields().items():
        if name not in fields:
            raise each.error(f"a field with a colon in its name has no place in {what}")
    return fields


def _duties(part: Part) -> Duties:
    """Duties as annotations write them: ``{approve: steward, min_cell: "10"}``."""
    fields = _record(part, "duties", ("approve", "endorsed", "min_cell", "treat", "quota"))
    return strictest([_placed(text, partial(read_duty, name)) for name, text in fields.items()])


def _placed(part: Part, read: Callable[[str], T]) -> T:
    try:
        return read(part.text())
    except BadInput as error:
        raise part.error(str(error)) from error


def _one_of(part: Part, words: tuple[W, ...]) -> W:
    text = part.text()
    for word in words:
        if text == word:
            return word
    raise part.unexpected(f"one of {', '.join(words)}")


_VALUES: Final[Mapping[str, Callable[[Part], Attribute]]] = {
    "Bool": Part.boolean,
    "Long": Part.integer,
    "String": Part.text,
    "Site": lambda part: Uid("Site", part.text()),
    "Set<String>": lambda part: frozenset(each.text() for each in part.items()),
    "Set<Site>": lambda part: frozenset(Uid("Site", each.text()) for each in part.items()),
}
