"""What ``site.toml`` lets a step use: the section ``[steps]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from catalog.error import BadInput

MOST: Final = 1 << 30
"""What no setting exceeds."""


@dataclass(frozen=True, slots=True)
class StepSettings:
    """The most that one step may use, and how many run ``at_once``: 0 for as many as the machine has processors.

    ``most_seconds`` are of the wall; ``most_cpu_seconds`` of all its processes together, as ``most_mib_memory`` and
    ``most_processes`` (threads among them) are. ``most_mib_output`` is what it leaves.
    """

    most_seconds: int = 300
    most_cpu_seconds: int = 300
    most_mib_memory: int = 1024
    most_processes: int = 64
    most_mib_output: int = 256
    at_once: int = 0


LEAST: Final = StepSettings(
    most_seconds=1, most_cpu_seconds=1, most_mib_memory=64, most_processes=8, most_mib_output=1, at_once=0
)
"""Below these no step of any use runs."""


def step_settings(table: Mapping[str, object]) -> StepSettings:
    """The section ``[steps]`` of a file's ``table``; what it does not say is as it is without.

    Raises:
        BadInput: a setting is none, or of no known name; the message names it.
    """
    section = table.get("steps", {})
    if not isinstance(section, dict):
        raise BadInput("[steps] must be a section")
    known = {field.name for field in fields(StepSettings)}
    unknown = sorted(section.keys() - known)
    if unknown:
        raise BadInput(f"[steps] {unknown[0]} is no setting; it has: {', '.join(sorted(known))}")
    return StepSettings(**{name: _number(name, value) for name, value in section.items()})


def _number(name: str, value: object) -> int:
    least: int = getattr(LEAST, name)
    if type(value) is not int or not least <= value < MOST:
        raise BadInput(f"[steps] {name} must be a whole number of at least {least}")
    return value


def steps_toml(settings: StepSettings) -> str:
    """The commented section."""
    return f"""\
# The most that one step may use; a block may ask for less. Seconds on the wall, and of all processors; the memory and
# the processes of all that it starts; what it leaves behind. And how many run at once, 0 for as many as there are
# processors.
[steps]
most_seconds = {settings.most_seconds}
most_cpu_seconds = {settings.most_cpu_seconds}
most_mib_memory = {settings.most_mib_memory}
most_processes = {settings.most_processes}
most_mib_output = {settings.most_mib_output}
at_once = {settings.at_once}
"""
