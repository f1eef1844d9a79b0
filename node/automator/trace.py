"""What a project has left at this site, by its audit log: what goes when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from catalog.cid import Cid
from catalog.project import ProjectRef


@dataclass(slots=True)
class Trace:
    """``values`` are held outputs and brought copies by their roots; ``datasets`` what they were made from."""

    values: set[Cid] = field(default_factory=set)
    datasets: set[Cid] = field(default_factory=set)


class Traces:
    """The traces of all projects; fed by the ledger."""

    def __init__(self) -> None:
        self._traces: dict[ProjectRef, Trace] = {}

    def add(self, project: ProjectRef, values: Iterable[Cid], datasets: Iterable[str]) -> None:
        """A step of ``project`` brought or made ``values``, from ``datasets`` (CIDs as text)."""
        trace = self._traces.setdefault(project, Trace())
        trace.values.update(values)
        trace.datasets.update(map(Cid.parse, datasets))

    def of(self, project: ProjectRef) -> Trace:
        """What there is of ``project``; empty if no step of it came here."""
        return self._traces.get(project, Trace())

    def projects(self) -> Iterator[ProjectRef]:
        """Every project of which a step came here."""
        return iter(tuple(self._traces))
