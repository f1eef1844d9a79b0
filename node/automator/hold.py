"""What this site holds and for whom: the label of each root by its CID, from its catalog and its results.

A fetch is answered only for a root whose label names the asker; every other question, for what is held for others
and for what is not held at all, has one answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.error import NotFound
from catalog.label import Label
from privacy.label import flows_to, may_hold


class Holdings:
    """Labels of roots that are stored here, and the datasets that each is accounted to."""

    def __init__(self) -> None:
        self._labels: dict[Cid, Label] = {}
        self._held: set[Cid] = set()
        self._accounted: dict[Cid, frozenset[Cid]] = {}

    def publish(self, entry: Entry) -> None:
        """Take the label that an entry of this site's own catalog gives."""
        fields = entry.fields
        if isinstance(fields, DatasetFields) and fields.withdrawn:
            self._labels.pop(fields.cid, None)
        elif isinstance(fields, DatasetFields):
            self._labels[fields.cid] = fields.label
            self._accounted[fields.cid] = frozenset({fields.cid})
        elif isinstance(fields, BlockFields) and not self.holds(fields.cid):
            self._labels[fields.cid] = fields.label

    def holds(self, root: Cid) -> bool:
        """Whether ``root`` is an output of a step here, which nobody may share by calling it a block."""
        return root in self._held

    def hold(self, root: Cid, label: Label, datasets: Iterable[Cid]) -> None:
        """Hold ``root`` under ``label``; a root already held keeps the readers that it had, and may gain these.

        The same bytes may be the output of two steps: whoever may read one of the two may read these bytes.
        """
        self._held.add(root)
        self._accounted[root] = self._accounted.get(root, frozenset()) | frozenset(datasets)
        if root not in self._labels or flows_to(label, self._labels[root]):
            self._labels[root] = label

    def for_site(self, root: Cid, site: str) -> Label:
        """The label of ``root``, if ``site`` may hold it.

        Raises:
            NotFound: not here, or not for that site; the two are never told apart.
        """
        label = self._labels.get(root)
        if label is None or not may_hold(label, site):
            raise NotFound("there is nothing of that name here that you may see")
        return label

    def accounted(self, root: Cid) -> list[Cid]:
        """The datasets that an access to ``root`` is accounted to, sorted."""
        return sorted(self._accounted.get(root, ()))
