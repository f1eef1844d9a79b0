"""Links that a step left, followed by their texts alone.

A link is what a stranger wrote: it is never followed on this machine. What it says is read in the step's own namespace,
of which ``/work`` and ``/inputs`` are all that it can lead to.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Final

INPUTS: Final = "/inputs"
WORK: Final = "/work"
MOST_LINKS: Final = 40
"""On the way to one file, as Linux has it (path_resolution(7))."""

MOST_CHARACTERS: Final = 4095
"""Of what one link says (PATH_MAX)."""


def followed(name: str, links: Mapping[str, str]) -> str | None:
    """What the absolute ``name`` leads to through ``links``, which have for the name of each what it says.

    None if that is neither below ``/work`` nor below ``/inputs``, or the way goes in circles. The result has no link,
    ``.`` or ``..`` in it.
    """
    at, left, passed = "/", name.split("/")[::-1], 0
    while left:
        part = left.pop()
        if part == "..":
            at = posixpath.dirname(at)
        if part in ("", ".", ".."):
            continue
        at = posixpath.join(at, part)
        said = links.get(at)
        if said is None:
            continue
        passed += 1
        if passed > MOST_LINKS or len(said) > MOST_CHARACTERS or "\0" in said:
            return None
        at = "/" if said.startswith("/") else posixpath.dirname(at)
        left += said.split("/")[::-1]
    return at if is_within(at, WORK) or is_within(at, INPUTS) else None


def is_within(name: str, folder: str) -> bool:
    """Whether ``name`` is ``folder``, or lies in it."""
    return name == folder or name.startswith(f"{folder}/")
