"""What the local interface says of the place where steps run: its runner, its queue, its limits, its load."""

from __future__ import annotations

from catalog.capacity import Load, Speed
from catalog.cid import Cid
from catalog.dagcbor import Value


class LimitsView(Value, frozen=True, kw_only=True):
    """The most that one step may use here: of the wall and of all processors, of memory, and of what it leaves."""

    seconds: int
    cpu_seconds: int
    memory_mib: int
    processes: int
    output_mib: int
    output_files: int


class StepsView(Value, frozen=True, kw_only=True):
    """Steps at this node. ``lacks`` is what the runner cannot guarantee here; ``version`` is empty if it is away.

    ``proven`` is when it showed its isolation last, Unix milliseconds, 0 for never. ``running`` and ``waiting`` count
    steps now, ``at_once`` run at most. ``load`` is what others are told of that, ``speed`` what was measured last, and
    ``environments`` are at hand.
    """

    runner: str
    version: str
    lacks: tuple[str, ...]
    proven: int
    running: int
    waiting: int
    at_once: int
    limits: LimitsView
    load: Load
    speed: Speed | None
    environments: tuple[Cid, ...]
