"""The types of CWL values as far as a node compares them: which values belong to them, and which flow into which.

string, int, long, float, double, boolean, File, Directory and enum; arrays of those; optional ones (a union with null).
All else that CWL has (records, unions of several types, types by their names, ``Any``) is :attr:`Kind.ANY`: what
belongs to it the evaluator knows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from catalog.error import BadInput
from workflow.document import Part, shown
from workflow.name import is_plain_text

MAX_ARRAY: Final = 10_000


class Kind(StrEnum):
    """What an item is, arrays and null apart."""

    STRING = "string"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    FILE = "File"
    DIRECTORY = "Directory"
    ENUM = "enum"
    ANY = "Any"


@dataclass(frozen=True, slots=True)
class Type:
    """A CWL type: ``depth`` arrays of ``kind``, null too if ``optional``; ``symbols`` are an enum's."""

    kind: Kind
    depth: int = 0
    optional: bool = False
    symbols: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.kind) + "[]" * self.depth + "?" * self.optional

    @property
    def is_file(self) -> bool:
        """Whether items are files or folders."""
        return self.kind in (Kind.FILE, Kind.DIRECTORY)

    @property
    def item(self) -> Type:
        """The type of one member of this array."""
        return replace(self, depth=self.depth - 1, optional=False)

    @property
    def array(self) -> Type:
        """The type of an array of this."""
        return replace(self, depth=self.depth + 1, optional=False)

    def takes(self, source: Type) -> bool:
        """Whether every value of ``source``, null apart, is one of this type: a number may widen, an enum be text."""
        if Kind.ANY in (self.kind, source.kind):
            return True
        if self.depth != source.depth:
            return False
        if source.kind is Kind.ENUM and self.kind is Kind.ENUM:
            return set(source.symbols) <= set(self.symbols)
        return self.kind in _WIDER[source.kind]


_NAMED: Final = tuple(kind.value for kind in Kind if kind is not Kind.ENUM)
_ELSE: Final = ("null", "record", "array", "enum", "stdin", "stdout", "stderr")
_WIDER: Final[dict[Kind, tuple[Kind, ...]]] = {
    **{kind: (kind,) for kind in Kind},
    Kind.INT: (Kind.INT, Kind.LONG, Kind.FLOAT, Kind.DOUBLE),
    Kind.LONG: (Kind.LONG, Kind.FLOAT, Kind.DOUBLE),
    Kind.FLOAT: (Kind.FLOAT, Kind.DOUBLE),
    Kind.ENUM: (Kind.ENUM, Kind.STRING),
}


def named_types(root: Part) -> frozenset[str]:
    """The types that a document gives a name, in short form (SchemaDefRequirement, or where it first writes one)."""
    maps = (part.fields() for _, part in root.walk() if part.is_map)
    names = (each["name"].value for each in maps if "name" in each and "type" in each)
    return frozenset(_short(name) for name in names if isinstance(name, str))


def read_type(part: Part, named: frozenset[str], nesting: int = 1) -> Type:
    """The type written at ``part`` (the type DSL ``File[]?``, a schema, or a union).

    ``named`` are the types that the document names itself; ``nesting`` is how many arrays within one another are
    compared.

    Raises:
        BadInput: no such type.
    """
    if part.is_list:
        return _read_union(part, named, nesting)
    if part.is_map:
        return _read_schema(part, named, nesting)
    text = name = part.text()
    optional = name.endswith("?")
    name = name.removesuffix("?")
    depth = 0
    while name.endswith("[]"):
        name, depth = name[:-2], depth + 1
    if name in _ELSE or "#" in name or "/" in name or name in named - set(_NAMED):
        return Type(Kind.ANY, optional=optional or name == "null")
    if name not in _NAMED:
        known = ", ".join(_NAMED)
        raise part.error(f"«{shown(text)}» is no type; expected one of: {known}, an array of them («[]»), «?»")
    return _bounded(Type(Kind(name), depth, optional), nesting)


def _bounded(found: Type, nesting: int) -> Type:
    deep = found.depth > nesting or (found.kind is Kind.ANY and found.depth)
    return Type(Kind.ANY, optional=found.optional) if deep else found


def _short(name: str) -> str:
    return re.split("[#/]", name)[-1]


def _read_union(part: Part, named: frozenset[str], nesting: int) -> Type:
    items = part.items()
    members = [item for item in items if item.value != "null"]
    found = [read_type(item, named, nesting) for item in members]
    optional = len(members) < len(items) or any(each.optional for each in found)
    return replace(found[0], optional=optional) if len(found) == 1 else Type(Kind.ANY, optional=optional)


def _read_schema(part: Part, named: frozenset[str], nesting: int) -> Type:
    kind = part.required("type")
    if kind.value == "array":
        item = read_type(part.required("items"), named, nesting)
        return Type(Kind.ANY) if item.optional else _bounded(item.array, nesting)
    if kind.value == "enum":
        symbols = tuple(_short(item.text()) for item in part.required("symbols").items())
        if not symbols or len(set(symbols)) != len(symbols):
            raise part.error("an enum whose symbols are missing or given twice found")
        return Type(Kind.ENUM, symbols=symbols)
    return Type(Kind.ANY) if kind.value == "record" else read_type(kind, named, nesting)


def check_value(kind: Type, value: object, files: tuple[type, ...]) -> object:
    """``value`` as one of type ``kind``, arrays as tuples; ``files`` are the Python types that stand for a file.

    Raises:
        BadInput: it is none; the message says what was found and expected, and the caller says where.
    """
    if kind.kind is Kind.ANY:
        return value
    if value is None:
        if kind.optional:
            return None
        raise BadInput(f"nothing given, {kind} expected")
    if kind.depth:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise BadInput(f"«{shown(value)}» given, an array ({kind}) expected")
        if len(value) > MAX_ARRAY:
            raise BadInput(f"an array of {len(value):,} members given, at most {MAX_ARRAY:,} are taken")
        return tuple(check_value(kind.item, member, files) for member in value)
    if _belongs(kind, value, files):
        return value
    expected = f"one of {', '.join(kind.symbols)}" if kind.kind is Kind.ENUM else str(kind)
    raise BadInput(f"«{shown(value)}» given, {expected} expected")


def _belongs(kind: Type, value: object, files: tuple[type, ...]) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind.kind:
        case Kind.FILE | Kind.DIRECTORY:
            return isinstance(value, files)
        case Kind.BOOLEAN:
            return isinstance(value, bool)
        case Kind.INT:
            return whole and isinstance(value, int) and -(1 << 31) <= value < 1 << 31
        case Kind.LONG:
            return whole and isinstance(value, int) and -(1 << 63) <= value < 1 << 63
        case Kind.FLOAT | Kind.DOUBLE:
            # A number that is not finite differs from itself, or from every other: neither can be written in CWL.
            return whole or (isinstance(value, float) and value - value == 0)
        case Kind.ENUM:
            return value in kind.symbols
        case Kind.STRING:
            return isinstance(value, str) and is_plain_text(value)
        case Kind.ANY:
            return True
