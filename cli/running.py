"""What ``comity site status`` shows of the place where steps run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from catalog.plural import counted
from cli.offer import speed_text

if TYPE_CHECKING:
    from node.api.running import LimitsView, StepsView
    from node.api.schema import StatusView


def steps_rows(view: StatusView) -> Iterator[tuple[str, str]]:
    """Lines for the terminal: runner, queue, limits, speed, environments, and what is not guaranteed here."""
    steps = view.steps
    if steps is None:
        yield "runner", f"{view.runner}: {view.runner_fault}" if view.runner_fault else view.runner
        return
    yield "runner", _runner(steps, view.runner_fault)
    yield "steps", f"{steps.running} running, {steps.waiting} waiting, at most {steps.at_once} at once; {steps.load}"
    yield "each at most", _limits(steps.limits)
    if steps.speed is not None:
        from node.api.quantity import clock_text

        yield "speed", f"{speed_text(steps.speed)} (1000 is the reference), measured {clock_text(steps.speed.at)}"
    for cid in steps.environments:
        yield "environment", str(cid)
    for line in steps.lacks:
        yield "not given", line


def _runner(steps: StepsView, fault: str) -> str:
    from node.api.quantity import clock_text

    name = f"{steps.runner} ({steps.version or 'does not answer'})"
    proven = f"showed its isolation at {clock_text(steps.proven)}" if steps.proven else "never showed its isolation"
    return f"{name}: NO STEP RUNS: {fault} ({proven})" if fault else f"{name}: {proven}"


def _limits(limits: LimitsView) -> str:
    return (
        f"{limits.seconds:,} s, {limits.cpu_seconds:,} s of processors, {limits.memory_mib:,} MiB of memory,"
        f" {counted(limits.processes, 'process')}, {limits.output_mib:,} MiB in {counted(limits.output_files, 'file')}"
    )
