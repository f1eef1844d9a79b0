"""Text with parameter references (CWL v1.2, 3.2 «Parameter References»), without JavaScript.

``$(inputs.NAME)``, its file properties ``path``, ``basename``, ``nameroot``, ``nameext``, and ``$(runtime.FIELD)``
for ``outdir``, ``tmpdir``, ``cores`` and ``ram``. Every other expression is refused by its text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from catalog.error import BadInput
from workflow.document import Part, shown
from workflow.type import Kind, Staged, Type

_FILE_FIELDS = ("path", "basename", "nameroot", "nameext")
_RUNTIME_FIELDS = ("outdir", "tmpdir", "cores", "ram")
_REFERENCE = re.compile(r"\$\(\s*(inputs|runtime)((?:\.[A-Za-z0-9_]+|\[(?:'[^'\\\]]+'|\"[^\"\\\]]+\")\])+)\s*\)")
_FIELD = re.compile(r"\.([A-Za-z0-9_]+)|\[['\"]([^\]]+)['\"]\]")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the runner tells the command: folders inside it, whole cores, and MiB of memory."""

    outdir: str = "/work"
    tmpdir: str = "/tmp"  # noqa: S108 (a path inside the runner)
    cores: int = 1
    ram: int = 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """``$(inputs.name.field)`` (``field`` may be empty), or ``$(runtime.field)`` where ``name`` is empty."""

    name: str
    field: str = ""

    def __str__(self) -> str:
        return f"$({'.'.join(part for part in ('inputs' if self.name else 'runtime', self.name, self.field) if part)})"


@dataclass(frozen=True, slots=True)
class Template:
    """Text and references in turn; a template of one reference alone stands for the value itself."""

    parts: tuple[str | Reference, ...]

    def __str__(self) -> str:
        return "".join(str(part) for part in self.parts)

    @property
    def alone(self) -> Reference | None:
        """The reference, where nothing stands beside it."""
        first = self.parts[0] if len(self.parts) == 1 else None
        return first if isinstance(first, Reference) else None

    def value(self, values: Mapping[str, object], runtime: Runtime) -> object:
        """What the template stands for: the referenced value itself if it is alone, else text.

        Raises:
            BadInput: as for :meth:`text`.
        """
        if self.alone is not None:
            return _look_up(self.alone, values, runtime)
        return self.text(values, runtime)

    def text(self, values: Mapping[str, object], runtime: Runtime) -> str:
        """The text, with numbers written as decimals.

        Raises:
            BadInput: a referenced input was not given a value.
        """
        found = ""
        for part in self.parts:
            value = part if isinstance(part, str) else _look_up(part, values, runtime)
            if value is None:
                raise BadInput(f"the input «{part.name if isinstance(part, Reference) else ''}» is needed for «{self}»")
            found += as_text(value)
        return found


def read_template(part: Part, inputs: Mapping[str, Type], whole: bool = False) -> Template:
    """The template written at ``part``; ``whole`` says that a reference alone may be a file or an array.

    Raises:
        BadInput: not text, an expression that is no such reference, or a reference to what the tool has not.
    """
    source = part.text()
    if ("$(" in source or "${" in source) and ("\\$" in source or "\\\\" in source):
        raise part.unsupported("a backslash before an expression")
    parts: list[str | Reference] = []
    at = 0
    for match in _REFERENCE.finditer(source):
        parts += [source[at : match.start()], _reference(part, match, inputs)]
        at = match.end()
    parts.append(source[at:])
    for text in parts:
        if isinstance(text, str) and ("$(" in text or "${" in text):
            raise part.unsupported(f"the expression in «{shown(source)}»")
    template = Template(tuple(text for text in parts if text != "") or ("",))
    for reference in template.parts:
        if isinstance(reference, Reference) and not (whole and template.alone):
            _check_textual(part, reference, inputs)
    return template


def literal(part: Part) -> str:
    """The text of ``part``, which may hold no expression.

    Raises:
        BadInput: not text, or an expression in it.
    """
    source = part.text()
    if "$(" in source or "${" in source:
        raise part.unsupported(f"the expression «{shown(source)}» here")
    return source


def as_text(value: object) -> str:
    """A scalar or a file as CWL writes it on a command line: a file's path, a decimal without an exponent."""
    if isinstance(value, Staged):
        return value.path
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        # CWL v1.2, 4.1: a number has no exponent; a whole one is written as a whole number.
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    return str(value)


def _reference(part: Part, match: re.Match[str], inputs: Mapping[str, Type]) -> Reference:
    fields = [first or second for first, second in _FIELD.findall(match[2])]
    if match[1] == "runtime":
        if len(fields) != 1 or fields[0] not in _RUNTIME_FIELDS:
            raise part.unsupported(f"«{shown(match[0])}»")
        return Reference("", fields[0])
    if fields[0] not in inputs:
        raise part.error(f"«{shown(match[0])}» found, but there is no input «{shown(fields[0])}»")
    if len(fields) == 1:
        return Reference(fields[0])
    kind = inputs[fields[0]]
    if len(fields) != 2 or fields[1] not in _FILE_FIELDS or not kind.is_file or kind.depth:
        raise part.unsupported(f"«{shown(match[0])}» on an input of type {kind}")
    return Reference(fields[0], fields[1])


def _check_textual(part: Part, reference: Reference, inputs: Mapping[str, Type]) -> None:
    if reference.name and not reference.field:
        kind = inputs[reference.name]
        if kind.depth or kind.kind in (Kind.FILE, Kind.DIRECTORY):
            raise part.unsupported(f"an input of type {kind} as text («{reference}»)")


def _look_up(reference: Reference, values: Mapping[str, object], runtime: Runtime) -> object:
    if not reference.name:
        return getattr(runtime, reference.field)
    value = values.get(reference.name)
    if not reference.field or value is None:
        return value
    return getattr(value, reference.field)
