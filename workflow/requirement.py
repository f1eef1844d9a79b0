"""Requirements and hints of a tool: what a node has to know of them, and those that no site meets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from workflow.cwl import Header, read_hints
from workflow.document import OURS, Part, shown
from workflow.name import relative_path
from workflow.tool import Disclosure, Environment

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_UNMET: Final = {
    "DockerRequirement": "name the image that it runs in by the hint comity:Environment",
    "SoftwareRequirement": "carry what it needs by the hint comity:Environment",
    "NetworkAccess": "a step has no network",
    "MPIRequirement": "a step runs on one machine",
}
"""Requirements that say where a tool runs, or with what, and so cannot be passed over."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a node has to know of what a tool requires and hints at.

    ``disclosures`` are by output, with the place that declares each.
    """

    disclosures: Mapping[str, tuple[Disclosure, Part]] = field(default_factory=dict)
    reuse: bool = True
    ignored_hints: tuple[str, ...] = ()
    runs_in: Environment | None = None


def read_requirements(header: Header) -> Requirements:
    """The requirements and hints of the tool at ``header``; a requirement wins over a hint of its class.

    Raises:
        BadInput: a requirement that no site meets, or a hint of ours that is malformed.
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
        elif name == "WorkReuse":
            found = replace(found, reuse=_read_reuse(body))
        elif name in _UNMET:
            ignored += (name,)
    for name, body in fields["requirements"].entries("class") if "requirements" in fields else ():
        check_met(name, body)
        if name == "WorkReuse":
            found = replace(found, reuse=_read_reuse(body))
    return replace(found, ignored_hints=ignored)


def check_met(name: str, body: Part) -> None:
    """Check that the requirement ``name`` is not one that no site meets.

    Raises:
        BadInput: it is.
    """
    if ":" in name:
        raise body.error(f"no site meets the requirement «{shown(name)}»: it is none of CWL's")
    fields = body.fields() if body.is_map else {}
    harmless = name == "NetworkAccess" and "networkAccess" in fields and fields["networkAccess"].value is False
    if name in _UNMET and not harmless:
        raise body.error(f"no site meets the requirement «{shown(name)}»: {_UNMET[name]}")


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


def _read_reuse(body: Part) -> bool:
    """Whether it makes the same of the same; not, as far as anybody knows, where an expression says it."""
    enabled = body.record("WorkReuse", ("class", "enableReuse")).get("enableReuse")
    if enabled is None:
        raise body.error("the field «enableReuse» is missing here")
    return False if isinstance(enabled.value, str) else enabled.boolean()
