"""The sections of ``site.toml``: each a table of settings by their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields

from catalog.error import BadInput, shown


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
    _check_settings(name, found, names_of(settings))
    return found


def names_of(settings: type) -> tuple[str, ...]:
    """The settings that are the fields of the dataclass ``settings``."""
    return tuple(each.name for each in fields(settings))


def check_names(table: Mapping[str, object], outside: Collection[str], sections: Mapping[str, Collection[str]]) -> None:
    """Check that the file's ``table`` has, outside of sections and in each of them, no settings but these.

    Raises:
        BadInput: a section or a setting is of no known name; the message names it and those that there are.
    """
    for name, found in table.items():
        if isinstance(found, dict) and name in sections:
            _check_settings(name, found, sections[name])
        elif name not in (*outside, *sections):
            told = f"[{shown(name)}] is no section" if isinstance(found, dict) else f"«{shown(name)}» is no setting"
            raise BadInput(f"{told}; the file has: {', '.join([*outside, *(f'[{each}]' for each in sections)])}")


def _check_settings(name: str, found: Mapping[str, object], known: Collection[str]) -> None:
    unknown = sorted(found.keys() - set(known))
    if unknown:
        raise BadInput(f"[{name}] {shown(unknown[0])} is no setting; it has: {', '.join(sorted(known))}")
