"""What ``site.toml`` lets a step use: the section ``[steps]``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from catalog.error import BadInput
from node.sections import section_of

MOST: Final = 1 << 30
"""What no setting exceeds."""


RUNNERS: Final = ("sandbox", "docker", "kubernetes", "argo")
"""What executes steps, the usual one first."""


@dataclass(frozen=True, slots=True)
class StepSettings:
    """The most that one step may use, and how many run ``at_once``: 0 for as many as the machine has processors.

    ``most_seconds`` are of the wall; ``most_cpu_seconds`` of all its processes together, as ``most_mib_memory`` and
    ``most_processes`` (threads among them) are. ``most_mib_output`` is what it leaves. ``staging`` is the folder below
    which steps are staged, none if that is the site's. ``runner`` is what executes them.
    """

    most_seconds: int = 300
    most_cpu_seconds: int = 300
    most_mib_memory: int = 1024
    most_processes: int = 64
    most_mib_output: int = 256
    at_once: int = 0
    staging: Path | None = None
    runner: str = RUNNERS[0]


LEAST: Final = StepSettings(
    most_seconds=1, most_cpu_seconds=1, most_mib_memory=64, most_processes=8, most_mib_output=1, at_once=0
)
"""Below these no step of any use runs."""


def step_settings(table: Mapping[str, object]) -> StepSettings:
    """The section ``[steps]`` of a file's ``table``; what it does not say is as it is without.

    Raises:
        BadInput: a setting is none, or of no known name; the message names it.
    """
    section = section_of(table, "steps", StepSettings)
    numbers = {name: _number(name, value) for name, value in section.items() if name not in ("staging", "runner")}
    runner = _runner(section.get("runner", RUNNERS[0]))
    return StepSettings(**numbers, staging=_staging(section.get("staging", "")), runner=runner)


def _runner(name: object) -> str:
    if not isinstance(name, str) or name not in RUNNERS:
        raise BadInput(f"[steps] runner must be one of: {', '.join(RUNNERS)}")
    return name


def _staging(place: object) -> Path | None:
    if not isinstance(place, str) or (place and not place.startswith("/")) or "\0" in place:
        raise BadInput('[steps] staging must be the whole path of a folder, such as "/dev/shm"')
    return Path(place) if place else None


def _number(name: str, value: object) -> int:
    least: int = getattr(LEAST, name)
    if type(value) is not int or not least <= value < MOST:
        raise BadInput(f"[steps] {name} must be a whole number of at least {least}")
    return value


def steps_toml(settings: StepSettings) -> str:
    """The commented section."""
    staging = '# staging = "/dev/shm"' if settings.staging is None else f"staging = {json.dumps(str(settings.staging))}"
    return f"""\
# The most that one step may use; a block may ask for less. Seconds on the wall, and of all processors; the memory and
# the processes of all that it starts; what it leaves behind. And how many run at once, 0 for as many as there are
# processors. «staging» is a folder in memory for what steps read and write while they run, which else lies below this
# one, in the clear: it needs room for the largest steps, and when it is full they fail. «runner» is what executes them:
# {", ".join(f"«{name}»" for name in RUNNERS)}; all but the first want something that runs beside this node.
[steps]
runner = "{settings.runner}"
most_seconds = {settings.most_seconds}
most_cpu_seconds = {settings.most_cpu_seconds}
most_mib_memory = {settings.most_mib_memory}
most_processes = {settings.most_processes}
most_mib_output = {settings.most_mib_output}
at_once = {settings.at_once}
{staging}
"""
