"""A CWL document as text with places: bounded YAML, and a :class:`Part` for every value in it.

Documents come from peers. So the text is capped, and so are depth and number of values; anchors, aliases, merge
keys, tags and directives are refused (an alias bomb is 300 bytes of them), and so is every directive that makes
CWL readers open another file or address (``$import``, ``$include``, ``$mixin``, ``$schemas``, ``$base``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from catalog.error import BadInput

if TYPE_CHECKING:
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.constructor import RoundTripConstructor

MAX_TEXT: Final = 256 << 10
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 20_000
OURS: Final = "urn:comity:cwl#"
"""The namespace of Comity's own hints; ``$namespaces: {comity: "urn:comity:cwl#"}`` gives it its prefix."""

_LONGEST_SHOWN = 60
_READ_ELSEWHERE = ("$import", "$include", "$mixin")
_SCALARS = (str, bool, int, float, type(None))


def shown(value: object) -> str:
    """``value`` as a message may quote it: one line, printable, short."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(value)[: _LONGEST_SHOWN + 1])
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One value of a document and its place: ``line`` and ``column`` count from 1.

    ``value`` is None, bool, int, float, str, or a map or list whose members are read through :meth:`fields`,
    :meth:`entries` and :meth:`items`.
    """

    value: object
    file: str
    line: int
    column: int

    def error(self, message: str) -> BadInput:
        """The one-line error ``FILE:LINE:COLUMN: message`` for the caller to raise."""
        return BadInput(f"{self.file}:{self.line}:{self.column}: {message}")

    def unsupported(self, feature: str) -> BadInput:
        """The error for what CWL knows and this node does not do yet."""
        return self.error(f"{feature} is not supported by this node yet")

    def unexpected(self, expected: str) -> BadInput:
        """The error for a value that is not what CWL has here."""
        return self.error(f"{self.described()} found, {expected} expected")

    def described(self) -> str:
        """What stands here, for a message."""
        if isinstance(self.value, Mapping):
            return "a map"
        if isinstance(self.value, Sequence) and not isinstance(self.value, str):
            return "a list"
        if self.value is None:
            return "nothing"
        return f"«{shown(str(self.value).lower() if isinstance(self.value, bool) else self.value)}»"

    @property
    def is_map(self) -> bool:
        """Whether this is a map."""
        return isinstance(self.value, Mapping)

    @property
    def is_list(self) -> bool:
        """Whether this is a list."""
        return isinstance(self.value, Sequence) and not isinstance(self.value, str)

    def items(self) -> list[Part]:
        """The members of a list.

        Raises:
            BadInput: not a list.
        """
        if not isinstance(self.value, Sequence) or isinstance(self.value, str):
            raise self.unexpected("a list")
        return [self._member(index, item) for index, item in enumerate(self.value)]

    def one_or_more(self) -> list[Part]:
        """The members of a list, or this value as the only member."""
        return self.items() if self.is_list else [self]

    def fields(self) -> dict[str, Part]:
        """The fields of a map, in the order of the text. A field that holds null is as good as absent.

        Raises:
            BadInput: not a map.
        """
        if not isinstance(self.value, Mapping):
            raise self.unexpected("a map")
        return {key: self._member(key, item) for key, item in self.value.items() if item is not None}

    def record(self, what: str, read: Collection[str], refused: Collection[str] = ()) -> dict[str, Part]:
        """The fields of ``what``, a map that may hold the fields ``read`` and no others.

        ``refused`` are those that CWL knows and this node does not do. Names with a colon are metadata of other
        vocabularies (CWL v1.2, 3.3 «Extensions and metadata») and are left out of the answer.

        Raises:
            BadInput: a field of neither kind, or one in Comity's namespace.
        """
        fields = self.fields()
        for name in list(fields):
            if name in read:
                continue
            if name in refused:
                raise fields[name].unsupported(f"«{name}» on {what}")
            if ":" not in name or name.startswith((OURS, "comity:")):
                raise fields[name].error(f"«{shown(name)}» is no field of {what}; expected one of: {', '.join(read)}")
            del fields[name]
        return fields

    def entries(self, subject: str) -> list[tuple[str, Part]]:
        """Named entries in either of CWL's two forms: a map by name, or a list of maps with the field ``subject``.

        Raises:
            BadInput: neither form, or a name given twice.
        """
        if self.is_map:
            return [(name, self._member(name, body)) for name, body in self._raw_fields()]
        found: dict[str, Part] = {}
        for item in self.items():
            name = item.required(subject).text()
            if name in found:
                raise item.error(f"«{shown(name)}» is given twice")
            found[name] = item
        return list(found.items())

    def required(self, name: str) -> Part:
        """The field ``name`` of a map.

        Raises:
            BadInput: not a map, or without that field.
        """
        part = self.fields().get(name)
        if part is None:
            raise self.error(f"the field «{name}» is missing here")
        return part

    def text(self) -> str:
        """This value as text.

        Raises:
            BadInput: it is not text (numbers and true or false must be quoted).
        """
        if not isinstance(self.value, str):
            raise self.unexpected("text")
        return str(self.value)

    def boolean(self) -> bool:
        """This value as true or false.

        Raises:
            BadInput: it is neither.
        """
        if not isinstance(self.value, bool):
            raise self.unexpected("true or false")
        return self.value

    def integer(self) -> int:
        """This value as a whole number.

        Raises:
            BadInput: it is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            raise self.unexpected("a whole number")
        return int(self.value)

    def number(self) -> float:
        """This value as a number.

        Raises:
            BadInput: it is none.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.unexpected("a number")
        return float(self.value)

    def plain(self) -> object:
        """This value in Python's own types: dict, list, str, bool, int, float, None."""
        if self.is_map:
            return {name: member.plain() for name, member in self.fields().items()}
        if self.is_list:
            return [member.plain() for member in self.items()]
        match self.value:
            case bool() | None:
                return self.value
            case int():
                return int(self.value)
            case float():
                return float(self.value)
            case _:
                return str(self.value)

    def walk(self) -> Iterator[tuple[str, Part]]:
        """Every value below this one with its field name (empty for members of lists), this one first."""
        stack = [("", self)]
        while stack:
            name, part = stack.pop()
            yield name, part
            if part.is_map:
                stack.extend((key, part._member(key, item)) for key, item in part._raw_fields())
            elif part.is_list:
                stack.extend(("", item) for item in part.items())

    def _raw_fields(self) -> list[tuple[str, object]]:
        return list(self.value.items()) if isinstance(self.value, Mapping) else []

    def _member(self, key: str | int, value: object) -> Part:
        """The member under ``key``, placed at itself, or at its key where it begins on a later line."""
        places = getattr(getattr(self.value, "lc", None), "data", None) or {}
        place = places.get(key)
        if place is None:
            return Part(value, self.file, self.line, self.column)
        line, column = place[:2]
        if len(place) == 4 and place[2] == line:
            column = place[3]
        return Part(value, self.file, line + 1, column + 1)


def read_document(text: str | bytes, file: str) -> Part:
    """Read one YAML or JSON document of at most 256 KiB; ``file`` is what messages call it.

    This takes up to a second of processor time for the largest document: call it in a worker thread.

    Raises:
        BadInput: too large, not UTF-8, not YAML, or with anything in it that this module's first lines exclude.
    """
    from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
    from ruamel.yaml.main import YAML

    class Alone(YAML):
        """The library's loader, which else searches the folders of its package for plug-ins, each time."""

        def official_plug_ins(self) -> list[str]:
            return []

    loader = Alone(typ="rt", pure=True)
    loader.max_depth = MAX_DEPTH
    loader.Constructor = _plain_constructor()
    loader.Composer = _bounded_composer(file)
    try:
        tree: object = loader.load(_decoded(text, file))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = str(error.problem or error.context or "malformed").strip().splitlines()[0]
        raise BadInput(f"{file}:{line}:{column}: not YAML: {shown(problem)}") from error
    except YAMLStreamError as error:
        raise BadInput(f"{file}:1:1: not YAML: a character that text may not hold") from error
    except (YAMLError, ValueError, OverflowError) as error:
        # ruamel.yaml turns a number of thousands of digits into a ValueError of Python's.
        raise BadInput(f"{file}:1:1: not YAML: {shown(error)}") from error
    root = Part(tree, file, 1, 1)
    _check_values(root)
    return root


def _decoded(text: str | bytes, file: str) -> str:
    try:
        data = text if isinstance(text, bytes) else text.encode()
        if len(data) > MAX_TEXT:
            raise BadInput(f"{file}:1:1: {len(data):,} bytes found, at most {MAX_TEXT:,} are read")
        return data.decode()
    except UnicodeError as error:
        raise BadInput(f"{file}:1:1: not text: its bytes are not UTF-8") from error


def _check_values(root: Part) -> None:
    """Refuse what no reader after this one should have to think of."""
    if not root.is_map:
        raise root.unexpected("a map with the fields cwlVersion and class")
    for name, part in root.walk():
        if name in _READ_ELSEWHERE:
            raise part.error(f"«{name}» was refused: a document is read alone, so write what it names here")
        for text in (name, part.value):
            if isinstance(text, str) and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
                raise part.error("a character found that no file name or argument can hold")
        if isinstance(part.value, float) and not math.isfinite(part.value):
            raise part.unexpected("a finite number")
        if isinstance(part.value, int) and not -(1 << 63) <= part.value < 1 << 63:
            raise part.error("a number of more than 64 bits found")
        if not (part.is_map or part.is_list or isinstance(part.value, _SCALARS)):
            raise part.error(f"a YAML {type(part.value).__name__} found, text, a number, a list or a map expected")
        if isinstance(part.value, Mapping) and not all(isinstance(key, str) for key in part.value):
            raise part.error("a field name found that is not text: put it in quotes")


def _plain_constructor() -> type[RoundTripConstructor]:
    """The YAML constructor for which what looks like a date is text, as in CWL, and all text is Python's own."""
    from ruamel.yaml.constructor import RoundTripConstructor

    class Plain(RoundTripConstructor):
        """Knows no dates, and of no text how it was written."""

        def construct_scalar(self, node: object) -> str:
            # The library has types for text in quotes and in blocks, which what writes JSON and CBOR does not take.
            return str(super().construct_scalar(node))

    Plain.add_constructor("tag:yaml.org,2002:timestamp", lambda _constructor, node: node.value)
    return Plain


def _bounded_composer(file: str) -> type[Composer]:
    """The YAML composer that refuses, before anything is built from it, what makes a small text a large value."""
    from ruamel.yaml.composer import Composer
    from ruamel.yaml.events import AliasEvent, NodeEvent, ScalarEvent

    class Bounded(Composer):
        """Composes one document of at most ``MAX_VALUES`` values, each written out where it stands."""

        count = 0

        def compose_document(self) -> object:
            start = self.parser.peek_event()
            if getattr(start, "version", None) or getattr(start, "tags", None):
                _refuse(start, "a YAML directive (%) was refused: remove it")
            return super().compose_document()

        def compose_node(self, parent: object, index: object) -> object:
            event = self.parser.peek_event()
            self.count += 1
            if self.count > MAX_VALUES:
                _refuse(event, f"more than {MAX_VALUES:,} values found")
            if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
                _refuse(event, "a YAML anchor or alias (& or *) was refused: write the value out")
            if getattr(event, "tag", None):
                _refuse(event, "a YAML tag (!) was refused: remove it")
            if parent is not None and index is None and not isinstance(event, ScalarEvent):
                _refuse(event, "a list or map found as a field's name, text expected")
            if isinstance(event, ScalarEvent) and event.value == "<<":
                _refuse(event, "a YAML merge (<<) was refused: write the fields out")
            return super().compose_node(parent, index)

    def _refuse(event: object, message: str) -> NoReturn:
        mark = getattr(event, "start_mark", None)
        place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise BadInput(f"{file}:{place}: {message}")

    return Bounded
