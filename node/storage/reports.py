"""What was released on reports, in the ledger's file: places alone, whose bodies are read from the log."""

from __future__ import annotations

import hashlib
from typing import Final

from catalog.body import fields_of
from catalog.cid import Cid
from catalog.dagcbor import encode
from catalog.error import Conflict
from node.automator.reports import Vouched, vouched_at
from node.storage.places import Places
from workflow.account import ReleaseFields
from workflow.order import Instance

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS reported (instance BLOB, output TEXT, leaf INTEGER NOT NULL, PRIMARY KEY (instance, output))
  WITHOUT ROWID;
"""

_PLACE: Final = "SELECT leaf FROM reported WHERE instance = ? AND output = ?"
_RECENT: Final = 1024


class DiskReports:
    """The :class:`node.automator.reports.Reports` of a site."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._taken: dict[tuple[Instance, str], Vouched] = {}

    def take(self, leaf: int, fields: ReleaseFields) -> None:
        """Take the release at ``leaf``, if it is one on a report; it may not be durable yet."""
        vouched = vouched_at(leaf, fields)
        if vouched is not None:
            instance = vouched.report.instance
            key = _key(instance) if vouched.by is None else _stated(fields.order, vouched.by)
            self._places.write("INSERT OR REPLACE INTO reported VALUES (?, ?, ?)", (key, fields.output, leaf))
            if vouched.by is not None:
                return
            self._taken[instance, fields.output] = vouched
            while len(self._taken) > _RECENT:
                del self._taken[next(iter(self._taken))]

    def released(self, instance: Instance, output: str) -> Vouched | None:
        """See the protocol."""
        if (instance, output) in self._taken:
            return self._taken[instance, output]
        for (leaf,) in self._places.read(_PLACE, _key(instance), output):
            body = self._places.body(leaf)
            if body is None:
                raise Conflict(f"what was released of «{output}» stood in leaf {leaf} of the audit log: it was erased")
            return vouched_at(leaf, fields_of(body, ReleaseFields))
        return None

    def stated(self, order: Cid, output: str, owner: str) -> bool:
        """See the protocol."""
        return bool(self._places.read(_PLACE, _stated(order, owner), output))


def _key(instance: Instance) -> bytes:
    return hashlib.sha256(encode(instance)).digest()


def _stated(order: Cid, owner: str) -> bytes:
    """Under what a statement of ``owner`` is kept: no instance has that hash."""
    return hashlib.sha256(bytes(order) + owner.encode()).digest()
