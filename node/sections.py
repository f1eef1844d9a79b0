"""The sections of ``site.toml``: each a table of settings by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from catalog.error import BadInput


def section(table: Mapping[str, object], name: str) -> Mapping[str, object]:
    """What the file's ``table`` has under ``name``; nothing if it has no such section.

    Raises:
        BadInput: it is none.
    """
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise BadInput(f"[{name}] must be a section")
    return found


def section_of(table: Mapping[str, object], name: str, settings: type) -> Mapping[str, object]:
    """The section ``name``, whose settings are the fields of the dataclass ``settings`` and no others.

    Raises:
        BadInput: it is none, or a setting is of no known name; the message names it and those that there are.
    """
    found = section(table, name)
    known = {each.name for each in fields(settings)}
    unknown = sorted(found.keys() - known)
    if unknown:
        raise BadInput(f"[{name}] {unknown[0]} is no setting; it has: {', '.join(sorted(known))}")
    return found
