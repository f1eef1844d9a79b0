"""Why a value of a wrong shape was refused, for people: the decoder speaks of types, and this of fields.

It is called where bytes become values, so that no other message is made of what the decoder says.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from catalog.plural import counted

_TYPES: Final = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "bytes": "bytes",
    "array": "a list",
    "object": "named fields",
    "null": "nothing",
}
_BOUNDS: Final = {">=": "at least", "<=": "at most", "==": "exactly", ">": "more than", "<": "less than"}
_PARTS: Final = {"str": "character", "bytes": "byte", "array": "value", "object": "field"}
MOST: Final = 1000
"""Characters that are looked at: the decoder quotes names that a peer wrote."""

_KINDS: Final = re.compile(r"(?:Fields|View|Request)$")


def named(kind: str) -> str:
    """A type's name as words: «dataset» of ``DatasetFields``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _KINDS.sub("", kind)).lower()


def in_words(told: str) -> str:
    """What the decoder said, with the name of the field that it is about; what it says otherwise stays as it is."""
    message, _, path = told[:MOST].partition(" - at `")
    field = _field(path)
    for pattern, words in _WORDS:
        if found := re.fullmatch(pattern, message, re.DOTALL):
            return words(field or "it", *found.groups())
    return told


def _field(path: str) -> str:
    """The field at the decoder's ``path``: «people» of ``$.people[...]``; empty for the value itself."""
    inside = path.rstrip("`")
    whose = "a name in " if inside.startswith("key") else "one of " if inside.endswith("]") else ""
    name = ".".join(re.findall(r"[A-Za-z_]\w*", inside.partition("$")[2]))
    return f"{whose}«{name}»" if name else ""


def _missing(field: str, name: str) -> str:
    return f"{_within(field)}the field «{name}» is missing"


def _unknown(field: str, name: str) -> str:
    return f"{_within(field)}there is a field «{name}» that this version does not know"


def _within(field: str) -> str:
    return "" if field == "it" else f"in {field} "


def _type(field: str, wanted: str, got: str) -> str:
    types = " or ".join(_TYPES.get(each, each) for each in wanted.split(" | "))
    return f"{field} is {_TYPES.get(got, got)}, and must be {types}"


def _length(field: str, kind: str, bound: str, number: str) -> str:
    return f"{field} must have {_BOUNDS[bound]} {counted(int(number), _PARTS.get(kind, 'part'))}"


def _number(field: str, bound: str, number: str) -> str:
    return f"{field} must be {_BOUNDS[bound]} {int(number):,}"


def _pattern(field: str) -> str:
    return f"{field} is not written as it must be"


def _value(field: str, value: str) -> str:
    return f"{field} cannot be «{value.strip(chr(39))}»"


def _json(_field: str, at: str) -> str:
    return f"it is not JSON from byte {at} on"


def _truncated(_field: str) -> str:
    return "it ends too early"


_WORDS: Final[tuple[tuple[str, Callable[..., str]], ...]] = (
    (r"Object missing required field `(.*)`", _missing),
    (r"Object contains unknown field `(.*)`", _unknown),
    (r"Expected `(.*)`, got `(.*)`", _type),
    (r"Expected `(\w+)` of length (>=|<=|==) (\d+)", _length),
    (r"Expected `\w+` (>=|<=|==|>|<) (-?\d+)", _number),
    (r"Expected `str` matching regex .*", _pattern),
    (r"Invalid (?:enum )?value (.*)", _value),
    (r"JSON is malformed: .* \(byte (\d+)\)", _json),
    (r"Input data was truncated", _truncated),
)
