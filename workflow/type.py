"""The types of CWL values that this node carries, which values belong to them, and which may flow into which.

Supported (CWL v1.2 CommandLineTool, 5.1): string, int, long, float, double, boolean, File, Directory, enum; arrays
of those; optional ones (a union with null). Records, unions of several types and ``Any`` are refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final

from catalog.error import BadInput
from workflow.document import Part, shown
from workflow.name import is_plain_text

MAX_ARRAY: Final = 10_000

_UNSUPPORTED = ("null", "Any", "record", "array", "stdin", "stdout", "stderr")


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
        if self.depth != source.depth:
            return False
        if source.kind is Kind.ENUM and self.kind is Kind.ENUM:
            return set(source.symbols) <= set(self.symbols)
        return self.kind in _WIDER[source.kind]


_NAMED: Final = tuple(kind.value for kind in Kind if kind is not Kind.ENUM)
_WIDER: Final[dict[Kind, tuple[Kind, ...]]] = {
    **{kind: (kind,) for kind in Kind},
    Kind.INT: (Kind.INT, Kind.LONG, Kind.FLOAT, Kind.DOUBLE),
    Kind.LONG: (Kind.LONG, Kind.FLOAT, Kind.DOUBLE),
    Kind.FLOAT: (Kind.FLOAT, Kind.DOUBLE),
    Kind.ENUM: (Kind.ENUM, Kind.STRING),
}


@dataclass(frozen=True, slots=True)
class Staged:
    """A File or Directory as the command sees it: an absolute, normal POSIX path inside the runner.

    Raises:
        BadInput: the path is relative, or not in its shortest form.
    """

    path: str

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or "\0" in self.path or self.path.startswith("//"):
            raise BadInput(f"«{shown(self.path)}» is no absolute path inside the runner")
        if any(part in ("", ".", "..") for part in self.path[1:].split("/")):
            raise BadInput(f"«{shown(self.path)}» is no normal path: empty, «.» and «..» parts are refused")

    @property
    def basename(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def nameroot(self) -> str:
        """The basename without its last extension (CWL v1.2, 5.1.3: ``.cshrc`` has none)."""
        return self.basename[: len(self.basename) - len(self.nameext)]

    @property
    def nameext(self) -> str:
        """The last extension with its dot, or nothing."""
        dot = self.basename.rfind(".")
        return self.basename[dot:] if dot > 0 else ""


@dataclass(frozen=True, slots=True)
class Carried:
    """A file of the tool's own folder: a relative path checked by :func:`workflow.name.relative_path`."""

    path: str


def read_type(part: Part, nesting: int = 1) -> tuple[Type, Part | None]:
    """The type written at ``part`` (the type DSL ``File[]?``, a schema, or a union with null).

    The second value is the ``inputBinding`` of an array schema, which binds each of its items. ``nesting`` is how
    many arrays within one another are supported.

    Raises:
        BadInput: no such type, or one that this node does not carry.
    """
    if part.is_list:
        return _read_union(part, nesting)
    if part.is_map:
        return _read_schema(part, nesting)
    text = name = part.text()
    optional = name.endswith("?")
    name = name.removesuffix("?")
    depth = 0
    while name.endswith("[]"):
        name, depth = name[:-2], depth + 1
    if name in _UNSUPPORTED or "#" in name or "/" in name:
        raise part.unsupported(f"the type «{shown(text)}» here")
    if name not in _NAMED:
        known = ", ".join(_NAMED)
        raise part.error(f"«{shown(text)}» is no type; expected one of: {known}, an array of them («[]»), «?»")
    return _bounded(part, Type(Kind(name), depth, optional), nesting), None


def _bounded(part: Part, found: Type, nesting: int) -> Type:
    if found.depth > nesting:
        raise part.unsupported(f"an array of arrays («{found}»)")
    return found


def _read_union(part: Part, nesting: int) -> tuple[Type, Part | None]:
    members = [item for item in part.items() if item.value != "null"]
    if len(members) != 1 or members[0].is_list:
        raise part.unsupported("a type that is a union of anything but one type and null")
    found, binding = read_type(members[0], nesting)
    return replace(found, optional=found.optional or len(part.items()) > 1), binding


def _read_schema(part: Part, nesting: int) -> tuple[Type, Part | None]:
    kind = part.required("type")
    if kind.value == "array":
        fields = part.record("an array type", ("type", "items", "inputBinding", "label", "doc", "name"))
        items = part.required("items")
        item, nested = read_type(items, nesting)
        if item.optional:
            raise items.unsupported("an array of optional values")
        if nested is not None:
            raise nested.unsupported("«inputBinding» within an array of arrays")
        return _bounded(items, item.array, nesting), fields.get("inputBinding")
    if kind.value == "enum":
        fields = part.record("an enum type", ("type", "symbols", "label", "doc", "name"), ("inputBinding",))
        symbols = tuple(re.split("[#/]", item.text())[-1] for item in part.required("symbols").items())
        if not symbols or len(set(symbols)) != len(symbols):
            raise part.error("an enum whose symbols are missing or given twice found")
        return Type(Kind.ENUM, symbols=symbols), None
    raise kind.unsupported(f"a type schema of {kind.described()}")


def check_value(kind: Type, value: object, files: tuple[type, ...] = (Staged,)) -> object:
    """``value`` as one of type ``kind``, arrays as tuples; ``files`` are the Python types that stand for a file.

    Raises:
        BadInput: it is none; the message says what was found and expected, and the caller says where.
    """
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
