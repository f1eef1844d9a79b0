"""What this site holds and for whom: the labels of each root by its CID, from its catalog and its results.

A fetch is answered only for a root whose label names the asker; every other question, for what is held for others
and for what is not held at all, has one answer. What is held for a project is held until that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from catalog.block import BlockFields
from catalog.cid import Cid
from catalog.dataset import DatasetFields
from catalog.entry import Entry
from catalog.error import NotFound
from catalog.label import Label
from catalog.project import ProjectRef
from privacy.label import flows_to, may_hold

NOTHING: Final = "there is nothing of that name here that you may see"
"""What is said of what is not here, and of what is not for whoever asks."""


def _nobody(_root: Cid) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Held:
    """One reason why a root stands here: its label, for ``project``; for none where a catalog publishes it.

    ``publisher`` is the site whose catalog does, none if it is this one's.
    """

    project: ProjectRef | None
    label: Label
    publisher: str | None = None

    @property
    def owners(self) -> frozenset[str]:
        """The sites that own a part of it."""
        return frozenset(self.label.owners)


class Mirrored(Protocol):
    """What is held here for other members that published it, as they publish it now."""

    def roots(self) -> Iterable[Cid]:
        """Every root that is mirrored."""

    def labels(self, root: Cid) -> Iterable[tuple[str, Label]]:
        """Each site that publishes ``root`` now, and under which label, of those that it is mirrored for."""


class Holdings:
    """Labels of roots that are stored here, and the datasets that each is accounted to.

    ``named`` is told of each root that stands here from now on.
    """

    def __init__(self, named: Callable[[Cid], None] = _nobody) -> None:
        self._named = named
        self._published: dict[Cid, Label] = {}
        self._environments: dict[Cid, dict[Cid, Label]] = {}  # by environment, then by the block that runs in it
        self.mirrored: Mirrored | None = None
        self._held: dict[Cid, dict[ProjectRef | None, tuple[Label, ...]]] = {}
        self._accounted: dict[Cid, frozenset[Cid]] = {}
        self._needed: dict[Cid, ProjectRef] = {}

    def publish(self, entry: Entry) -> None:
        """Take the label that an entry of this site's own catalog gives."""
        fields = entry.fields
        if isinstance(fields, DatasetFields) and fields.withdrawn:
            self._published.pop(fields.cid, None)
        elif isinstance(fields, DatasetFields):
            self._published[fields.cid] = fields.label
            self._accounted[fields.cid] = frozenset({fields.cid})
            self._named(fields.cid)
        elif isinstance(fields, BlockFields) and not any(map(self.holds, fields.roots)):
            self._published[fields.cid] = fields.label
            if fields.environment is not None:
                self._environments.setdefault(fields.environment, {})[fields.cid] = fields.label
            for root in fields.roots:
                self._named(root)

    def withdraw(self, root: Cid) -> None:
        """Forget the label that the catalog gave to ``root``: its entry was taken back."""
        self._published.pop(root, None)
        for blocks in self._environments.values():
            blocks.pop(root, None)

    def roots(self) -> Iterator[Cid]:
        """Every root that stands here."""
        mirrored = self.mirrored.roots() if self.mirrored is not None else ()
        environments = (root for root, blocks in self._environments.items() if blocks)
        return iter((*self._published, *environments, *mirrored, *self._held))

    def holds(self, root: Cid) -> bool:
        """Whether ``root`` is an output of a step here, which nobody may share by calling it a block."""
        return root in self._held

    def hold(self, root: Cid, label: Label, datasets: Iterable[Cid], project: ProjectRef | None = None) -> None:
        """Hold ``root`` for ``project`` under ``label`` too; a root already held keeps its readers.

        The same bytes may be the output of two steps, released to different readers: whoever may read one of the two
        may read these bytes.
        """
        labels = self._held.setdefault(root, {})
        labels[project] = _with(labels.get(project, ()), label)
        self._accounted[root] = self._accounted.get(root, frozenset()) | frozenset(datasets)
        self._named(root)

    def account(self, root: Cid, datasets: Iterable[Cid], project: ProjectRef) -> None:
        """An access to ``root``, wherever it lies, is accounted to these datasets too; it is needed for ``project``."""
        self._accounted[root] = self._accounted.get(root, frozenset()) | frozenset(datasets)
        self._needed[root] = project

    def end(self, project: ProjectRef) -> None:
        """Hold nothing for ``project`` any more; what is held for others too stays for them."""
        for root in [root for root, labels in self._held.items() if project in labels]:
            del self._held[root][project]
            if not self._held[root]:
                del self._held[root]

    def for_site(self, root: Cid, site: str, halted: Container[ProjectRef | None] = ()) -> list[Held]:
        """Each reason why ``root`` stands here under which ``site`` may hold it: what is published first.

        One that policy allows is enough, whichever came first. What is held for a ``halted`` project is not given out.

        Raises:
            NotFound: not here, or not for that site; the two are never told apart.
        """
        published = self._published.get(root)
        found = [Held(None, published)] if published is not None else []
        found += [Held(None, label) for label in self._environments.get(root, {}).values()]
        if self.mirrored is not None:
            found += [Held(None, label, site) for site, label in self.mirrored.labels(root)]
        for project, labels in self._held.get(root, {}).items():
            if project not in halted:
                found += [Held(project, label) for label in labels]
        if not (readable := [each for each in found if may_hold(each.label, site)]):
            raise NotFound(NOTHING)
        return readable

    def needed_for(self, root: Cid) -> ProjectRef | None:
        """The project that ``root`` was asked for here last; none if for none."""
        return self._needed.get(root)

    def accounted(self, root: Cid) -> list[Cid]:
        """The datasets that an access to ``root`` is accounted to, sorted."""
        mirrored = self.mirrored is not None and any(True for _ in self.mirrored.labels(root))
        return sorted(self._accounted.get(root, frozenset()) | ({root} if mirrored else frozenset()))


def _with(labels: Sequence[Label], label: Label) -> tuple[Label, ...]:
    """``labels`` and ``label``, but for those that say nothing which another of them does not say."""
    if any(flows_to(each, label) for each in labels):
        return tuple(labels)
    return (*(each for each in labels if not flows_to(label, each)), label)
