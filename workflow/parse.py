"""The text of a CWL CommandLineTool or ExpressionTool, read into a :class:`workflow.tool.Tool`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from workflow.cwl import METADATA, confirm, read_header
from workflow.document import Part, shown
from workflow.name import plain_name, relative_path
from workflow.requirement import Requirements, read_requirements
from workflow.tool import Input, Output, Tool
from workflow.type import Kind, Type, named_types, read_type

_FIELDS: Final = (*METADATA, "inputs", "outputs", "requirements", "hints")
_TOOLS: Final = {
    "CommandLineTool": (
        *_FIELDS, "baseCommand", "arguments", "stdin", "stdout", "stderr", "successCodes", "temporaryFailCodes",
        "permanentFailCodes",
    ),
    "ExpressionTool": (*_FIELDS, "expression"),
}  # fmt: skip
_PARAMETER: Final = (
    "id", "label", "doc", "type", "streamable", "secondaryFiles", "format", "loadContents", "loadListing",
)  # fmt: skip
MAX_PARAMETERS: Final = 256
_STREAMS: Final = ("stdout", "stderr")


def parse_tool(text: str | bytes, file: str) -> Tool:
    """Read a tool of CWL v1.0, v1.1 or v1.2; ``file`` is what messages call the document.

    What it does with its inputs is not read: the evaluator has that, and says what of it is no CWL. Takes some
    milliseconds, and a second at worst: call it in a worker thread.

    Raises:
        BadInput: in one line ``FILE:LINE:COLUMN: …``: not YAML, not a tool of CWL, names that cannot be told apart, or
            a requirement that no site meets.
    """
    header = read_header(text, file)
    root = header.root
    if header.kind not in _TOOLS:
        raise root.required("class").error(f"«{header.kind}» found, {' or '.join(_TOOLS)} expected")
    root.record(f"a {header.kind}", _TOOLS[header.kind])
    requirements = read_requirements(header)
    named = named_types(root)
    inputs = _read_inputs(root.required("inputs"), named)
    outputs = _read_outputs(root.required("outputs"), named, requirements)
    lock = requirements.runs_in.lock if requirements.runs_in is not None else ""
    tool = Tool(
        id=header.id,
        kind=header.kind,
        label=header.label,
        doc=header.doc,
        version=header.version,
        inputs=inputs,
        outputs=outputs,
        files=tuple(sorted({*files_named(root), *([lock] if lock else [])})),
        reuse=requirements.reuse,
        ignored_hints=requirements.ignored_hints,
        runs_in=requirements.runs_in,
    )
    confirm(header, {"inputs": [each.name for each in inputs], "outputs": [each.name for each in outputs]})
    return tool


def files_named(part: Part) -> set[str]:
    """The paths, in the document's own folder, of the files and folders that are written out below ``part``.

    Raises:
        BadInput: one is an address, or leaves the folder.
    """
    found = set()
    for _, each in part.walk():
        fields = each.fields() if each.is_map else {}
        kind, place = fields.get("class"), fields.get("location", fields.get("path"))
        if kind is not None and kind.value in ("File", "Directory") and place is not None:
            found.add(relative_path(place))
    return found


def read_parameter(entry: Part, what: str, read: tuple[str, ...]) -> dict[str, Part]:
    """The fields of an input or output, whose short form is its type alone.

    Raises:
        BadInput: without a type, or with fields that CWL has not.
    """
    if not entry.is_map:
        return {"type": entry}
    fields = entry.record(what, (*_PARAMETER, *read))
    if "type" not in fields:
        raise entry.error(f"{what} without the field «type» found")
    return fields


def bounded(part: Part, most: int = MAX_PARAMETERS) -> list[tuple[str, Part]]:
    """The entries of ``part`` by their «id», at most ``most``.

    Raises:
        BadInput: more of them, or not in CWL's two forms.
    """
    entries = part.entries("id")
    if len(entries) > most:
        raise part.error(f"{len(entries):,} entries found, at most {most} are taken")
    return entries


def text_of(fields: Mapping[str, Part], name: str) -> str:
    """The text, or the lines, of the metadata field ``name``; empty if absent."""
    return "\n".join(line.text() for line in fields[name].one_or_more()) if name in fields else ""


def _read_inputs(part: Part, named: frozenset[str]) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an input")
        if name in found:
            raise entry.error(f"the input «{name}» is given twice")
        fields = read_parameter(entry, "an input", ("default", "inputBinding"))
        default = fields.get("default")
        found[name] = Input(
            name=name,
            type=read_type(fields["type"], named),
            default=default.plain() if default is not None else None,
            carried=default is not None and bool(files_named(default)),
            label=text_of(fields, "label"),
            doc=text_of(fields, "doc"),
        )
    return tuple(found.values())


def _read_outputs(part: Part, named: frozenset[str], requirements: Requirements) -> tuple[Output, ...]:
    found: dict[str, Output] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an output")
        if name in found:
            raise entry.error(f"the output «{name}» is given twice")
        fields = read_parameter(entry, "an output", ("outputBinding",))
        kind = Type(Kind.FILE) if fields["type"].value in _STREAMS else read_type(fields["type"], named)
        output = Output(name, kind, label=text_of(fields, "label"), doc=text_of(fields, "doc"))
        if name in requirements.disclosures:
            output = replace(output, disclosure=requirements.disclosures[name][0])
        found[name] = output
    for name, (_, place) in requirements.disclosures.items():
        if name not in found:
            raise place.error(f"«{shown(name)}» is declared here, but the tool has no output of that name")
    return tuple(found.values())
