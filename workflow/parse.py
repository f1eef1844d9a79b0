"""The text of a CWL CommandLineTool, read into a :class:`workflow.tool.Tool`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from catalog.error import BadInput
from workflow.cwl import METADATA, confirm, read_header
from workflow.document import Part, shown
from workflow.name import is_file_name, is_inner_pattern, plain_name
from workflow.reference import Reference, Template, read_template
from workflow.requirement import Requirements, read_location, read_requirements
from workflow.tool import Argument, Binding, Input, Output, Tool
from workflow.type import Carried, Kind, Type, check_value, read_type

_TOOL: Final = (
    *METADATA, "inputs", "outputs", "requirements", "hints", "baseCommand", "arguments", "stdin", "stdout", "stderr",
    "successCodes", "temporaryFailCodes", "permanentFailCodes",
)  # fmt: skip
_PARAMETER: Final = ("id", "label", "doc", "type", "streamable")
_UNREAD: Final = ("secondaryFiles", "format", "loadContents", "loadListing")
MAX_PARAMETERS: Final = 256
_STREAMS: Final = ("stdout", "stderr")


def parse_tool(text: str | bytes, file: str) -> Tool:
    """Read a CommandLineTool of CWL v1.0, v1.1 or v1.2; ``file`` is what messages call the document.

    Takes some milliseconds, and a second at worst: call it in a worker thread.

    Raises:
        BadInput: in one line ``FILE:LINE:COLUMN: …``: not YAML, not CWL, or a feature that this node does not
            support yet. No feature of CWL is ignored but hints (see ``Tool.ignored_hints``) and metadata.
    """
    header = read_header(text, file)
    root = header.root
    if header.kind != "CommandLineTool":
        raise root.required("class").error(f"«{header.kind}» found, CommandLineTool expected")
    fields = root.record("a CommandLineTool", _TOOL)
    inputs = _read_inputs(root.required("inputs"))
    types = {each.name: each.type for each in inputs}
    requirements = read_requirements(header, types)
    outputs = _read_outputs(root.required("outputs"), types, requirements)
    sources = {name for each in inputs for name in _carried(each.default)}
    sources |= {each.source for each in requirements.work_files if each.source is not None}
    sources |= {requirements.runs_in.lock} if requirements.runs_in is not None and requirements.runs_in.lock else set()
    tool = Tool(
        id=header.id,
        label=header.label,
        doc=header.doc,
        version=header.version,
        inputs=inputs,
        outputs=outputs,
        base_command=tuple(word.text() for word in fields["baseCommand"].one_or_more())
        if "baseCommand" in fields
        else (),
        arguments=tuple(_read_argument(each, types) for each in fields["arguments"].items())
        if "arguments" in fields
        else (),
        stdin=_read_stdin(fields.get("stdin"), types),
        stdout=_read_stream("stdout", fields.get("stdout"), types, outputs),
        stderr=_read_stream("stderr", fields.get("stderr"), types, outputs),
        environment=requirements.environment,
        work_files=requirements.work_files,
        files=tuple(sorted(sources)),
        resources=requirements.resources,
        reuse=requirements.reuse,
        time_limit=requirements.time_limit,
        success_codes=_read_codes(fields.get("successCodes")),
        temporary_fail_codes=_read_codes(fields.get("temporaryFailCodes")),
        permanent_fail_codes=_read_codes(fields.get("permanentFailCodes")),
        ignored_hints=requirements.ignored_hints,
        runs_in=requirements.runs_in,
    )
    if tool.stdout is not None and tool.stdout == tool.stderr:
        raise fields["stderr"].unsupported("«stdout» and «stderr» in one file")
    confirm(header, {"inputs": [each.name for each in inputs], "outputs": [each.name for each in outputs]})
    return tool


def read_parameter(entry: Part, what: str, read: tuple[str, ...], refused: tuple[str, ...]) -> dict[str, Part]:
    """The fields of an input or output, whose short form is its type alone.

    Raises:
        BadInput: without a type, or with fields that are not understood.
    """
    if not entry.is_map:
        return {"type": entry}
    fields = entry.record(what, (*_PARAMETER, *read), (*_UNREAD, *refused))
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


def _read_inputs(part: Part) -> tuple[Input, ...]:
    found: dict[str, Input] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an input")
        if name in found:
            raise entry.error(f"the input «{name}» is given twice")
        fields = read_parameter(entry, "an input", ("default", "inputBinding"), ())
        kind, items = read_type(fields["type"])
        default = fields.get("default")
        found[name] = Input(
            name=name,
            type=kind,
            binding=_read_binding(fields.get("inputBinding")),
            item_binding=_read_item_binding(items, fields.get("inputBinding")),
            default=read_default(default, kind) if default is not None else None,
            label=text_of(fields, "label"),
            doc=text_of(fields, "doc"),
        )
    return tuple(found.values())


def _read_binding(part: Part | None, refused: tuple[str, ...] = ("valueFrom",)) -> Binding | None:
    if part is None:
        return None
    known = ("position", "prefix", "separate", "itemSeparator", "shellQuote", "valueFrom")
    fields = part.record("an inputBinding", [name for name in known if name not in refused], (*refused, "loadContents"))
    if "shellQuote" in fields and not fields["shellQuote"].boolean():
        raise fields["shellQuote"].unsupported("«shellQuote: false» (a shell)")
    position = fields.get("position")
    if position is not None and isinstance(position.value, str) and "$" in position.value:
        raise position.unsupported(f"the expression «{shown(position.value)}» as a position")
    binding = Binding(
        position=position.integer() if position is not None else 0,
        prefix=fields["prefix"].text() if "prefix" in fields else None,
        separate=fields["separate"].boolean() if "separate" in fields else True,
        item_separator=fields["itemSeparator"].text() if "itemSeparator" in fields else None,
    )
    if not binding.separate and binding.prefix is None:
        raise fields["separate"].error("«separate: false» found without a «prefix»")
    return binding


def _read_item_binding(part: Part | None, outer: Part | None) -> Binding | None:
    if part is None:
        return None
    if outer is None:
        raise part.unsupported("«inputBinding» on an array's items without one on the input")
    return _read_binding(part, ("valueFrom", "position", "itemSeparator"))


def read_default(part: Part, kind: Type) -> object:
    """The default at ``part`` as a checked value of ``kind``, a File as :class:`workflow.type.Carried`.

    Raises:
        BadInput: it is none of that type.
    """
    if kind.kind is Kind.DIRECTORY:
        raise part.unsupported("a default Directory")
    try:
        return check_value(kind, _plain(part, kind), (Carried,))
    except BadInput as error:
        if str(error).startswith(part.file):
            raise
        raise part.error(f"this default does not fit: {error}") from error


def _plain(part: Part, kind: Type) -> object:
    if part.is_list:
        return [_plain(item, kind) for item in part.items()]
    if part.is_map and kind.kind is Kind.FILE:
        fields = part.record(
            "a File",
            ("class", "location", "path", "basename"),
            ("contents", "secondaryFiles", "format", "checksum", "size"),
        )
        if part.required("class").value != "File":
            raise fields["class"].unexpected("File")
        path = read_location(part)
        if "basename" in fields and fields["basename"].text() != path.rpartition("/")[2]:
            raise fields["basename"].unsupported("a «basename» other than the file's own")
        return Carried(path)
    return plain_value(part)


def plain_value(part: Part) -> object:
    """The scalar at ``part``, or the list of them, in Python's own types.

    Raises:
        BadInput: a map (a File, a Directory, a record).
    """
    if part.is_list:
        return tuple(plain_value(item) for item in part.items())
    match part.value:
        case bool() | None:
            return part.value
        case int():
            return part.integer()
        case float():
            return part.number()
        case str():
            return part.text()
        case _:
            raise part.unsupported(f"{part.described()} as a value")


def _carried(default: object) -> list[str]:
    values = default if isinstance(default, tuple) else (default,)
    return [value.path for value in values if isinstance(value, Carried)]


def _read_argument(part: Part, types: Mapping[str, Type]) -> Argument:
    if not part.is_map:
        return Argument(read_template(part, types, whole=True))
    binding = _read_binding(part, ())
    return Argument(read_template(part.required("valueFrom"), types, whole=True), binding or Binding())


def _read_stdin(part: Part | None, types: Mapping[str, Type]) -> Reference | None:
    if part is None:
        return None
    reference = read_template(part, types).alone
    if reference is None or reference.field != "path":
        raise part.unsupported("«stdin» other than $(inputs.NAME.path)")
    return reference


def _read_stream(
    name: str, part: Part | None, types: Mapping[str, Type], outputs: tuple[Output, ...]
) -> Template | None:
    """The file that takes a standard stream; one of our naming where an output asks for it and the tool names none."""
    if part is not None:
        template = read_template(part, types)
        fixed = all(isinstance(text, str) for text in template.parts)
        if fixed and not is_file_name(str(template)):
            raise part.error(f"«{shown(template)}» found, the name of a file in the working folder expected")
        return template
    asking = [each.name for each in outputs if each.stream == name]
    return Template((f"{asking[0]}.{name}",)) if asking else None


def _read_codes(part: Part | None) -> tuple[int, ...]:
    return tuple(code.integer() for code in part.items()) if part is not None else ()


def _read_outputs(part: Part, types: Mapping[str, Type], requirements: Requirements) -> tuple[Output, ...]:
    found: dict[str, Output] = {}
    for identifier, entry in bounded(part):
        name = plain_name(entry, identifier, "an output")
        if name in found:
            raise entry.error(f"the output «{name}» is given twice")
        fields = read_parameter(entry, "an output", ("outputBinding",), ())
        output = _read_output(name, entry, fields, types)
        if name in requirements.disclosures:
            output = replace(output, disclosure=requirements.disclosures[name][0])
        found[name] = output
    for name, (_, place) in requirements.disclosures.items():
        if name not in found:
            raise place.error(f"«{shown(name)}» is declared here, but the tool has no output of that name")
    return tuple(found.values())


def _read_output(name: str, entry: Part, fields: Mapping[str, Part], types: Mapping[str, Type]) -> Output:
    label, doc = text_of(fields, "label"), text_of(fields, "doc")
    binding = fields.get("outputBinding")
    if fields["type"].value in _STREAMS:
        if binding is not None:
            raise binding.error("«outputBinding» found on an output that is a stream: remove it")
        return Output(name, Type(Kind.FILE), stream=fields["type"].text(), label=label, doc=doc)
    kind, items = read_type(fields["type"])
    if kind.kind is not Kind.FILE or items is not None:
        raise fields["type"].unsupported(f"an output of type {kind}")
    if binding is None:
        raise entry.unsupported(f"the output «{name}» without a «glob» (cwl.output.json)")
    glob = binding.record("an outputBinding", ("glob",), ("loadContents", "loadListing", "outputEval")).get("glob")
    if glob is None:
        raise binding.error("the field «glob» is missing here")
    globs = []
    for pattern in glob.one_or_more():
        template = read_template(pattern, types)
        if all(isinstance(text, str) for text in template.parts) and not is_inner_pattern(str(template)):
            raise pattern.error(f"«{shown(template)}» found, a pattern inside the working folder expected")
        globs.append(template)
    return Output(name, kind, globs=tuple(globs), label=label, doc=doc)
