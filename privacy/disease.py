"""Diseases and what each is a kind of: a small part of the Mondo Disease Ontology, which a site may extend.

Data given for research on a disease serve research on whatever is a kind of it. A disease that is not known here
serves nothing and is served by nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from catalog.error import BadInput

MAX_TEXT: Final = 4 << 20
"""Characters of a file of diseases."""

MAX_PARENTS: Final = 32

_ID: Final = re.compile(r"MONDO:[0-9]{7}")


@dataclass(frozen=True, slots=True)
class Disease:
    """A disease by its MONDO id, with its name and the diseases that it is directly a kind of."""

    id: str
    name: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diseases:
    """A hierarchy without cycles: ``known`` has each disease, ``_above`` each with all that it is a kind of."""

    known: Mapping[str, Disease]
    _above: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, known: Mapping[str, Disease], source: str = "diseases") -> Diseases:
        """The hierarchy of ``known``; ``source`` is the name of the file that messages start with.

        Raises:
            BadInput: a parent that is not there, or a disease that would be a kind of itself; the message names it.
        """
        above: dict[str, frozenset[str]] = {}
        for each in known:
            for disease in _parents_first(each, known, above, source):
                parents = known[disease].parents
                above[disease] = frozenset({disease}).union(*(above[parent] for parent in parents))
        return cls(known, above)

    def is_kind_of(self, disease: str, other: str) -> bool:
        """Whether ``disease`` is ``other`` or a kind of it; both must be known."""
        return other in self._above.get(disease, ()) and other in self.known

    def extended(self, text: str, source: str) -> Diseases:
        """With the diseases of ``text``, in TOML like the file that comes with Comity.

        Raises:
            BadInput: malformed, too long, a disease that is there already, an unknown parent, or a cycle.
        """
        more = read_diseases(text, source)
        twice = next((each for each in more if each in self.known), None)
        if twice is not None:
            raise BadInput(f"{source}: «{twice}» is known already ({self.known[twice].name}); take it out")
        return Diseases.of({**self.known, **more}, source)


def read_diseases(text: str, source: str) -> dict[str, Disease]:
    """The diseases that ``text`` writes, a TOML table for each: ``["MONDO:0005148"]``, ``name``, ``parents``.

    Raises:
        BadInput: too long, not TOML, or a table that is not of that shape.
    """
    if len(text) > MAX_TEXT:
        raise BadInput(f"{source}: a file of {len(text):,} characters was refused: at most {MAX_TEXT:,} are read")
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadInput(f"{source}: {error}") from error
    return {name: _disease(name, table, source) for name, table in tables.items()}


@cache
def standard() -> Diseases:
    """The diseases that come with Comity, read once; the file is part of the package, as code is."""
    text = files("privacy").joinpath("diseases.toml").read_text(encoding="utf-8")
    return Diseases.of(read_diseases(text, "diseases.toml"), "diseases.toml")


def _disease(id: str, table: object, source: str) -> Disease:
    if not _ID.fullmatch(id):
        raise BadInput(f"{source}: «{id[:32]!a}» is no MONDO id; write MONDO: and seven digits")
    if not isinstance(table, dict) or set(table) != {"name", "parents"}:
        raise BadInput(f"{source}: «{id}» needs a name and parents, and nothing else")
    name, parents = table["name"], table["parents"]
    if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():
        raise BadInput(f"{source}: the name of «{id}» is 1 to 200 printable characters")
    if not isinstance(parents, list) or len(parents) > MAX_PARENTS or not all(isinstance(e, str) for e in parents):
        raise BadInput(f"{source}: the parents of «{id}» are a list of at most {MAX_PARENTS} MONDO ids")
    return Disease(id, name, tuple(parents))


def _parents_first(
    disease: str, known: Mapping[str, Disease], done: Mapping[str, frozenset[str]], source: str
) -> Iterator[str]:
    """What has to be worked out for ``disease``, parents before children, without recursion."""
    stack, open_ = [(disease, False)], set[str]()
    while stack:
        each, ready = stack.pop()
        if ready:
            open_.discard(each)
            yield each
            continue
        if each in done:
            continue
        if each in open_:
            raise BadInput(f"{source}: «{each}» would be a kind of itself; take one of its parents out")
        open_.add(each)
        stack.append((each, True))
        for parent in known[each].parents:
            if parent not in known:
                raise BadInput(f"{source}: the parent «{parent[:32]!a}» of «{each}» is not known; add it before")
            stack.append((parent, False))
