"""Populations: the people whom datasets are about. What was released about one of them counts for all its datasets.

A population is a name that the owner declares. Datasets that supersede or overlap one another share it, whatever each
was declared to be about; a dataset for which nothing is declared is about a population of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from catalog.error import BadInput, shown
from privacy.disclosure.predicate import Domains

MAX_NAME: Final = 120


@dataclass(frozen=True, slots=True)
class Declared:
    """What an owner says of a dataset (by the text of its CID): its population, and datasets that share people with
    it, such as the version before. ``columns`` are all values that a column can have, where the owner says them.
    """

    dataset: str
    population: str = ""
    shares: tuple[str, ...] = ()
    columns: Domains = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Populations:
    """The population of each dataset; make it with :meth:`of`. Where datasets tie several together, they are one."""

    names: Mapping[str, str]
    columns: Mapping[str, Domains] = field(default_factory=dict)

    @classmethod
    def of(cls, declared: Collection[Declared]) -> Populations:
        """The populations under these declarations, in whatever order they come.

        Raises:
            BadInput: a population has no printable name of 1 to 120 characters.
        """
        above: dict[str, str] = {}

        def root(node: str) -> str:
            while above.setdefault(node, node) != node:
                above[node] = above[above[node]]
                node = above[node]
            return node

        for each in declared:
            tied = [f"dataset/{other}" for other in each.shares]
            if each.population:
                tied.append(f"population/{_checked(each.population)}")
            for node in (f"dataset/{each.dataset}", *tied):
                one, other = sorted((root(node), root(f"dataset/{each.dataset}")), reverse=True)
                above[other] = one  # «population/…» sorts behind «dataset/…», so that a declared name stays
        columns: dict[str, dict[str, frozenset[str]]] = {}
        for each in declared:
            domains = columns.setdefault(root(f"dataset/{each.dataset}"), {})
            for column, values in each.columns.items():
                domains[column] = domains.get(column, frozenset()) | values
        return cls({node[8:]: root(node) for node in tuple(above) if node.startswith("dataset/")}, columns)

    def name(self, dataset: str) -> str:
        """The name of a dataset's population: the same for two datasets exactly if they share it."""
        return self.names.get(dataset, f"dataset/{dataset}")


def _checked(name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise BadInput(f"«{shown(name)}» is no name of a population: 1 to {MAX_NAME} printable characters are taken")
    return name
