"""What a step may use: the site's bounds, and within them what its block asks for."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from catalog.error import BadInput
from catalog.offer import Most
from node.execute.cwl.message import Ready
from node.step import Limits
from node.stepsettings import StepSettings

_MIB: Final = 1 << 20
_UNBOUNDED: Final = float("inf")


def limits_of(settings: StepSettings) -> Limits:
    """The site's bounds, as its operator set them."""
    return Limits(
        wall_seconds=float(settings.most_seconds),
        cpu_seconds=settings.most_cpu_seconds,
        memory_bytes=settings.most_mib_memory * _MIB,
        processes=settings.most_processes,
        output_bytes=settings.most_mib_output * _MIB,
    )


def within(limits: Limits, most: Most | None) -> Limits:
    """The operator's ``limits``, within what the site's steward offers to a step; all of them if that says nothing."""
    if most is None:
        return limits
    return replace(
        limits,
        wall_seconds=min(limits.wall_seconds, float(most.seconds)),
        cpu_seconds=min(limits.cpu_seconds, most.cpu_seconds),
        memory_bytes=min(limits.memory_bytes, most.memory_mib * _MIB),
    )


def allowed(limits: Limits, ready: Ready, seconds: float) -> Limits:
    """This site's ``limits``, within what the tool asks for (ToolTimeLimit, ``ramMax``) and the order's time.

    Raises:
        BadInput: it needs more than this site gives; of what, and how much there is.
    """
    asked, scratch = ready.asked, limits.memory_bytes // 2
    for what, needed, given in (
        ("MiB of memory", "ramMin", limits.memory_bytes // _MIB),
        ("processors", "coresMin", os.cpu_count() or 1),
        ("MiB of room for what it makes", "outdirMin", limits.output_bytes // _MIB),
        ("MiB of room for scratch files", "tmpdirMin", scratch // _MIB),
    ):
        if asked.get(needed, 0.0) > given:
            raise BadInput(f"it asks for {asked[needed]:,.0f} {what}, and this site gives {given:,}")
    if ready.network:
        raise BadInput("it asks for a network, and no step has one")
    return replace(
        limits,
        memory_bytes=int(min(limits.memory_bytes, asked.get("ramMax", _UNBOUNDED) * _MIB)),
        wall_seconds=min(limits.wall_seconds, seconds, ready.seconds or _UNBOUNDED),
    )
