"""Requirements and hints of a CommandLineTool: those that this node acts on; each other requirement is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from workflow.cwl import Header, read_hints
from workflow.document import OURS, Part, shown
from workflow.name import relative_path
from workflow.reference import Template, literal, read_template
from workflow.tool import Disclosure, Environment, Resources, WorkFile
from workflow.type import Type

MAX_WORK_FILES: Final = 1_000

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_RESOURCES = {
    "coresMin": "cores_min",
    "coresMax": "cores_max",
    "ramMin": "ram_min",
    "ramMax": "ram_max",
    "tmpdirMin": "tmpdir_min",
    "tmpdirMax": "tmpdir_max",
    "outdirMin": "outdir_min",
    "outdirMax": "outdir_max",
}


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a tool requires and hints at. ``disclosures`` are by output, with the place that declares each."""

    environment: tuple[tuple[str, Template], ...] = ()
    work_files: tuple[WorkFile, ...] = ()
    resources: Resources = field(default_factory=Resources)
    disclosures: Mapping[str, tuple[Disclosure, Part]] = field(default_factory=dict)
    reuse: bool = True
    time_limit: float | None = None
    ignored_hints: tuple[str, ...] = ()
    runs_in: Environment | None = None


def read_requirements(header: Header, inputs: Mapping[str, Type]) -> Requirements:
    """The requirements and hints of the tool at ``header``; a requirement wins over a hint of its class.

    Raises:
        BadInput: a requirement that this node does not meet, or one it does that is malformed.
    """
    fields = header.root.fields()
    found = Requirements()
    hints, ignored = read_hints(header, fields.get("hints"))
    for name, body in hints.items():
        if name == OURS + "Output":
            found = replace(found, disclosures=_read_disclosures(body))
        elif name == OURS + "Environment":
            found = replace(found, runs_in=_read_runs_in(body))
        elif name.startswith(OURS):
            raise body.error(
                f"«{shown(name)}» is no hint of Comity's; expected «comity:Output» or «comity:Environment»"
            )
        elif name in _READERS:
            found = _READERS[name](found, body, inputs)
        else:
            ignored += (name,)
    for name, body in fields["requirements"].entries("class") if "requirements" in fields else ():
        if name in _READERS:
            found = _READERS[name](found, body, inputs)
        elif name == "NetworkAccess" and body.required("networkAccess").value is False:
            continue
        else:
            raise body.unsupported(f"the requirement «{shown(name)}»")
    return replace(found, ignored_hints=ignored)


def _read_disclosures(body: Part) -> dict[str, tuple[Disclosure, Part]]:
    """``comity:Output: {NAME: {type: TYPE}}``."""
    found: dict[str, tuple[Disclosure, Part]] = {}
    for name, declared in body.fields().items():
        if name == "class":
            continue
        kind = declared.record("an output's declaration", ("type",)).get("type", declared)
        if kind.value not in tuple(Disclosure):
            raise kind.unexpected(f"one of {', '.join(Disclosure)}")
        found[name] = (Disclosure(kind.text()), declared)
    return found


def _read_runs_in(body: Part) -> Environment:
    """``comity:Environment: {lock: FILE}`` or ``{image: "sha256:…"}``."""
    fields = body.record("comity:Environment", ("class", "lock", "image"))
    lock, image = fields.get("lock"), fields.get("image")
    if lock is not None and image is None:
        return Environment(lock=relative_path(lock))
    if image is not None and lock is None:
        if not isinstance(image.value, str) or not _DIGEST.fullmatch(image.value):
            raise image.unexpected("the digest of an image, as sha256:…")
        return Environment(image=image.value)
    raise body.error("«comity:Environment» names a «lock» or an «image», and not both")


def _read_environment(found: Requirements, body: Part, inputs: Mapping[str, Type]) -> Requirements:
    fields = body.record("EnvVarRequirement", ("class", "envDef"))
    variables: dict[str, Template] = {}
    for name, value in fields["envDef"].entries("envName") if "envDef" in fields else ():
        if not name.isprintable() or not name or "=" in name or "$(" in name:
            raise value.error(f"«{shown(name)}» cannot name an environment variable")
        given = value.record("envDef", ("envName", "envValue")).get("envValue", value) if value.is_map else value
        variables[name] = read_template(given, inputs)
    return replace(found, environment=tuple(variables.items()))


def _read_resources(found: Requirements, body: Part, _inputs: Mapping[str, Type]) -> Requirements:
    fields = body.record("ResourceRequirement", ("class", *_RESOURCES))
    amounts: dict[str, float] = {}
    for name, field_name in _RESOURCES.items():
        if name in fields:
            part = fields[name]
            if isinstance(part.value, str) and "$" in part.value:
                raise part.unsupported(f"an expression in «{name}»")
            amounts[field_name] = part.number()
            if amounts[field_name] < 0:
                raise part.unexpected("a number of at least 0")
    for low in ("cores", "ram", "tmpdir", "outdir"):
        if amounts.get(f"{low}_max", float("inf")) < amounts.get(f"{low}_min", 0.0):
            raise body.error(f"«{low}Max» found below «{low}Min»")
    return replace(found, resources=Resources(**amounts))


def _read_reuse(found: Requirements, body: Part, _inputs: Mapping[str, Type]) -> Requirements:
    enabled = body.record("WorkReuse", ("class", "enableReuse")).get("enableReuse")
    if enabled is None:
        raise body.error("the field «enableReuse» is missing here")
    if isinstance(enabled.value, str) and "$" in enabled.value:
        raise enabled.unsupported("an expression in «enableReuse»")
    return replace(found, reuse=enabled.boolean())


def _read_time_limit(found: Requirements, body: Part, _inputs: Mapping[str, Type]) -> Requirements:
    limit = body.record("ToolTimeLimit", ("class", "timelimit")).get("timelimit")
    if limit is None:
        raise body.error("the field «timelimit» is missing here")
    if isinstance(limit.value, str) and "$" in limit.value:
        raise limit.unsupported("an expression in «timelimit»")
    if limit.number() < 0:
        raise limit.unexpected("a number of at least 0")
    return replace(found, time_limit=limit.number() or None)  # 0 is none (CWL v1.2, 5.11)


def _read_work_files(found: Requirements, body: Part, _inputs: Mapping[str, Type]) -> Requirements:
    listing = body.record("InitialWorkDirRequirement", ("class", "listing")).get("listing")
    if listing is None:
        raise body.error("the field «listing» is missing here")
    if not listing.is_list:
        raise listing.unsupported("a «listing» that is no list")
    if len(listing.items()) > MAX_WORK_FILES:
        raise listing.error(f"{len(listing.items()):,} entries found, at most {MAX_WORK_FILES:,} are taken")
    files = tuple(_read_work_file(entry) for entry in listing.items())
    names: set[str] = set()
    for entry, file in zip(listing.items(), files, strict=True):
        if file.name in names or any(
            other.startswith(file.name + "/") or file.name.startswith(other + "/") for other in names
        ):
            raise entry.error(f"«{shown(file.name)}» is written twice, or is a file and a folder")
        names.add(file.name)
    return replace(found, work_files=files)


def _read_work_file(entry: Part) -> WorkFile:
    if not entry.is_map:
        raise entry.unsupported(f"{entry.described()} as an entry of «listing»")
    fields = entry.fields()
    if fields.get("class", entry).value == "File":
        return _read_file_entry(entry)
    if "entry" not in fields:
        raise entry.unsupported("an entry of «listing» other than a File or an entry with its text")
    fields = entry.record("an entry of «listing»", ("entryname", "entry", "writable"))
    body = fields["entry"]
    writable = "writable" in fields and fields["writable"].boolean()
    text = literal(body)
    return WorkFile(relative_path(entry.required("entryname")), text=text, writable=writable)


def _read_file_entry(entry: Part) -> WorkFile:
    known = ("class", "location", "path", "basename", "contents")
    fields = entry.record("a File", known, ("secondaryFiles", "format", "checksum", "size"))
    if "contents" in fields:
        return WorkFile(relative_path(entry.required("basename")), text=fields["contents"].text())
    source = read_location(entry)
    name = relative_path(fields["basename"]) if "basename" in fields else source.rpartition("/")[2]
    return WorkFile(name, source=source)


def read_location(part: Part) -> str:
    """The path, in the tool's own folder, of the File literal at ``part``.

    Raises:
        BadInput: neither «location» nor «path», or one that leaves the folder.
    """
    fields = part.fields()
    place = fields.get("location", fields.get("path"))
    if place is None:
        raise part.error("the field «location» is missing here")
    return relative_path(place)


_READERS: Final = {
    "EnvVarRequirement": _read_environment,
    "ResourceRequirement": _read_resources,
    "InitialWorkDirRequirement": _read_work_files,
    "WorkReuse": _read_reuse,
    "ToolTimeLimit": _read_time_limit,
}
