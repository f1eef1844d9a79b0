"""The ``Documents`` port: workflows parsed in worker threads and remembered by content."""

from __future__ import annotations

import trio

from catalog.cid import Cid
from workflow.flow import parse_workflow
from workflow.graph import Workflow

MAX_REMEMBERED = 256


class ParsedDocuments:
    """Parses each text once."""

    def __init__(self) -> None:
        self._known: dict[Cid, Workflow] = {}

    async def workflow(self, text: str) -> Workflow:
        """The workflow of a text.

        Raises:
            BadInput: not CWL, or a feature that this node does not support yet, with its place.
        """
        cid = Cid.of(text.encode())
        known = self._known.get(cid)
        if known is None:
            known = await trio.to_thread.run_sync(parse_workflow, text, "workflow")
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[cid] = known
        return known
