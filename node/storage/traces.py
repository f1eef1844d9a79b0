"""What the projects have left at a site, read from the ledger's file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from catalog.cid import Cid
from catalog.dagcbor import decode, encode
from catalog.project import ProjectRef
from node.automator.trace import Trace


class DiskTraces:
    """What the projects have left at a site, read from the ledger's file."""

    def __init__(self, read: Callable[..., list[tuple[Any, ...]]]) -> None:
        self._read = read

    def of(self, project: ProjectRef) -> Trace:
        """What there is of ``project``; empty if no step of it came here."""
        trace = Trace()
        for cid, dataset in self._read("SELECT cid, dataset FROM trace WHERE project = ?", encode(project)):
            (trace.datasets if dataset else trace.values).add(Cid.from_bytes(cid))
        return trace

    def projects(self) -> Iterator[ProjectRef]:
        """Every project of which a step came here."""
        return (decode(ProjectRef, row[0]) for row in self._read("SELECT DISTINCT project FROM trace"))
